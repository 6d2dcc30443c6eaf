"""Maintain partitions and retention of the database tables while the bridge runs.

Maintenance has its own thread, because moving rows out of the default partition may take long.
Failures are retried; until one succeeds, readings go to the default partition, so nothing is lost.
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

#: Readings of a backfill stay in the default partition for at most this long.
EVERY = timedelta(minutes=10)
LOOK_SECONDS = 60.0  # between looks whether it is due


def now_utc() -> datetime:
    """Return the time of this machine, aware UTC."""
    return datetime.now(UTC)


class TablePartitionMaintainer(PartThread):
    """Call ``make`` every ten minutes, the first time immediately.

    Parameters
    ----------
    make : callable
        Creates the current and coming partitions; returns the names of new ones.
    outage : Outage
        Of this maintenance.
    clock : callable
        Returns aware UTC; a change of the clock is noticed within a minute.
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
        """Run maintenance if it is due; return the seconds until the next call."""
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
