"""Run the bridge's threads; a thread that ends before it is stopped has a bug, which is logged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("consumers.bridge")


class PartThread(threading.Thread):
    """Run one part of the bridge until it is stopped.

    Parameters
    ----------
    name : str
        Name of the part in the log.
    work : callable
        Runs until the part is stopped; any exception is a bug.

    Attributes
    ----------
    stopping : Event
        Set when the part is to end.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._part = work
        self.stopping = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Run the work; log an exception."""
        try:
            self._part()
        except BaseException as error:
            log.exception("%s ends: a defect", self.name, extra={"action": "defect"})
            self.failure = error

    def stop(self, seconds: float) -> None:
        """Ask the thread to end; wait for it up to ``seconds``."""
        self.stopping.set()
        self.join(max(0.0, seconds))

    @property
    def died(self) -> bool:
        """Whether the thread has ended without being stopped."""
        return self.ident is not None and not self.stopping.is_set() and not self.is_alive()
