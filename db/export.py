"""Stored readings for training and drift: streamed, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One stored reading of a stream, its features as received."""

    asset_id: str
    sensor_id: str | None
    feature: str | None
    timestamp: datetime
    features: dict[str, float]
    is_anomaly: bool
    event: str | None = None
    event_kind: str | None = None


@dataclass(frozen=True, slots=True)
class ReadingFilter:
    """Which stored readings; None: all. ``start`` is inclusive, ``end`` is not."""

    start: datetime | None = None
    end: datetime | None = None
    asset_id: str | None = None
    group: str | None = None


_CONDITIONS = {
    "start": "timestamp >= :start",
    "end": "timestamp < :end",
    "asset_id": "asset_id = :asset_id",
    "group": "group_name = :group",
}
_COLUMNS = (
    "asset_id, sensor_id, feature, timestamp, features, is_anomaly, event_id,"
    " metadata -> 'event' ->> 'kind' AS event_kind"
)


def export_readings(
    connection: Connection, which: ReadingFilter, *, batch: int = 2000
) -> Iterator[StoredReading]:
    """Readings that came over Kafka, stream by stream, each in time order.

    Rows from REST are left out: by default only anomalies are journalled, so they would make a
    biased sample. Uses a server-side cursor: consume it inside the transaction.
    """
    parts = ["topic_id IS NOT NULL"]
    values = {name: value for name in _CONDITIONS if (value := getattr(which, name)) is not None}
    parts += [_CONDITIONS[name] for name in values]
    query = text(
        f"SELECT {_COLUMNS} FROM anomaly_detections "  # noqa: S608 (constants)
        f"WHERE {' AND '.join(parts)} ORDER BY asset_id, sensor_id, feature, timestamp, id"
    )
    # Sorting millions takes its time, and so may whoever reads them.
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    rows = connection.execution_options(yield_per=batch).execute(query, values)
    for row in rows:
        yield StoredReading(
            row.asset_id,
            row.sensor_id,
            row.feature,
            row.timestamp,
            {name: float(value) for name, value in row.features.items()},
            row.is_anomaly,
            row.event_id,
            row.event_kind,
        )


def recent_readings(
    connection: Connection, limit: int, group: str | None = None
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Features and scores of the newest ``limit`` readings that came over Kafka: for drift.

    Newest first. The scores are ``final_score`` and those of the detectors that had a say.
    """
    condition = "" if group is None else "AND group_name = :group"
    query = text(
        "SELECT features, final_score, scores FROM anomaly_detections "  # noqa: S608 (constants)
        f"WHERE topic_id IS NOT NULL {condition} ORDER BY timestamp DESC, id DESC LIMIT :limit"
    )
    return [
        (
            {name: float(value) for name, value in row.features.items()},
            {
                "final_score": float(row.final_score),
                **{one["model_name"]: float(one["score"]) for one in row.scores},
            },
        )
        for row in connection.execute(query, {"limit": limit, "group": group})
    ]
