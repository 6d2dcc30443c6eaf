"""Stream stored readings for training and drift, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from db.queries.rows import as_floats, conditions
from db.queries.slices import WITHIN, after, slices, walk


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One stored reading of a stream, with its features as received."""

    asset_id: str
    sensor_id: str | None
    feature: str | None
    timestamp: datetime
    features: dict[str, float]
    is_anomaly: bool
    event: str | None = None
    event_kind: str | None = None
    group: str | None = None  # the group that scored it


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
    "asset_id, sensor_id, feature, timestamp, features, is_anomaly, event_id AS event,"
    " metadata -> 'event' ->> 'kind' AS event_kind, group_name AS group"
)


def _where(which: ReadingFilter) -> tuple[str, dict[str, Any]]:
    """Build the condition of one slice from constant parts, with all other parameters."""
    parts, values = conditions(which, _CONDITIONS)
    return " AND ".join(["topic_id IS NOT NULL", WITHIN, *parts]), values


def export_readings(
    connection: Connection, which: ReadingFilter, *, batch: int = 2000
) -> Iterator[StoredReading]:
    """Yield readings from Kafka, each stream's in time order.

    They come slice by slice, oldest first, and within a slice stream by stream. Rows from REST are
    excluded: by default only anomalies are journalled, so they would be a biased sample. This uses
    a server-side cursor, so consume it inside the transaction.

    Parameters
    ----------
    connection : Connection
    which : ReadingFilter
    batch : int
        Rows fetched at a time.
    """
    where, values = _where(which)
    query = text(
        f"SELECT {_COLUMNS} FROM anomaly_detections WHERE {where} "  # noqa: S608 (constants)
        "ORDER BY asset_id, sensor_id, feature, timestamp, id"
    )
    # No time-outs: sorting millions of rows takes long, and so may their consumer.
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    options = {"yield_per": batch}
    for part in walk(connection, slices(connection, which.start, which.end)[::-1]):
        for row in connection.execute(
            query, {**values, **part.values()}, execution_options=options
        ):
            yield StoredReading(**{**row._mapping, "features": as_floats(row.features)})


def start_of_newest(connection: Connection, which: ReadingFilter, wanted: int) -> datetime | None:
    """Return the earliest time from which there are at most ``wanted`` readings.

    Parameters
    ----------
    connection : Connection
    which : ReadingFilter
    wanted : int
        Maximum number of readings.

    Returns
    -------
    datetime or None
        With ``wanted`` 0, just after the newest reading. None: there are no more readings in all.
    """
    where, values = _where(which)
    rows = f"FROM anomaly_detections WHERE {where}"
    count = text(f"SELECT count(*) FROM (SELECT 1 {rows} LIMIT :left + 1) m")  # noqa: S608
    nth = text(f"SELECT timestamp {rows} ORDER BY timestamp DESC, id DESC LIMIT 1 OFFSET :left")
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    left = wanted
    for part in walk(connection, slices(connection, which.start, which.end)):
        asked = {**values, **part.values(), "left": left}
        found = int(connection.execute(count, asked).scalar_one())
        if found > left:
            # The first reading too many; others of the same time are excluded with it.
            return after(connection.execute(nth, asked).scalar_one())
        left -= found
    return None


def recent_readings(
    connection: Connection,
    limit: int,
    group: str | None = None,
    start: datetime | None = None,
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Return features and scores of the newest readings from Kafka, newest first, for drift.

    Readings of maintenance and of machines that were off are left out, as they are of training.
    The scores are ``final_score`` and those of the detectors that took part.

    Parameters
    ----------
    connection : Connection
    limit : int
        Maximum number of readings.
    group : str, optional
        Only readings scored by this group.
    start : datetime, optional
        Only readings from this time on.
    """
    condition = "" if group is None else "AND group_name = :group"
    query = text(
        "SELECT features, final_score, scores FROM anomaly_detections "  # noqa: S608 (constants)
        f"WHERE topic_id IS NOT NULL {condition} AND NOT metadata ? 'suppressed' AND {WITHIN} "
        "ORDER BY timestamp DESC, id DESC LIMIT :limit"
    )
    found: list[tuple[dict[str, float], dict[str, float]]] = []
    for part in walk(connection, slices(connection, start)):
        values = {"limit": limit - len(found), "group": group, **part.values()}
        found += map(_features_and_scores, connection.execute(query, values))
        if len(found) >= limit:
            break
    return found


def _features_and_scores(row: Row[Any]) -> tuple[dict[str, float], dict[str, float]]:
    return (
        as_floats(row.features),
        {
            "final_score": float(row.final_score),
            **{one["model_name"]: float(one["score"]) for one in row.scores},
        },
    )
