"""Define the bodies and queries of feedback, fault codes and KPIs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from db.queries.alarm_load import Ranking
from db.queries.feedback import FeedbackFilter, Verdict
from errors import InputError
from serving.requests.incident_bodies import VerbBody
from serving.requests.wire import (
    AssetId,
    Instant,
    Name,
    SignedBody,
    SpanQuery,
    Text,
    present_fields,
    read_parameters,
)

MAX_CODES = 1000  # in a plant's list
#: Default period of the KPIs.
DEFAULT_PERIOD = timedelta(days=30)
#: Fields of a body whose column has another name.
_COLUMNS = {"start": "starts_at", "end": "ends_at"}


class IncidentFeedback(SignedBody, frozen=True, kw_only=True):
    """Feedback about an incident, for its own period unless another is given."""

    verdict: Verdict
    fault_code: Name | None = None
    note: Text | None = None
    start: Instant | None = None
    end: Instant | None = None


class SpanFeedback(SignedBody, frozen=True, kw_only=True):
    """Feedback about a period of an asset; without ``sensor_id`` of all its streams."""

    asset_id: AssetId
    start: Instant
    end: Instant
    verdict: Verdict
    sensor_id: Name | None = None
    feature: Name | None = None
    fault_code: Name | None = None
    note: Text | None = None


class Withdrawal(VerbBody, frozen=True, kw_only=True):
    """The reason for withdrawing feedback."""


class FaultCode(Struct, forbid_unknown_fields=True, frozen=True):
    """A kind of fault, with its remedy."""

    code: Annotated[str, Meta(min_length=1, max_length=100, examples=["BEARING"])]
    name: Name
    action: Annotated[str, Meta(max_length=2000)] = ""


class FaultCodes(SignedBody, frozen=True, kw_only=True):
    """The plant's list; empty: restore the shipped one."""

    fault_codes: Annotated[list[FaultCode], Meta(max_length=MAX_CODES)]


class FeedbackQuery(SpanQuery, frozen=True, rename={"incident_id": "incident"}):
    """Filters and page of feedback whose period overlaps the given one."""

    asset_id: AssetId | None = None
    sensor_id: Name | None = None
    incident_id: UUID | None = None
    verdict: Verdict | None = None
    withdrawn: bool | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: str | None = None


class PeriodQuery(SpanQuery, frozen=True):
    """A period, by default the last 30 days; the future is cut off."""


class TopQuery(PeriodQuery, frozen=True):
    """Ranking criterion, period and number of results."""

    by: Ranking = "count"
    limit: Annotated[int, Meta(ge=1, le=1000)] = 10


def feedback_values(body: IncidentFeedback | SpanFeedback) -> dict[str, Any]:
    """Return the columns that are set by a body."""
    return {_COLUMNS.get(name, name): value for name, value in present_fields(body, "who").items()}


def fault_code_rows(body: FaultCodes) -> list[dict[str, str]]:
    """Return the rows of the list.

    Raises
    ------
    InputError
        A code occurs twice.
    """
    rows: dict[str, dict[str, str]] = {}
    for index, one in enumerate(body.fault_codes):
        if one.code in rows:
            where = f"fault_codes[{index}].code"
            raise InputError(f"{where}: {one.code!r} is there twice", field=where)
        rows[one.code] = present_fields(one)
    return list(rows.values())


def read_feedback_query(parameters: dict[str, str]) -> tuple[FeedbackFilter, int, str | None]:
    """Parse filters, limit and cursor.

    Raises
    ------
    InputError
    """
    query = read_parameters(FeedbackQuery, parameters)
    query.check()
    filters = FeedbackFilter(**present_fields(query, "limit", "cursor"))
    return filters, query.limit, query.cursor


def read_period(query: PeriodQuery, now: datetime) -> tuple[datetime, datetime]:
    """Return start and end, by default of the last 30 days; ``now`` is the latest end.

    Raises
    ------
    InputError
    """
    end = min(query.end or now, now)
    start = query.start or max(end, datetime(1, 3, 1, tzinfo=UTC)) - DEFAULT_PERIOD
    if start >= end:
        raise InputError(
            f"start_date: {start.isoformat()} is not before the end, {end.isoformat()}",
            field="start_date",
        )
    return start, end
