"""Run periodic work beside the requests."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from errors import StorageUnavailable

log = logging.getLogger("bentoml.serving.background")


async def end_tasks(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Cancel tasks and wait until they have ended."""
    started = [task for task in tasks if task is not None]
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


class PeriodicWork(ABC):
    """Call :meth:`once` periodically; failures are logged and do not stop it.

    Parameters
    ----------
    every_s : float
        Seconds from the end of one call to the next.
    """

    #: Log text of a failure.
    failure: ClassVar[str]

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the task."""
        self._task = asyncio.create_task(self._work(), name=type(self).__name__)

    async def stop(self) -> None:
        """Stop the task, even during a call."""
        await end_tasks([self._task])

    @abstractmethod
    async def once(self) -> None:
        """Do the work that is due."""

    async def _work(self) -> None:
        while True:
            try:
                await self.once()
            except StorageUnavailable as error:
                log.debug("%s: %s", self.failure, error.message)
            except Exception:
                log.exception("%s", self.failure)
            await asyncio.sleep(self._every_s)
