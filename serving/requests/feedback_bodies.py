"""Bodies and queries of feedback, fault codes and KPIs: one definition decodes and describes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import orjson
from msgspec import Meta, Struct

from db.encoding import clean_text
from db.queries.feedback import VERDICTS, FeedbackFilter
from errors import InputError
from schemas import check_name, parse_timestamp
from serving.requests.incident_bodies import Name, Text, Time, Verdict, Who
from serving.requests.query import choice, flag, number, refuse_unknown, time

MOST_CODES = 1000
MOST_ROWS = 1000
MOST_TOP = 1000
TOP_BY = ("count", "chattering", "standing")
#: The KPIs' period where none is asked for.
DEFAULT_PERIOD = timedelta(days=30)


class IncidentFeedback(Struct, forbid_unknown_fields=True, frozen=True):
    """What an incident was; about its own span unless another one is given."""

    verdict: Verdict
    fault_code: Name | None = None
    note: Text | None = None
    start: Time | None = None
    end: Time | None = None
    who: Who | None = None


class SpanFeedback(Struct, forbid_unknown_fields=True, frozen=True):
    """What a span of an asset was; without ``sensor_id`` of all its streams."""

    asset_id: Name
    start: Time
    end: Time
    verdict: Verdict
    sensor_id: Name | None = None
    feature: Name | None = None
    fault_code: Name | None = None
    note: Text | None = None
    who: Who | None = None


class Withdrawal(Struct, forbid_unknown_fields=True, frozen=True):
    """Why feedback is withdrawn."""

    why: Text | None = None
    who: Who | None = None


class FaultCode(Struct, forbid_unknown_fields=True, frozen=True):
    """A kind of fault, and what to do about it."""

    code: Annotated[str, Meta(min_length=1, max_length=100)]
    name: Name
    action: Annotated[str, Meta(max_length=2000)] = ""


class FaultCodes(Struct, forbid_unknown_fields=True, frozen=True):
    """The plant's list; empty: the shipped one again."""

    fault_codes: Annotated[list[FaultCode], Meta(max_length=MOST_CODES)]
    who: Who | None = None


BODIES: tuple[type[Struct], ...] = (
    IncidentFeedback, SpanFeedback, Withdrawal, FaultCode, FaultCodes,
)  # fmt: skip


def feedback_values(body: IncidentFeedback | SpanFeedback) -> dict[str, Any]:
    """Return the columns that a body gives.

    Raises
    ------
    InputError
        A name or a time is none.
    """
    values: dict[str, Any] = {"verdict": body.verdict, "note": clean_text(body.note or "") or None}
    if isinstance(body, SpanFeedback):
        values["asset_id"] = check_name(body.asset_id, "asset_id")
        for name in ("sensor_id", "feature"):
            given = getattr(body, name)
            values[name] = None if given is None else check_name(given, name)
    code = body.fault_code
    values["fault_code"] = None if code is None else check_name(code, "fault_code")
    for name in ("start", "end"):
        given = getattr(body, name)
        values[f"{name}s_at"] = None if given is None else parse_timestamp(given, name)
    return values


def fault_code_rows(body: FaultCodes) -> list[dict[str, str]]:
    """Return the list's rows.

    Raises
    ------
    InputError
        A code is there twice, or a text has what PostgreSQL cannot store.
    """
    rows: list[dict[str, str]] = []
    for place, one in enumerate(body.fault_codes):
        where = f"fault_codes[{place}]"
        row = {"code": check_name(one.code, f"{where}.code"),
               "name": check_name(one.name, f"{where}.name"), "action": one.action}  # fmt: skip
        if "\x00" in one.action:
            raise InputError(f"{where}.action: has a NUL character", field=f"{where}.action")
        if any(row["code"] == other["code"] for other in rows):
            raise InputError(f"{where}.code: {one.code!r} is there twice", field=f"{where}.code")
        rows.append(row)
    return rows


def _uuid(value: str, field: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise InputError(f"{field}: {value!r:.80} is no UUID", field=field) from None


_FILTERS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "asset_id": ("asset_id", check_name),
    "sensor_id": ("sensor_id", check_name),
    "incident": ("incident_id", _uuid),
    "verdict": ("verdict", choice(VERDICTS)),
    "withdrawn": ("withdrawn", flag),
    "start_date": ("start", time),
    "end_date": ("end", time),
}


def read_feedback_query(
    query: dict[str, str],
) -> tuple[FeedbackFilter, int, tuple[datetime, UUID] | None]:
    """Read filters, limit, and what comes before the page asked for.

    Raises
    ------
    InputError
    """
    refuse_unknown(query, (*_FILTERS, "limit", "cursor"))
    filters = FeedbackFilter(
        **{
            _FILTERS[name][0]: _FILTERS[name][1](value, name)
            for name, value in query.items()
            if name in _FILTERS
        }
    )
    if filters.start and filters.end and filters.start > filters.end:
        raise InputError("start_date: lies after end_date", field="start_date")
    limit = number(1, MOST_ROWS)(query.get("limit", "100"), "limit")
    return filters, limit, _decode(query["cursor"]) if "cursor" in query else None


def encode_cursor(row: dict[str, Any]) -> str:
    """Name the row after which the next page begins."""
    packed = orjson.dumps([row["created_at"].astimezone(UTC), row["id"]])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        packed = cursor.encode("ascii")
        at, last = orjson.loads(base64.urlsafe_b64decode(packed + b"=" * (-len(packed) % 4)))
        found = datetime.fromisoformat(at), UUID(last)
        if found[0].tzinfo is None:
            raise ValueError("no offset")
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise InputError(
            "cursor: not a next_cursor of this query", code="bad_cursor", field="cursor"
        ) from None
    return found


def read_period(query: dict[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Read ``start_date`` and ``end_date``; the last 30 days without, and nothing beyond ``now``.

    Raises
    ------
    InputError
    """
    end = min(time(query["end_date"], "end_date"), now) if "end_date" in query else now
    if "start_date" in query:
        start = time(query["start_date"], "start_date")
    else:
        start = max(end, datetime(1, 3, 1, tzinfo=UTC)) - DEFAULT_PERIOD
    if start >= end:
        raise InputError(
            f"start_date: {start.isoformat()} does not lie before the end, {end.isoformat()}",
            field="start_date",
        )
    return start, end


def read_top(query: dict[str, str], now: datetime) -> tuple[str, datetime, datetime, int]:
    """Read by what, the period, and how many.

    Raises
    ------
    InputError
    """
    refuse_unknown(query, ("by", "start_date", "end_date", "limit"))
    by = choice(TOP_BY)(query.get("by", "count"), "by")
    limit = number(1, MOST_TOP)(query.get("limit", "10"), "limit")
    return by, *read_period(query, now), limit
