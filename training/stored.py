"""Stored readings as training data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np
from sqlalchemy import Engine

from datasets import Stream
from db.repository import ReadingFilter, StoredReading, export_readings
from db.session import transaction
from errors import DatasetError
from training.sources import TrainingData


def from_database(
    engine: Engine, start: datetime | None = None, end: datetime | None = None
) -> TrainingData:
    """Every reading that came over Kafka in ``[start, end)``, as streams.

    Raises
    ------
    DatasetError
        No readings are stored.
    StorageUnavailable
        The database cannot be read.
    """
    with transaction(engine) as connection:
        return to_streams(export_readings(connection, ReadingFilter(start, end)))


def to_streams(readings: Iterable[StoredReading]) -> TrainingData:
    """Stored readings, stream after stream, to arrays; NaN where a feature was not sent."""
    columns: dict[str, int] = {}
    streams: dict[tuple[str, str | None, str | None], _Growing] = {}
    for reading in readings:
        key = (reading.asset_id, reading.sensor_id or None, reading.feature or None)
        streams.setdefault(key, _Growing()).add(reading.timestamp, reading.features, columns)
    if not streams:
        raise DatasetError("no readings are stored in PostgreSQL yet")
    made = [
        Stream(asset, sensor, *grown.arrays(len(columns)))
        for (asset, sensor, _), grown in streams.items()
    ]
    singles = [feature for _, _, feature in streams]
    return TrainingData(list(columns), made, "readings stored in PostgreSQL", single=singles)


class _Growing:
    """One stream while it is read; as compact as arrays can grow."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._rows: list[np.ndarray] = []

    def add(self, at: datetime, features: Mapping[str, float], columns: dict[str, int]) -> None:
        for name in features:
            columns.setdefault(name, len(columns))
        row = np.full(len(columns), np.nan)
        for name, value in features.items():
            row[columns[name]] = value
        self._times.append(round(at.timestamp() * 1e6))
        self._rows.append(row)

    def arrays(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        values = np.full((len(self._rows), width), np.nan)
        for i, row in enumerate(self._rows):
            values[i, : len(row)] = row
        return np.array(self._times, "datetime64[us]"), values
