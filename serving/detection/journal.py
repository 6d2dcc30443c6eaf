"""Store results of ``/detect`` in the table that the bridge also writes.

Rows of concurrent requests are stored together. The answer is sent even if the database is down;
its ``metadata.stored`` is true, false, or null if the COMMIT was sent and not answered
(``detection_id`` then identifies the row to look for).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from config import Settings
from db.incident_recording import record
from db.queries.copy import insert_detections
from db.queries.detections import detection_row
from errors import AnomalyError, StorageUnavailable
from serving import metrics
from serving.batching import Batcher
from serving.database import Database, OutcomeUnknownError

log = logging.getLogger("bentoml.serving.journal")

Rows = list[dict[str, Any]]


class Journal:
    """Store results.

    Parameters
    ----------
    database : Database
    settings : Settings
        Select what is stored, and how anomalies join or open incidents.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._mode = settings.journal_rest
        self._settings = settings
        self._batcher: Batcher[Rows, bool] = Batcher(
            self._store_batches,
            max_weight=2000,
            max_waiting=200_000,
            parallel=2,
            on_batch=metrics.BATCH.labels("journal").observe,
        )

    async def store(self, results: Sequence[dict[str, Any]]) -> None:
        """Store the results that JOURNAL_REST selects; set ``stored`` and ``detection_id``."""
        rows: Rows = []
        stored: list[tuple[dict[str, Any], UUID]] = []
        for result in results:
            if "error" in result:
                continue
            if self._mode == "all" or (self._mode == "anomalies" and result["is_anomaly"]):
                row_id = uuid4()
                rows.append(detection_row(result, row_id=row_id))
                stored.append((result, row_id))
            else:
                result["metadata"]["stored"] = False
        if not rows:
            return
        done = await self._store_rows(rows)
        for result, row_id in stored:
            result["metadata"]["stored"] = done
            if done is not False:
                result["metadata"]["detection_id"] = str(row_id)

    async def _store_rows(self, rows: Rows) -> bool | None:
        """Return whether rows were stored; None if the COMMIT was sent and not answered."""
        try:
            if not self._database.available:
                raise StorageUnavailable("down")
            return await self._batcher.submit(rows, weight=len(rows))
        except OutcomeUnknownError:
            metrics.DEGRADED.labels("journal").inc()
            return None
        except StorageUnavailable:
            metrics.DEGRADED.labels("journal").inc()
        except AnomalyError as error:
            log.error("rows could not be stored: %s", error.message)
        return False

    def _insert(self, connection: Connection, rows: Rows) -> None:
        insert_detections(connection, rows)
        record(connection, rows, self._settings, "rest")

    async def _store_batches(self, batches: list[Rows]) -> list[bool | BaseException]:
        """Store batches in one transaction; if a row is rejected, each in one of its own."""
        rows = [row for batch in batches for row in batch]
        try:
            await self._database.quick(self._insert, rows)
        except StorageUnavailable:
            raise
        except AnomalyError:
            if len(batches) == 1:
                raise
            # one row that PostgreSQL rejects must not affect the others
            return [await self._store_batch(batch) for batch in batches]
        return [True] * len(batches)

    async def _store_batch(self, batch: Rows) -> bool | BaseException:
        try:
            await self._database.quick(self._insert, batch)
        except AnomalyError as error:
            return error
        return True
