"""Whether the plant has moved away from the model: stored readings against the training's.

Asked for by ``/status``, which never waits for it: what is known is shown, and what is old is
looked up again in the background.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from db.queries.readings import recent_readings
from errors import AnomalyError
from models.bundles.bundle import Bundle
from models.feature_drift import compare, recent_columns
from serving.database import Database

log = logging.getLogger("bentoml.serving.drift")

FRESH_S = 60.0
READINGS = 1000
#: A bundle of hundreds of groups is looked at one group in turn, not all at once.
GROUPS_AT_ONCE = 20


class DriftMonitor:
    """Compare the newest stored readings of each group with its training distribution.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[str, Any] = {}
        self._version: str | None = None
        self._looked = 0.0
        self._next = 0
        self._task: asyncio.Task[None] | None = None

    def known(self, bundle: Bundle | None) -> dict[str, Any]:
        """Return the last findings by group, feature and score; empty before the first look."""
        if bundle is None:
            return {}
        if bundle.version != self._version:
            self._found, self._version, self._looked = {}, bundle.version, 0.0
        idle = self._task is None or self._task.done()
        old = time.monotonic() - self._looked > FRESH_S
        if idle and old and self._database.available:
            self._looked = time.monotonic()
            self._task = asyncio.create_task(self._look(bundle), name="drift")
        return self._found

    async def _look(self, bundle: Bundle) -> None:
        groups = bundle.groups
        count = min(len(groups), GROUPS_AT_ONCE)
        turn = [groups[(self._next + k) % len(groups)] for k in range(count)]
        self._next += len(turn)
        for group in turn:
            try:
                found = await self._look_at(bundle, group)
            except AnomalyError as error:
                log.info("drift cannot be looked up: %s", error.message)
                return
            except Exception:  # one group's failure must not end the others'
                log.exception("drift of group %s cannot be told", group)
                continue
            if bundle.version == self._version:
                self._found[group] = found

    async def _look_at(self, bundle: Bundle, group: str) -> dict[str, Any]:
        ask = partial(recent_readings, limit=READINGS, group=group)
        rows = await self._database.run(ask)
        profile = bundle.model_set(group).profile
        return await asyncio.to_thread(_compared, profile, rows)


def _compared(
    profile: Mapping[str, Any], rows: Sequence[tuple[dict[str, float], dict[str, float]]]
) -> dict[str, Any]:
    return compare(profile, recent_columns(rows))
