"""Bodies and queries of incidents: one definition decodes, checks and describes each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from db.incident_actions import VERBS
from db.incident_tables import STATES
from db.queries.feedback import VERDICTS
from db.queries.incidents import IncidentFilter
from errors import InputError
from schemas import CRITICALITIES, MAX_NAME, Criticality, check_name, parse_timestamp
from serving.requests.query import choice, number, refuse_unknown, time

MOST_BULK = 1000
MOST_ROWS = 1000
MOST_CSV_ROWS = 10_000
MOST_READINGS = 5000

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Time = Annotated[str, Meta(max_length=64, description="ISO 8601; no offset means UTC")]
Text = Annotated[str, Meta(min_length=1, max_length=2000)]
Who = Annotated[str, Meta(min_length=1, max_length=255, description="on an open service only")]
Verdict = Literal["confirmed", "false_alarm", "expected", "unsure"]
assert Verdict.__args__ == VERDICTS  # type: ignore[attr-defined] # noqa: S101


class Verb(Struct, forbid_unknown_fields=True, frozen=True):
    """What comes with acknowledge, unacknowledge, unshelve and reopen."""

    why: Text | None = None
    who: Who | None = None


class Shelve(Struct, forbid_unknown_fields=True, frozen=True):
    """Until when (or for how many seconds) nobody is to be told, and why."""

    why: Text
    until: Time | None = None
    seconds: Annotated[float, Meta(gt=0)] | None = None
    who: Who | None = None


class Close(Struct, forbid_unknown_fields=True, frozen=True):
    """What it was."""

    verdict: Verdict | None = None
    fault_code: Name | None = None
    why: Text | None = None
    who: Who | None = None


class Assign(Struct, forbid_unknown_fields=True, frozen=True):
    """Who takes care of it; null: nobody."""

    assignee: Name | None
    why: Text | None = None
    who: Who | None = None


class Ticket(Struct, forbid_unknown_fields=True, frozen=True):
    """The id of a ticket or work order elsewhere; null: none."""

    ticket: Name | None
    why: Text | None = None
    who: Who | None = None


class Comment(Struct, forbid_unknown_fields=True, frozen=True):
    """Something to note."""

    why: Text
    who: Who | None = None


class Target(Struct, forbid_unknown_fields=True, frozen=True):
    """An incident, and the version of it that was seen."""

    id: UUID
    version: Annotated[int, Meta(ge=0)] | None = None


class Bulk(Struct, forbid_unknown_fields=True, frozen=True):
    """One action on many incidents."""

    action: str
    incidents: Annotated[list[Target], Meta(min_length=1, max_length=MOST_BULK)]
    arguments: dict[str, Any] = {}
    who: Who | None = None


class AssetBody(Struct, forbid_unknown_fields=True, frozen=True):
    """How much an asset matters."""

    criticality: Criticality
    why: Text | None = None
    who: Who | None = None


BODIES: dict[str, type[Struct]] = {
    "acknowledge": Verb,
    "unacknowledge": Verb,
    "shelve": Shelve,
    "unshelve": Verb,
    "close": Close,
    "reopen": Verb,
    "assign": Assign,
    "ticket": Ticket,
    "comment": Comment,
}
assert BODIES.keys() == VERBS.keys()  # noqa: S101


def schema(kind: type[Struct]) -> dict[str, Any]:
    """Describe a shape as a component of the OpenAPI document."""
    _, found = msgspec.json.schema_components((kind,), ref_template="#/components/schemas/{name}")
    described: dict[str, Any] = found[kind.__name__]
    described.pop("title", None)
    return described


def read_verb(verb: str, content: Any) -> tuple[dict[str, Any], str | None]:
    """Read a verb's arguments, and the name that came with it.

    Raises
    ------
    InputError
        Names the field and what is wrong with it.
    """
    body = read_struct(BODIES[verb], content)
    arguments = msgspec.structs.asdict(body)
    who = arguments.pop("who")
    if arguments.get("until") is not None:
        arguments["until"] = parse_timestamp(arguments["until"], "until")
    for name in ("assignee", "ticket", "fault_code"):
        if arguments.get(name) is not None:
            check_name(arguments[name], name)
    return arguments, who


def read_bulk(
    content: Any,
) -> tuple[str, list[tuple[UUID, int | None]], dict[str, Any], str | None]:
    """Read verb, incidents with the versions seen, arguments, and who."""
    bulk = read_struct(Bulk, content)
    verb = choice(BODIES)(bulk.action, "action")
    arguments, who = read_verb(verb, bulk.arguments)
    ids = [target.id for target in bulk.incidents]
    if len(set(ids)) < len(ids):
        raise InputError("incidents: an id is there twice", field="incidents")
    return verb, [(one.id, one.version) for one in bulk.incidents], arguments, bulk.who or who


def read_struct(kind: type[Any], content: Any) -> Any:
    """Convert ``content`` to one of the shapes above.

    Raises
    ------
    InputError
    """
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        message, _, path = str(error).partition(" - at `$.")
        field = path.removesuffix("`") or None
        value = f" (got {_at(content, field)!r:.80})" if field else ""
        raise InputError(f"{field + ': ' if field else ''}{message}{value}", field=field) from None


def _at(content: Any, path: str) -> Any:
    """Find the value at a path such as ``incidents[3].id``."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        try:
            content = content[int(part)] if isinstance(content, list) else content[part]
        except (LookupError, TypeError, ValueError):
            return None
    return content


def parse_states(value: str, field: str) -> tuple[str, ...]:
    """Read one state, or several with commas between."""
    return tuple(dict.fromkeys(choice(STATES)(one, field) for one in value.split(",")))


_FILTERS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "state": ("states", parse_states),
    "asset_id": ("asset_id", check_name),
    "sensor_id": ("sensor_id", check_name),
    "group": ("group", check_name),
    "criticality": ("criticality", choice(CRITICALITIES)),
    "assignee": ("assignee", check_name),
    "start_date": ("start", time),
    "end_date": ("end", time),
}
#: What a query may have besides filters.
_PAGE = ("limit", "cursor", "format")


def read_filters(query: dict[str, str]) -> tuple[IncidentFilter, int, str | None, bool]:
    """Read filters, limit, cursor, and whether CSV is wanted.

    Raises
    ------
    InputError
    """
    refuse_unknown(query, (*_FILTERS, *_PAGE))
    values: dict[str, Any] = {
        _FILTERS[name][0]: _FILTERS[name][1](value, name)
        for name, value in query.items()
        if name in _FILTERS
    }
    filters = IncidentFilter(**values)
    if filters.start and filters.end and filters.start > filters.end:
        raise InputError("start_date: lies after end_date", field="start_date")
    as_csv = choice(("json", "csv"))(query.get("format", "json"), "format") == "csv"
    most = MOST_CSV_ROWS if as_csv else MOST_ROWS
    limit = number(1, most)(query["limit"], "limit") if "limit" in query else min(most, 100)
    if as_csv and "limit" not in query:
        limit = most
    return filters, limit, query.get("cursor"), as_csv


def read_span(query: dict[str, str]) -> tuple[datetime | None, datetime | None, int]:
    """Read start, end and limit of ``/incidents/{id}/readings``."""
    refuse_unknown(query, ("start_date", "end_date", "limit"))
    start = time(query["start_date"], "start_date") if "start_date" in query else None
    end = time(query["end_date"], "end_date") if "end_date" in query else None
    if start and end and start > end:
        raise InputError("start_date: lies after end_date", field="start_date")
    limit = number(1, MOST_READINGS)(query["limit"], "limit") if "limit" in query else 1000
    return start, end, limit


def read_if_match(value: str | None) -> int | None:
    """Read the version that ``If-Match`` names; None: whichever.

    Raises
    ------
    InputError
    """
    if value is None or value.strip() == "*":
        return None
    text = value.strip().removeprefix("W/").strip('"')
    return number(0, 2**53)(text, "if-match")


def read_token(value: str | None) -> str | None:
    """Read ``Idempotency-Key``: text of at most 255 characters."""
    return None if value is None else check_name(value.strip(), "idempotency-key")
