"""How many incidents were right, by people's feedback: for ``/status``, which never waits."""

from __future__ import annotations

from typing import Any

from db.queries.feedback import PRECISION_DAYS, precision_by_group
from serving.background import Monitor
from serving.database import Database

FRESH_S = 5.0


class PrecisionMonitor(Monitor):
    """Look up the precision of each group's incidents.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, "precision", FRESH_S)
        self._found: dict[str, Any] = {}

    def known(self) -> dict[str, Any]:
        """Return the last findings; ``groups`` is empty before the first look."""
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
