"""Whether the plant has moved away from the model: stored readings against the training's.

Asked for by ``/status``, which never waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from db.queries.readings import recent_readings
from errors import AnomalyError
from models.bundles.bundle import Bundle
from models.feature_drift import compare, recent_columns
from serving.background import Monitor
from serving.database import Database

log = logging.getLogger("bentoml.serving.drift")

FRESH_S = 60.0
READINGS = 1000
#: A bundle of hundreds of groups is looked at one group in turn, not all at once.
GROUPS_AT_ONCE = 20


class DriftMonitor(Monitor):
    """Compare the newest stored readings of each group with its training distribution.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, "drift", FRESH_S)
        self._found: dict[str, Any] = {}
        self._version: str | None = None
        self._next = 0

    def known(self, bundle: Bundle | None) -> dict[str, Any]:
        """Return the last findings by group, feature and score; empty before the first look."""
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
            except Exception:  # one group's failure must not end the others'
                log.exception("drift of group %s cannot be computed", group)
                continue
            if bundle.version == self._version:
                self._found[group] = found

    async def _look_at(self, bundle: Bundle, group: str) -> dict[str, Any]:
        rows = await self._database.run(recent_readings, limit=READINGS, group=group)
        profile = bundle.model_set(group).profile
        return await asyncio.to_thread(lambda: compare(profile, recent_columns(rows)))
