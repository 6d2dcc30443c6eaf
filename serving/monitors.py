"""Hold the slow parts of ``/status``: drift and the precision of incidents.

Requests get the last result at once; old results are refreshed in the background.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from db.queries.feedback import PRECISION_DAYS, precision_by_group
from db.queries.readings import recent_readings
from errors import AnomalyError
from models.bundles.bundle import Bundle
from models.feature_drift import compare, recent_columns
from serving.database import Database

log = logging.getLogger("bentoml.serving.monitors")

#: Figures are reused for this time.
DRIFT_FRESH_S = 60.0
PRECISION_FRESH_S = 5.0
READINGS = 1000  # newest ones compared with training, per group
#: A bundle of hundreds of groups is checked in turns of this many groups.
GROUPS_AT_ONCE = 20


class Monitor:
    """Hold a result that requests read without waiting; refresh it in the background when old.

    Parameters
    ----------
    database : Database
    subject : str
        Name for the log.
    fresh_s : float
        Age in seconds after which the result is old.
    """

    def __init__(self, database: Database, subject: str, fresh_s: float) -> None:
        self._database = database
        self._subject = subject
        self._fresh_s = fresh_s
        self._looked = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def refresh(self, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a refresh if the result is old, none is running and the database is available."""
        idle = self._task is None or self._task.done()
        old = time.monotonic() - self._looked > self._fresh_s
        if idle and old and self._database.available:
            self._looked = time.monotonic()
            self._task = asyncio.create_task(self._try(look), name=self._subject)

    async def _try(self, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await look()
        except AnomalyError as error:
            log.info("%s cannot be computed: %s", self._subject, error.message)


class DriftMonitor(Monitor):
    """Compare the newest stored readings of each group with its training distribution.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, "drift", DRIFT_FRESH_S)
        self._found: dict[str, Any] = {}
        self._version: str | None = None
        self._next = 0

    def known(self, bundle: Bundle | None) -> dict[str, Any]:
        """Return the last results by group, feature and score; empty before the first."""
        if bundle is None:
            return {}
        if bundle.version != self._version:
            self._found, self._version, self._looked = {}, bundle.version, float("-inf")
        self.refresh(partial(self._look, bundle))
        return self._found

    async def _look(self, bundle: Bundle) -> None:
        groups = bundle.groups
        count = min(len(groups), GROUPS_AT_ONCE)
        turn = [groups[(self._next + k) % len(groups)] for k in range(count)]
        self._next += len(turn)
        for group in turn:
            try:
                found = await self._look_at(bundle, group)
            except AnomalyError:
                raise
            except Exception:  # a failure of one group must not stop the others
                log.exception("drift of group %s cannot be computed", group)
                continue
            if bundle.version == self._version:
                self._found[group] = found

    async def _look_at(self, bundle: Bundle, group: str) -> dict[str, Any]:
        rows = await self._database.run(recent_readings, limit=READINGS, group=group)
        profile = bundle.model_set(group).profile
        return await asyncio.to_thread(lambda: compare(profile, recent_columns(rows)))


class PrecisionMonitor(Monitor):
    """Look up the precision of each group's incidents.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, "precision", PRECISION_FRESH_S)
        self._found: dict[str, Any] = {}

    def known(self) -> dict[str, Any]:
        """Return the last results; ``groups`` is empty before the first."""
        self.refresh(self._look)
        return {"days": PRECISION_DAYS, "groups": self._found}

    async def _look(self) -> None:
        counts = await self._database.run(precision_by_group)
        self._found = {
            group: {
                "confirmed": confirmed,
                "false_alarms": false,
                "precision": confirmed / (confirmed + false),
            }
            for group, (confirmed, false) in counts.items()
        }
