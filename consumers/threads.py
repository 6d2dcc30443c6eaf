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

    Attributes
    ----------
    stopping : Event
        Set once the part is to end.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._part = work
        self.stopping = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Do the work; log what ends it."""
        try:
            self._part()
        except BaseException as error:
            log.exception("%s ends: a defect", self.name, extra={"action": "defect"})
            self.failure = error

    def stop(self, seconds: float) -> None:
        """Allow the thread to end; wait for that up to ``seconds``."""
        self.stopping.set()
        self.join(max(0.0, seconds))

    @property
    def died(self) -> bool:
        """Whether it ended though nobody stopped it."""
        return self.ident is not None and not self.stopping.is_set() and not self.is_alive()
