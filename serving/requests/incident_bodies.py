"""Define the bodies and queries of incidents as Structs, which also describe them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from uuid import UUID

from msgspec import Meta, Struct, field

from db.incident_actions import VERBS
from db.incident_tables import STATES
from db.queries.feedback import Verdict
from db.queries.incidents import IncidentFilter
from errors import InputError
from schemas import Criticality, check_name
from serving.requests.wire import (
    AssetId,
    Instant,
    Name,
    SignedBody,
    SpanQuery,
    Text,
    check_unique,
    convert,
    decode,
    present_fields,
    read_parameters,
)

MAX_BULK = 1000  # incidents changed in one transaction
MAX_ROWS = 1000  # in one answer
MAX_CSV_ROWS = 10_000  # a spreadsheet has no next page

if TYPE_CHECKING:
    Verb: TypeAlias = str
else:
    Verb = Literal[tuple(VERBS)]


class VerbBody(SignedBody, frozen=True, kw_only=True):
    """Body of acknowledge, unacknowledge, unshelve and reopen."""

    why: Text | None = None


class Shelve(VerbBody, frozen=True, kw_only=True):
    """Until when (or for how many seconds) no notifications are sent, and why."""

    why: Text
    until: Instant | None = None
    seconds: Annotated[float, Meta(gt=0, examples=[3600.0])] | None = None


class Close(VerbBody, frozen=True, kw_only=True):
    """The verdict about the incident."""

    verdict: Verdict | None = None
    fault_code: Name | None = None


class Assign(VerbBody, frozen=True, kw_only=True):
    """The person who takes care of it; null: nobody."""

    assignee: Name | None


class Ticket(VerbBody, frozen=True, kw_only=True):
    """The id of an external ticket or work order; null: none."""

    ticket: Name | None


class Comment(VerbBody, frozen=True, kw_only=True):
    """A comment for the log."""

    why: Text


class Target(Struct, forbid_unknown_fields=True, frozen=True):
    """An incident, and its version as the caller has seen it."""

    id: UUID
    version: Annotated[int, Meta(ge=0)] | None = None


class Bulk(SignedBody, frozen=True, kw_only=True):
    """One action on many incidents."""

    action: Verb
    incidents: Annotated[list[Target], Meta(min_length=1, max_length=MAX_BULK)]
    arguments: dict[str, Any] = field(default_factory=dict)


class AssetBody(VerbBody, frozen=True, kw_only=True):
    """The criticality of an asset."""

    criticality: Criticality


BODIES: dict[str, type[VerbBody]] = {
    **dict.fromkeys(VERBS, VerbBody),
    "shelve": Shelve, "close": Close, "assign": Assign, "ticket": Ticket, "comment": Comment,
}  # fmt: skip


class IncidentsQuery(SpanQuery, frozen=True, rename={"states": "state"}):
    """Filters and page of incidents that overlap the given period."""

    states: Annotated[str | None, Meta(description=f"one or more of {', '.join(STATES)}")] = None
    asset_id: AssetId | None = None
    sensor_id: Name | None = None
    group: Name | None = None
    criticality: Annotated[Criticality | None, Meta(description="how severe it is")] = None
    assignee: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_CSV_ROWS)] | None = None
    cursor: str | None = None
    format: Literal["json", "csv"] = "json"


class LogQuery(Struct, frozen=True):
    """A page of an incident's log."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000
    cursor: Annotated[int, Meta(ge=0, le=2**53)] = 0


class ReadingsQuery(SpanQuery, frozen=True):
    """Which readings of a stream are returned."""

    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000


def read_bulk(content: bytes) -> tuple[Bulk, VerbBody]:
    """Parse an action on many incidents, with its arguments as the body of the action.

    Raises
    ------
    InputError
        Names the field and what is wrong with it.
    """
    bulk = decode(Bulk, content)
    body = convert(BODIES[bulk.action], bulk.arguments)
    check_unique([target.id for target in bulk.incidents], "incidents")
    return bulk, body


def parse_states(value: str) -> tuple[str, ...]:
    """Parse one state, or several separated by commas."""
    states = tuple(dict.fromkeys(value.split(",")))
    for state in states:
        if state not in STATES:
            raise InputError(f"state: {state!r:.40} is none of {', '.join(STATES)}", field="state")
    return states


def read_filters(parameters: dict[str, str]) -> tuple[IncidentFilter, int, str | None, bool]:
    """Parse filters, limit, cursor, and whether CSV is requested.

    Raises
    ------
    InputError
    """
    query = read_parameters(IncidentsQuery, parameters)
    query.check()
    states = None if query.states is None else parse_states(query.states)
    fields = present_fields(query, "limit", "cursor", "format")
    filters = IncidentFilter(**{**fields, "states": states})
    as_csv = query.format == "csv"
    if query.limit is None:
        return filters, MAX_CSV_ROWS if as_csv else 100, query.cursor, as_csv
    if query.limit > MAX_ROWS and not as_csv:
        raise InputError(f"limit: {query.limit} is not between 1 and {MAX_ROWS}", field="limit")
    return filters, query.limit, query.cursor, as_csv


def read_span(parameters: dict[str, str]) -> tuple[datetime | None, datetime | None, int]:
    """Parse start, end and limit of ``/incidents/{id}/readings``."""
    query = read_parameters(ReadingsQuery, parameters)
    query.check()
    return query.start, query.end, query.limit


def read_if_match(value: str | None) -> int | None:
    """Parse the version in ``If-Match``; None: any version.

    Raises
    ------
    InputError
    """
    if value is None or value.strip() == "*":
        return None
    text = value.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise InputError(f"if-match: {text!r:.40} is not a version", field="if-match")
    return int(text)


def read_token(value: str | None) -> str | None:
    """Parse ``Idempotency-Key``: text of at most 255 characters."""
    return None if value is None else check_name(value.strip(), "idempotency-key")
