"""Apply timed changes to incidents (clearing, unshelving, closing); any worker may do it."""

from __future__ import annotations

from config import Settings
from db.incident_upkeep import CHUNK, keep_time
from serving import metrics
from serving.background import PeriodicWork
from serving.database import Database

EVERY_S = 5.0  # maximum delay of what time changes, such as the end of shelving


class IncidentTimer(PeriodicWork):
    """Call :func:`db.incident_upkeep.keep_time` every few seconds.

    Parameters
    ----------
    database : Database
    settings : Settings
    every_s : float
    """

    failure = "timed changes of incidents failed"

    def __init__(self, database: Database, settings: Settings, every_s: float = EVERY_S) -> None:
        super().__init__(every_s)
        self._database = database
        self._settings = settings

    async def once(self) -> None:
        """Apply all due changes, chunk by chunk."""
        while True:
            done = await self._database.run(keep_time, self._settings)
            for what, count in (done or {}).items():
                metrics.INCIDENTS.labels(what).inc(count)
            if done is None or CHUNK not in done.values():
                return
