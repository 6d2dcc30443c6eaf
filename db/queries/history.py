"""Query stored detections: filtered, newest first, page by page.

A page by cursor always costs the same, because it is an index range. A page by offset costs as much
as the rows it skips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from db.partitions import COLUMNS
from db.queries.cursors import cut_page, decode_cursor
from db.queries.rows import conditions, equal, read_row, read_rows
from db.queries.slices import WITHIN, Slice, after, slices, walk
from errors import InputError

#: Matches are counted up to this number; beyond, the planner's estimate is used.
EXACT_TOTAL = 10_000
EVERYTHING = Slice()


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Selection of detections; None: all. Times are inclusive."""

    asset_id: str | None = None
    sensor_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    is_anomaly: bool | None = True
    criticality: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of detections, each a dict of the table's columns."""

    total: int
    total_is_exact: bool
    rows: list[dict[str, Any]]
    next_cursor: str | None


_CONDITIONS = {
    **equal("asset_id", "sensor_id", "criticality"),
    "start": "timestamp >= :start",
    "end": "timestamp <= :end",
}
# This replaces both names: with both, the planner would multiply selectivities that are not
# independent.
_STREAM = "stream_id = stream_key(:asset_id, :sensor_id, NULL)"
# The row comparison uses the index; the plain comparison beside it prunes partitions.
_AFTER = "(timestamp, id) < (:at, CAST(:last AS uuid)) AND timestamp <= :at"
_BY_ID = text(
    f"SELECT {COLUMNS} FROM anomaly_detections WHERE id = :id AND {WITHIN} LIMIT 1"  # noqa: S608
)


def history(
    connection: Connection,
    filters: HistoryFilter,
    *,
    limit: int = 100,
    offset: int = 0,
    cursor: str | None = None,
) -> Page:
    """Return a page of stored detections, newest first, in a stable order for equal times.

    Parameters
    ----------
    filters : HistoryFilter
    limit : int
        Rows on the page.
    offset : int
        Rows to skip; cannot be combined with a cursor.
    cursor : str, optional
        ``next_cursor`` of the previous page, with the same filters.

    Raises
    ------
    InputError
        The cursor is invalid, or belongs to other filters.
    """
    at = decode_cursor(cursor, filters)[0] if cursor is not None else None
    parts = slices(connection, filters.start, after(filters.end))
    total, exact = _total(connection, filters, parts)
    if at is not None:
        parts = [part for part in parts if part.start is None or part.start <= at]
    rows = _rows(connection, filters, parts, limit=limit, offset=offset, cursor=cursor)
    return Page(total, exact, *cut_page(rows, limit, "timestamp", filters))


def _rows(
    connection: Connection,
    filters: HistoryFilter,
    parts: Sequence[Slice],
    *,
    limit: int,
    offset: int,
    cursor: str | None,
) -> list[dict[str, Any]]:
    """Return the newest matches after the skipped ones, up to one more than the page has."""
    rows: list[dict[str, Any]] = []
    for part in walk(connection, parts):
        query, values = page_query(
            filters, limit=limit - len(rows), offset=offset, cursor=cursor, part=part
        )
        before = len(rows)
        rows += read_rows(connection, text(query), values)
        if len(rows) > limit:
            break
        if len(rows) > before:
            offset = 0
        elif offset:
            offset -= _count(connection, filters, part, offset)
    return rows


def page_query(
    filters: HistoryFilter,
    *,
    limit: int,
    offset: int = 0,
    cursor: str | None = None,
    part: Slice = EVERYTHING,
) -> tuple[str, dict[str, Any]]:
    """Build the SELECT (and its parameters) of one page, or of its part in one slice.

    It fetches one row more than the page has.

    Parameters
    ----------
    filters : HistoryFilter
    limit, offset : int
        Rows of the page, and rows to skip.
    cursor : str, optional
        ``next_cursor`` of the previous page, with the same filters.
    part : Slice
        The part of the history to read.
    """
    if cursor is not None and offset:
        raise InputError("offset: cannot be combined with cursor", field="offset")
    where, values = _where(filters, part)
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
    """Return one stored detection; None if it does not exist."""
    for part in walk(connection, slices(connection)):
        values = {"id": detection_id, **part.values()}
        row = read_row(connection, _BY_ID, values)
        if row is not None:
            return row
    return None


def _where(filters: HistoryFilter, part: Slice) -> tuple[str, dict[str, Any]]:
    """Build the condition from constant parts, and its parameters."""
    parts, values = conditions(filters, _CONDITIONS)
    if filters.asset_id is not None and filters.sensor_id is not None:
        parts[:2] = [_STREAM]
    if filters.is_anomaly is not None:
        parts.append("is_anomaly" if filters.is_anomaly else "NOT is_anomaly")
    if part != EVERYTHING:
        parts.append(WITHIN)
        values |= part.values()
    return " AND ".join(parts) or "TRUE", values


def _total(
    connection: Connection, filters: HistoryFilter, parts: Sequence[Slice]
) -> tuple[int, bool]:
    """Count the matching rows; also return whether the count is exact."""
    counted = 0
    for part in walk(connection, parts):
        counted += _count(connection, filters, part, EXACT_TOTAL + 1 - counted)
        if counted > EXACT_TOTAL:
            break
    else:
        return counted, True
    estimate = sum(_estimate(connection, filters, part) for part in walk(connection, parts))
    return max(estimate, counted), False


def _count(connection: Connection, filters: HistoryFilter, part: Slice, limit: int) -> int:
    """Count the matching rows of a slice, up to ``limit``."""
    where, values = _where(filters, part)
    count = text(
        f"SELECT count(*) FROM (SELECT 1 FROM anomaly_detections WHERE {where} "  # noqa: S608
        "LIMIT :limit) m"
    )
    return int(connection.execute(count, {**values, "limit": limit}).scalar_one())


def _estimate(connection: Connection, filters: HistoryFilter, part: Slice) -> int:
    where, values = _where(filters, part)
    explain = f"EXPLAIN (FORMAT JSON) SELECT 1 FROM anomaly_detections WHERE {where}"  # noqa: S608
    plan = connection.execute(text(explain), values).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])
