"""Threads of the bridge: one that ends before it is stopped is a defect, and is logged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("consumers.bridge")


class PartThread(threading.Thread):
    """Runs one part of the bridge until that is stopped.

    Parameters
    ----------
    name : str
        Names the part in the log.
    work : callable
        Runs until the part is stopped; anything that it raises is a defect.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._may_end = False
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Do the work; log what ends it."""
        try:
            self._work()
        except BaseException as error:
            log.exception("%s ends: a defect", self.name, extra={"action": "defect"})
            self.failure = error

    def stop(self, seconds: float) -> None:
        """Allow the thread to end; wait for that up to ``seconds``."""
        self._may_end = True
        self.join(max(0.0, seconds))

    @property
    def died(self) -> bool:
        """Whether it ended though nobody stopped it."""
        return self.ident is not None and not self._may_end and not self.is_alive()
