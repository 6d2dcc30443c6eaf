"""Read stored readings as training data.

All training data count as normal, and a fault that is learnt is a fault missed. Readings of lasting
alarms are therefore left out. Alarms with fewer than LASTING anomalous readings stay in: most of
them are the false alarms that the budget allows. Without these largest normal magnitudes each
calibration would be tighter, and alarm more, than the one before (docs/training.md).

People's feedback takes precedence. False alarms are healthy however long they lasted. Confirmed
faults stay among the data as labelled faults: nothing is fitted on them, but their detection is
measured. Expected behaviour is used for neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Connection, Engine

from config import Settings
from datasets import Stream
from db.queries.feedback import feedback_spans
from db.queries.readings import ReadingFilter, StoredReading, export_readings, start_of_newest
from db.queries.schedules import off_conditions, windows
from db.session import opened, transaction
from errors import DatasetError
from models.scoring.alarms.events import SENSOR_FAULT
from models.scoring.maintenance.suppression import OffState, Suppression, Suppressor
from schemas import moved
from training.data.judgements import EXPECTED, FAULT, HEALTHY, Judgements
from training.data.sources import TrainingData

#: Minimum number of anomalous readings of an event that counts as a fault instead of a false alarm.
LASTING = 5


def from_database(
    engine: Engine,
    settings: Settings,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    keep_events: bool = False,
    keep_suppressed: bool = False,
) -> TrainingData:
    """Read the stored readings in ``[start, end)``, as streams.

    Parameters
    ----------
    engine
        Connects to the database.
    settings
        Limit the days and the readings; the data's ``source`` says what is left out.
    start, end : datetime, optional
        Time range.
    keep_events : bool
        Keep the readings of lasting alarms.
    keep_suppressed : bool
        Keep the readings in maintenance windows and of machines that were off.

    Raises
    ------
    DatasetError
        No readings are stored, or all belong to lasting alarms.
    StorageUnavailable
        The database cannot be read.
    """
    source = "readings stored in PostgreSQL"
    with transaction(engine) as connection:
        if start is None and settings.train_stored_days:
            last = start_of_newest(connection, ReadingFilter(end=end), 0)
            days = timedelta(days=settings.train_stored_days)
            start = None if last is None else moved(last, -days)
            source += f" of the last {settings.train_stored_days} days (TRAIN_STORED_DAYS, --since)"
        newest = start_of_newest(connection, ReadingFilter(start, end), settings.train_stored_rows)
        if newest is not None:
            start = newest
            source += f", the newest {settings.train_stored_rows:,} of them (TRAIN_STORED_ROWS)"
        suppression = None if keep_suppressed else _suppression(connection, start)
        judgements = Judgements(feedback_spans(connection, start))
        stored = export_readings(connection, ReadingFilter(start, end))
        return to_streams(
            stored,
            source,
            keep_events=keep_events,
            suppression=suppression,
            judgements=judgements,
        )


def stored_data(
    settings: Settings, start: datetime | None = None, end: datetime | None = None, **keep: bool
) -> TrainingData:
    """Connect, and read stored readings by :func:`from_database`.

    Parameters
    ----------
    settings, start, end, keep
        Those of :func:`from_database`.
    """
    with opened(settings) as engine:
        return from_database(engine, settings, start, end, **keep)


def to_streams(
    readings: Iterable[StoredReading],
    source: str,
    *,
    keep_events: bool = False,
    suppression: Suppression | None = None,
    judgements: Judgements | None = None,
) -> TrainingData:
    """Arrange stored readings as one array per stream; NaN where a feature was not sent.

    Parameters
    ----------
    readings
        In order of time; streams may be mixed.
    source
        Description of the data; what is left out is appended.
    keep_events
        Keep the readings of lasting alarms.
    suppression
        Maintenance windows and off conditions whose readings are left out.
    judgements
        People's feedback on these readings.
    """
    judgements = judgements or Judgements()
    columns, streams, suppressed = _by_stream(readings, suppression)
    if suppressed:
        source += f" ({suppressed:,} of maintenance or machines that were off left out)"
    if not streams:
        raise DatasetError("no readings are stored in PostgreSQL for that time")
    made, singles, left_out = [], [], 0
    for (asset, sensor, feature), grown in streams.items():
        if not len(grown):
            continue
        times, values = grown.arrays(len(columns))
        judged = judgements.of((asset, sensor, feature), times)
        keep = np.ones(len(grown), bool) if keep_events else grown.normal(judged == HEALTHY)
        left_out += int((~keep & (judged == 0)).sum())
        keep = (keep | (judged == FAULT)) & (judged != EXPECTED)
        if keep.any():
            labels = (judged[keep] == FAULT).astype(np.int8) if (judged == FAULT).any() else None
            healthy = times[keep & (judged == HEALTHY)]
            stream = Stream(asset, sensor, times[keep], values[keep], labels)
            made.append(replace(stream, healthy=healthy) if len(healthy) else stream)
            singles.append(feature)
    source += judgements.note()
    if not made and left_out:
        raise DatasetError(
            f"all {left_out:,} readings stored in PostgreSQL belong to lasting alarms:"
            " --keep-events trains on them"
        )
    if not made and judgements.counts:
        raise DatasetError(f"no readings are left to train on: {source}")
    if not made:
        raise DatasetError(
            f"all {suppressed:,} readings stored in PostgreSQL lie in maintenance windows or"
            " belong to machines that were off: --keep-suppressed trains on them"
        )
    if left_out:
        source += f" ({left_out:,} of alarms with {LASTING} or more anomalies left out)"
    return TrainingData(list(columns), made, source, single=singles, judged=bool(judgements))


def _by_stream(
    readings: Iterable[StoredReading], suppression: Suppression | None
) -> tuple[dict[str, int], dict[tuple[str, str | None, str | None], _Growing], int]:
    """Return the columns by feature, the readings by stream, and how many are suppressed."""
    columns: dict[str, int] = {}
    streams: dict[tuple[str, str | None, str | None], _Growing] = {}
    suppressed = 0
    for reading in readings:
        key = (reading.asset_id, reading.sensor_id or None, reading.feature or None)
        grown = streams.get(key)
        if grown is None:
            suppressor = suppression.of(key[:2], reading.group or "") if suppression else None
            grown = streams[key] = _Growing(suppressor)
        if grown.suppresses(reading):
            suppressed += 1
        else:
            grown.add(reading, columns)
    return columns, streams, suppressed


def _suppression(connection: Connection, start: datetime | None) -> Suppression:
    since = start or datetime(1, 1, 2, tzinfo=UTC)
    planned = windows(connection, since, limit=None)
    return Suppression.from_rows(planned, off_conditions(connection), "training")


class _Growing:
    """One stream while it is read."""

    def __init__(self, suppressor: Suppressor | None = None) -> None:
        self._suppressor = suppressor or None  # an empty suppressor is false
        self._off = OffState()
        self._times: list[int] = []
        self._rows: list[np.ndarray] = []
        self._events: list[str | None] = []
        self._anomalies: Counter[str | None] = Counter()
        self._faulty: list[bool] = []

    def __len__(self) -> int:
        return len(self._times)

    def suppresses(self, reading: StoredReading) -> bool:
        """Return whether a reading lies in maintenance or is of a machine that was off."""
        if self._suppressor is None:
            return False
        judged = self._suppressor.take(self._off, reading.timestamp, reading.features)
        return judged is not None

    def add(self, reading: StoredReading, columns: dict[str, int]) -> None:
        """Append a reading; a new feature gets the next column."""
        features: Mapping[str, float] = reading.features
        for name in features:
            columns.setdefault(name, len(columns))
        row = np.full(len(columns), np.nan)
        for name, value in features.items():
            row[columns[name]] = value
        self._times.append(round(reading.timestamp.timestamp() * 1e6))
        self._rows.append(row)
        self._events.append(reading.event)
        self._anomalies[reading.event] += reading.is_anomaly
        self._faulty.append(reading.is_anomaly and reading.event_kind == SENSOR_FAULT)

    def normal(self, healthy: np.ndarray) -> np.ndarray:
        """Return which readings (n,) belong to no lasting alarm and lie within physical limits.

        Readings that people call ``healthy`` (n,) may belong to a lasting alarm.
        """
        lasting = {
            event for event, n in self._anomalies.items() if event is not None and n >= LASTING
        }
        return np.array(
            [
                not faulty and (well or event not in lasting)
                for event, faulty, well in zip(self._events, self._faulty, healthy, strict=True)
            ]
        )

    def arrays(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return times (n,) and values (n, width)."""
        values = np.full((len(self._rows), width), np.nan)
        for i, row in enumerate(self._rows):
            values[i, : len(row)] = row
        return np.array(self._times, "datetime64[us]"), values
