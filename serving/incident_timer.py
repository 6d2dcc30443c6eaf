"""Incidents that time changes, looked after by whichever worker is first at it."""

from __future__ import annotations

import asyncio
import logging

from db.incident_upkeep import CHUNK, Clockwork, keep_time
from errors import StorageUnavailable
from serving import metrics
from serving.database import Database

log = logging.getLogger("bentoml.serving.incidents")

EVERY_S = 5.0


class IncidentTimer:
    """Calls :func:`db.incident_upkeep.keep_time` every few seconds.

    Parameters
    ----------
    database : Database
    clockwork : Clockwork
    every_s : float
    """

    def __init__(self, database: Database, clockwork: Clockwork, every_s: float = EVERY_S) -> None:
        self._database = database
        self._clockwork = clockwork
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._work(), name="incident timer")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def tick(self) -> bool:
        """One look; whether there may be more to do."""
        done = await self._database.run(lambda connection: keep_time(connection, self._clockwork))
        for what, count in (done or {}).items():
            metrics.INCIDENTS.labels(what).inc(count)
        return max((done or {"none": 0}).values()) == CHUNK

    async def _work(self) -> None:
        while True:
            try:
                while await self.tick():
                    pass
            except StorageUnavailable as error:
                log.debug("incidents wait for the database: %s", error.message)
            except Exception:
                log.exception("incidents are not kept up with time")
            await asyncio.sleep(self._every_s)
