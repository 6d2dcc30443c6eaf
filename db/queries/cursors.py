"""Encode and decode cursors: the position of the next page, and the query it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def _fingerprint(filters: DataclassInstance) -> str:
    return hashlib.blake2b(orjson.dumps(asdict(filters)), digest_size=6).hexdigest()


def encode_cursor(at: datetime, row_id: Any, filters: DataclassInstance) -> str:
    """Encode the position after a row as an opaque cursor.

    Parameters
    ----------
    at : datetime
        The row's time, aware.
    row_id : UUID or str
        The row's id, which distinguishes rows of the same time.
    filters : dataclass
        The filters of the query, to which the cursor is bound.
    """
    packed = orjson.dumps([at.astimezone(UTC).isoformat(), str(row_id), _fingerprint(filters)])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(cursor: str, filters: DataclassInstance) -> tuple[datetime, str]:
    """Decode the time and id of a cursor from :func:`encode_cursor`.

    Raises
    ------
    InputError
        ``bad_cursor``.
    """
    try:
        packed = cursor.encode("ascii")
        raw = base64.b64decode(packed + b"=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        at, last, of = orjson.loads(raw)
        time = datetime.fromisoformat(at)
        if time.utcoffset() != timedelta():  # PostgreSQL does not know all offsets that Python does
            raise ValueError("not in UTC")
        position = time, str(UUID(last))
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise InputError(
            "cursor: is not a next_cursor of this service", code="bad_cursor", field="cursor"
        ) from None
    if of != _fingerprint(filters):
        raise InputError(
            "cursor: belongs to a query with other filters", code="bad_cursor", field="cursor"
        )
    return position


def cut_page(
    rows: list[dict[str, Any]], limit: int, at: str, filters: DataclassInstance
) -> tuple[list[dict[str, Any]], str | None]:
    """Cut the rows to one page; return them and the next cursor, None if there is no next page.

    Parameters
    ----------
    rows : list of dict
        Up to one row more than the page has.
    limit : int
        Rows of the page.
    at : str
        The time column by which the rows are ordered, before their id.
    filters : dataclass
        The filters of the query.
    """
    page = rows[:limit]
    if len(rows) <= limit or not page:
        return page, None
    return page, encode_cursor(page[-1][at], page[-1]["id"], filters)
