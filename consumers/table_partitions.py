"""Partitions and retention of the database, looked after when the bridge starts and ever after.

A thread of its own: moving rows out of the default partition may take long, and polling and
scoring go on meanwhile. What fails is tried again; until it works, readings go to the default
partition, so nothing is lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from consumers.outage import Outage
from consumers.threads import PartThread
from errors import AnomalyError

log = logging.getLogger("consumers.bridge")

#: A backfill stays in the default partition for no longer.
EVERY = timedelta(minutes=10)
LOOK_SECONDS = 60.0


def now_utc() -> datetime:
    """Return the time of this machine, aware UTC."""
    return datetime.now(UTC)


class TablePartitionMaintainer(PartThread):
    """Calls ``make`` every ten minutes of the clock, the first time at once.

    Parameters
    ----------
    make : callable
        Makes the partitions of now and those after it; returns the new ones' names.
    outage : Outage
        Of making them.
    clock : callable
        Aware time; a clock that was set is noticed within a minute.
    """

    def __init__(
        self, make: Callable[[], list[str]], outage: Outage, clock: Callable[[], datetime] = now_utc
    ) -> None:
        super().__init__("maintainer", self._maintain)
        self._make = make
        self._outage = outage
        self._clock = clock
        self._made_at: datetime | None = None

    def step(self) -> float:
        """Make what is due; return the seconds until the next look."""
        now = self._clock()
        if self._made_at is not None and self._made_at <= now < self._made_at + EVERY:
            return LOOK_SECONDS
        started = time.monotonic()
        try:
            made = self._make()
        except AnomalyError as error:
            return self._outage.record_failure(error)
        self._outage.record_success()
        self._made_at = now
        if made:
            log.info(
                "partitions made: %s (%.1f s)", ", ".join(made), time.monotonic() - started,
                extra={"action": "partitions"},
            )  # fmt: skip
        return LOOK_SECONDS

    def _maintain(self) -> None:
        while not self.stopping.is_set():
            self.stopping.wait(self.step())
