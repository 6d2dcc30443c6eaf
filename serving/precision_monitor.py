"""How many incidents were right, by what people said of them: for ``/status``, which never waits.

What is known is shown, and what is older than a few seconds is looked up again in the background.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from db.queries.feedback import PRECISION_DAYS, precision_by_group
from errors import AnomalyError
from serving.database import Database

log = logging.getLogger("bentoml.serving.precision")

FRESH_S = 5.0


class PrecisionMonitor:
    """Look up the precision of each group's incidents.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[str, Any] = {}
        self._looked = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def known(self) -> dict[str, Any]:
        """Return the last findings; ``groups`` is empty before the first look."""
        idle = self._task is None or self._task.done()
        if idle and self._database.available and time.monotonic() - self._looked > FRESH_S:
            self._looked = time.monotonic()
            self._task = asyncio.create_task(self._look(), name="precision")
        return {"days": PRECISION_DAYS, "groups": self._found}

    async def _look(self) -> None:
        try:
            counts = await self._database.run(precision_by_group)
        except AnomalyError as error:
            log.info("precision cannot be looked up: %s", error.message)
            return
        self._found = {
            group: {
                "confirmed": confirmed,
                "false_alarms": false,
                "precision": confirmed / (confirmed + false),
            }
            for group, (confirmed, false) in counts.items()
        }
