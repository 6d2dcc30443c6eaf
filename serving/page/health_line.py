"""Determine the status line of every screen: all works, or which part fails and since when."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from db.queries.overview import Overview, overview, try_disk
from errors import AnomalyError, StorageUnavailable
from serving.bundles.manager import BundleManager
from serving.database import Database

#: After this time without readings the line says so, in grey, since slow plants are normal.
QUIET_S: Final = 600.0
#: A result is reused for this time.
FRESH_S: Final = 1.0
#: Whether the database's disk is full is tried at this interval, because this writes.
TRY_DISK_S: Final = 10.0
#: Maximum time that the line waits for the database.
SLOW_S: Final = 2.0

DOWN: Final = (
    "The database is down: this list may be outdated, and nothing can be changed;"
    " readings wait in Kafka"
)
READ_ONLY: Final = (
    "The database is read-only: nothing can be changed or stored; readings wait in Kafka"
)
FULL: Final = (
    "The disk of the database is full: nothing can be changed or stored; readings wait in Kafka"
)
SLOW: Final = "The database is slow to answer"
UNTRAINED: Final = "No trained model is loaded: readings are not scored"
NO_REGISTRY: Final = "The model registry does not work: scoring continues with the loaded model"


@dataclass(frozen=True, slots=True)
class Problem:
    """A failing part: name, consequence, since when, and the error's message."""

    what: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Health:
    """The state of all parts: problems, worst first, and the last answer of the database."""

    problems: list[Problem]
    overview: Overview | None
    bundle_version: str | None

    @property
    def quiet_s(self) -> float | None:
        """Seconds since readings were last stored; None if there were none or it is unknown."""
        known = self.overview
        if known is None or known.stored_at is None:
            return None
        return max(0.0, (known.now - known.stored_at).total_seconds())

    @property
    def is_quiet(self) -> bool:
        """Whether there have been no readings for long."""
        return self.quiet_s is not None and self.quiet_s > QUIET_S


class HealthLine:
    """Determine the state of all parts.

    Parameters
    ----------
    database : Database
    bundles : BundleManager
        Which model is loaded, and problems of the model or its registry.
    """

    def __init__(self, database: Database, bundles: BundleManager) -> None:
        self._database = database
        self._bundles = bundles
        self._known: tuple[float, Health] | None = None
        self._disk: tuple[float, StorageUnavailable | None] = (-math.inf, None)
        self._since: dict[str, datetime] = {}
        self._lock = asyncio.Lock()

    async def look(self) -> Health:
        """Return the state of all parts; never raises."""
        async with self._lock:
            if self._known is None or self._is_old(*self._known):
                self._known = time.monotonic(), await self._look()
            return self._known[1]

    def _is_old(self, at: float, known: Health) -> bool:
        """Return whether the result is old, or the database has failed or recovered since."""
        down = any(one.what == DOWN for one in known.problems)
        return time.monotonic() - at > FRESH_S or down is self._database.available

    async def _look(self) -> Health:
        found: list[Problem] = []
        seen: Overview | None = None
        try:
            async with asyncio.timeout(SLOW_S):
                seen = await self._database.run(overview)
                full = await self._disk_problem()
            if seen.read_only:
                hint = "it may be a standby: see DATABASE_URL, DATABASE_HOST"
                found.append(self._problem(READ_ONLY, None, hint))
            if full is not None:
                found.append(self._problem(FULL, None, full.message))
        except TimeoutError:
            found.append(self._problem(SLOW, None, f"no answer within {SLOW_S:g} s"))
        except AnomalyError as error:
            since = self._database.status()["since"]
            found.append(self._problem(DOWN, since, error.message))
        status = self._bundles.status()
        if status["bundle_version"] is None:
            hint = "train one: python -m training.fit, or POST /train"
            found.append(self._problem(UNTRAINED, None, status["problem"] or hint))
        elif status["problem"]:
            since, detail = status["problem_since"], status["problem"]
            found.append(self._problem(NO_REGISTRY, since, detail))
        self._since = {one.what: one.since for one in found}
        return Health(found, seen, status["bundle_version"])

    async def _disk_problem(self) -> StorageUnavailable | None:
        """Return the error of the full disk, tried now or shortly before; None: there is space."""
        at, full = self._disk
        if time.monotonic() - at > TRY_DISK_S:
            at = time.monotonic()
            self._disk = at, full  # tried, even if in vain
            full = None
            try:
                await self._database.run(try_disk)
            except StorageUnavailable as error:
                if error.code != "storage_full":
                    raise
                full = error
            self._disk = at, full
        return full

    def _problem(self, what: str, since: object, detail: str) -> Problem:
        """Describe a problem; if its start is unknown, use the time when it was first seen here."""
        known = datetime.fromisoformat(since) if isinstance(since, str) else None
        return Problem(what, known or self._since.get(what) or datetime.now(UTC), detail)
