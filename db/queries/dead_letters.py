"""Read dead letters back, page by page, oldest first, with every original byte."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from db.encoding import decode_headers
from db.queries.rows import as_bytes, conditions, equal, read_rows

#: Cursor after a dead letter: its ``(created_at, id)``.
Cursor = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Selection of dead letters; None: any. Duplicates only if their reason is given.

    ``since`` (inclusive) and ``until`` (exclusive) apply to the time of storing.
    """

    topic: str | None = None
    reason: str | None = None
    asset_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_CONDITIONS = {
    **equal("topic", "reason", "asset_id"),
    "since": "created_at >= :since",
    "until": "created_at < :until",
}


_REFUSED = text("""
    SELECT count(*) AS many, (array_agg(message ORDER BY created_at DESC))[1] AS newest_for,
        max(created_at) AS newest_at
    FROM (
        SELECT reason, left(message, 200) AS message, created_at FROM dead_letters
        WHERE asset_id = :asset AND created_at > now() - interval '1 day'
        ORDER BY created_at DESC LIMIT 1000
    ) dead WHERE reason <> 'duplicate'
""")


def refused_lately(connection: Connection, asset_id: str) -> dict[str, Any]:
    """Return how many records of an asset were refused within a day, when and why the newest was.

    Only the newest 1,000 are looked at. Duplicates are not refused.
    """
    (row,) = read_rows(connection, _REFUSED, {"asset": asset_id})
    return row


def dead_letter_page(
    connection: Connection, which: DeadLetterFilter, *, limit: int, after: Cursor | None = None
) -> list[dict[str, Any]]:
    """Return the oldest ``limit`` dead letters after a cursor; fewer if there are no more.

    Each has its original content, and ``created_at`` and ``id``, the next page's cursor.

    Parameters
    ----------
    connection : Connection
    which : DeadLetterFilter
    limit : int
        Rows of the page.
    after : (datetime, UUID), optional
        The cursor of the previous page.
    """
    parts, values = conditions(which, _CONDITIONS)
    if which.reason is None:
        parts.append("reason <> 'duplicate'")
    if after is not None:
        parts.append("(created_at, id) > (:after_time, CAST(:after_id AS uuid))")
        values |= {"after_time": after[0], "after_id": str(after[1])}
    query = text(
        "SELECT id, key, value, headers, kafka_timestamp, created_at "  # noqa: S608
        f"FROM dead_letters WHERE {' AND '.join(parts) or 'TRUE'} "
        "ORDER BY created_at, id LIMIT :limit"
    )
    read = {"key": as_bytes, "value": as_bytes, "headers": decode_headers}
    return [
        row | {name: how(row[name]) for name, how in read.items()}
        for row in read_rows(connection, query, {**values, "limit": limit})
    ]
