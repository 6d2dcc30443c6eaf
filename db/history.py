"""Stored detections for readers: filtered, newest first, page by page.

A page by cursor costs the same wherever it lies, because it is an index range; by offset it
costs what it skips.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from errors import InputError

#: Up to here the number of matches is counted; beyond, it is the planner's estimate.
EXACT_TOTAL = 10_000

COLUMNS = """
    id, timestamp, asset_id, sensor_id, feature, final_score, p, threshold, is_anomaly,
    criticality, asset_criticality, scores, features, metadata, event_id, window_mark, group_name,
    bundle_version, topic_id, partition, source_offset, created_at
"""


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What a reader asks for; None: everything. Times are inclusive."""

    asset_id: str | None = None
    sensor_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    is_anomaly: bool | None = True
    criticality: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of detections, each a dict of the table's columns."""

    rows: list[dict[str, Any]]
    total: int
    total_is_exact: bool
    next_cursor: str | None


_CONDITIONS = {
    "asset_id": "asset_id = :asset_id",
    "sensor_id": "sensor_id = :sensor_id",
    "start": "timestamp >= :start",
    "end": "timestamp <= :end",
    "criticality": "criticality = :criticality",
}
# Alone in place of the two names: both together would make the planner multiply what is one fact.
_STREAM = "stream_id = stream_key(:asset_id, :sensor_id, NULL)"
# A row comparison walks the index; the plain one beside it is what prunes partitions.
_AFTER = "(timestamp, id) < (:at, CAST(:last AS uuid)) AND timestamp <= :at"
_BY_ID = text(f"SELECT {COLUMNS} FROM anomaly_detections WHERE id = :id LIMIT 1")  # noqa: S608


def history(
    connection: Connection,
    filters: HistoryFilter,
    *,
    limit: int = 100,
    offset: int = 0,
    cursor: str | None = None,
) -> Page:
    """One page of stored detections, newest first, in a stable order under equal times.

    Parameters
    ----------
    filters : HistoryFilter
    limit : int
        Rows on the page.
    offset : int
        Rows to skip; not together with a cursor.
    cursor : str, optional
        ``next_cursor`` of the page before, with the same filters.

    Raises
    ------
    InputError
        The cursor is not one of ours, or belongs to other filters.
    """
    total, exact = _total(connection, *_where(filters))
    query, values = page_query(filters, limit=limit, offset=offset, cursor=cursor)
    rows = [dict(row) for row in connection.execute(text(query), values).mappings()]
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, total, exact, encode_cursor(rows[-1], filters) if more and rows else None)


def page_query(
    filters: HistoryFilter, *, limit: int, offset: int = 0, cursor: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The SELECT of one page and its parameters; it fetches one row more than the page has."""
    if cursor is not None and offset:
        raise InputError("offset: not together with cursor", field="offset")
    where, values = _where(filters)
    if cursor is not None:
        at, last = decode_cursor(cursor, filters)
        where = f"{where} AND {_AFTER}"
        values |= {"at": at, "last": last}
    query = (
        f"SELECT {COLUMNS} FROM anomaly_detections WHERE {where} "  # noqa: S608 (constants)
        "ORDER BY timestamp DESC, id DESC LIMIT :limit OFFSET :offset"
    )
    return query, {**values, "limit": limit + 1, "offset": offset}


def get_detection(connection: Connection, detection_id: UUID) -> dict[str, Any] | None:
    """One stored detection, or None."""
    row = connection.execute(_BY_ID, {"id": detection_id}).mappings().one_or_none()
    return None if row is None else dict(row)


def _where(filters: HistoryFilter) -> tuple[str, dict[str, Any]]:
    """The condition out of constant parts, and its parameters."""
    values = {name: value for name in _CONDITIONS if (value := getattr(filters, name)) is not None}
    names = list(values)
    parts: list[str] = []
    if filters.asset_id is not None and filters.sensor_id is not None:
        names = [name for name in names if name not in ("asset_id", "sensor_id")]
        parts.append(_STREAM)
    parts += [_CONDITIONS[name] for name in names]
    if filters.is_anomaly is not None:
        parts.append("is_anomaly" if filters.is_anomaly else "NOT is_anomaly")
    return " AND ".join(parts) or "TRUE", values


def _total(connection: Connection, where: str, values: dict[str, Any]) -> tuple[int, bool]:
    """How many rows match, and whether that is exact."""
    count = text(
        f"SELECT count(*) FROM (SELECT 1 FROM anomaly_detections WHERE {where} "  # noqa: S608
        "LIMIT :most) m"
    )
    counted = connection.execute(count, {**values, "most": EXACT_TOTAL + 1}).scalar_one()
    if counted <= EXACT_TOTAL:
        return counted, True
    plan = connection.execute(
        text(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM anomaly_detections WHERE {where}"),  # noqa: S608
        values,
    ).scalar_one()
    return max(int(plan[0]["Plan"]["Plan Rows"]), counted), False


def _fingerprint(filters: HistoryFilter) -> str:
    return hashlib.blake2b(orjson.dumps(asdict(filters)), digest_size=6).hexdigest()


def encode_cursor(row: dict[str, Any], filters: HistoryFilter) -> str:
    """An opaque mark of the place after ``row``."""
    at = row["timestamp"].astimezone(UTC).isoformat()
    packed = orjson.dumps([at, str(row["id"]), _fingerprint(filters)])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(cursor: str, filters: HistoryFilter) -> tuple[datetime, str]:
    """The place that :func:`encode_cursor` marked.

    Raises
    ------
    InputError
        ``bad_cursor``.
    """
    try:
        packed = cursor.encode("ascii")
        raw = base64.b64decode(packed + b"=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        at, last, of = orjson.loads(raw)
        place = datetime.fromisoformat(at), str(UUID(last))
        if place[0].tzinfo is None:
            raise ValueError("no offset")
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise InputError(
            "cursor: not a next_cursor of this service", code="bad_cursor", field="cursor"
        ) from None
    if of != _fingerprint(filters):
        raise InputError(
            "cursor: belongs to a query with other filters", code="bad_cursor", field="cursor"
        )
    return place
