"""Provide the readings stored in PostgreSQL as a Spark data source over psycopg2, without JDBC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from sqlalchemy import Connection

from db.queries.readings import ReadingFilter, export_readings
from db.queries.slices import slices
from db.session import make_engine, transaction
from fleet.spark import arrow, ddl
from schemas import parse_timestamp

COLUMNS = {
    "asset_id": "string", "sensor_id": "string", "feature": "string", "at": "timestamp",
    "features": "string",
}  # fmt: skip
_BATCH = 5000  # rows fetched at a time


class StoredReadings(DataSource):
    """Options: ``url`` (SQLAlchemy's), ``since`` and ``until`` (ISO 8601)."""

    @classmethod
    def name(cls) -> str:
        """Return its name in Spark."""
        return "stored_readings"

    def schema(self) -> str:
        """Return its columns."""
        return ddl(COLUMNS)

    def reader(self, schema: Any) -> DataSourceReader:
        """Return the reader."""
        return _Reader(self.options["url"], self.options.get("since"), self.options.get("until"))


class _Reader(DataSourceReader):
    def __init__(self, url: str, since: str | None, until: str | None) -> None:
        self._url, self._since, self._until = url, since, until

    def partitions(self) -> Sequence[InputPartition]:
        """Return time slices (:class:`db.queries.slices.Slice`), one task each."""
        with _connection(self._url) as connection:
            found = slices(connection, _time(self._since), _time(self._until))
        return list(map(InputPartition, found))

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        which = ReadingFilter(partition.value.start, partition.value.end)
        with _connection(self._url) as connection:
            rows = export_readings(connection, which)
            while part := list(islice(rows, _BATCH)):
                yield pa.RecordBatch.from_pydict(
                    {
                        "asset_id": [row.asset_id for row in part],
                        "sensor_id": [row.sensor_id or "" for row in part],
                        "feature": [row.feature or "" for row in part],
                        "at": [row.timestamp for row in part],
                        "features": [_json(row.features) for row in part],
                    },
                    schema=arrow(COLUMNS),
                )


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    engine = make_engine(url)
    try:
        with transaction(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def _json(features: dict[str, float]) -> str:
    return orjson.dumps(features, option=orjson.OPT_SORT_KEYS).decode()


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_timestamp(text)
