"""End database sessions of bridges and services that froze in the middle of storing rows.

The server ends an idle transaction after DATABASE_IDLE_TIMEOUT_S, but not one whose client froze
within a COPY (:mod:`db.queries.waiting_copies`). Its locks would hold up whoever takes over. So
each bridge looks for them. One that received no byte between two looks is ended.
"""

from __future__ import annotations

import logging

from consumers.store import BridgeStore
from consumers.threads import PartThread
from db.queries.waiting_copies import WaitingCopy, end_copy, waiting_copies
from errors import AnomalyError

log = logging.getLogger("consumers.bridge")


class FrozenCopies(PartThread):
    """Look for frozen COPYs.

    Parameters
    ----------
    store : BridgeStore
    seconds : float
        Between two looks.
    """

    def __init__(self, store: BridgeStore, seconds: float) -> None:
        super().__init__("frozen copies", self._look_on)
        self._store = store
        self._seconds = seconds
        self._waited: set[WaitingCopy] = set()

    def step(self) -> None:
        """Look once."""
        try:
            waiting = self._store.run(waiting_copies)
            for copy in waiting & self._waited:
                if self._store.run(end_copy, copy):
                    log.warning(
                        "database: a session of %s at %s sent nothing for %g s in the middle of"
                        " storing rows, and was ended, because others may wait for it",
                        copy.application, copy.host or "this host", self._seconds,
                        extra={"action": "frozen"},
                    )  # fmt: skip
        except AnomalyError as error:  # an outage of the database is reported by whoever stores
            log.debug("looking for frozen sessions: %s", error)
        else:
            self._waited = waiting

    def _look_on(self) -> None:
        while not self.stopping.wait(self._seconds):
            self.step()
