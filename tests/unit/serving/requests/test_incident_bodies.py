"""Bodies and queries of incidents: what is taken, and which field is at fault."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest

from db.queries.incidents import IncidentFilter
from errors import InputError
from serving.requests.incident_bodies import (
    BODIES,
    MAX_CSV_ROWS,
    Shelve,
    read_bulk,
    read_filters,
    read_if_match,
    read_span,
    read_token,
)
from serving.requests.wire import decode

ONE, TWO = UUID(int=1), UUID(int=2)


def bulk(**given: object) -> bytes:
    return orjson.dumps({"action": "shelve", "incidents": [{"id": ONE}, {"id": TWO}], **given})


def test_a_bulk_has_the_arguments_of_its_verb() -> None:
    given, body = read_bulk(bulk(arguments={"why": "tests", "seconds": 60}, who="ANNA"))
    assert ([one.id for one in given.incidents], given.who) == ([ONE, TWO], "ANNA")
    assert isinstance(body, Shelve)
    assert (body.why, body.seconds, body.until) == ("tests", 60.0, None)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (bulk(), "why"),
        (bulk(action="explode"), "action"),
        (bulk(incidents=[]), "incidents"),
        (bulk(incidents=[{"id": ONE}, {"id": ONE}], arguments={"why": "x"}), "incidents"),
        (bulk(incidents=[{"id": ONE, "version": -1}]), "incidents[0].version"),
        (bulk(arguments={"why": "x", "seconds": 0}), "seconds"),
    ],
)
def test_a_wrong_bulk_names_its_field(content: bytes, field: str) -> None:
    with pytest.raises(InputError) as caught:
        read_bulk(content)
    assert caught.value.field == field


@pytest.mark.parametrize("verb", BODIES)
def test_no_verb_takes_a_field_that_it_does_not_know(verb: str) -> None:
    with pytest.raises(InputError, match="vredict"):
        decode(BODIES[verb], b'{"vredict":"confirmed","why":"x","assignee":null,"ticket":null}')


def test_filters_limit_and_form_of_a_list() -> None:
    assert read_filters({}) == (IncidentFilter(), 100, None, False)
    query = {
        "state": "shelved,closed,shelved",
        "start_date": "2026-01-01",
        "format": "csv",
        "cursor": "c",
    }
    start = datetime(2026, 1, 1, tzinfo=UTC)
    filters = IncidentFilter(states=("shelved", "closed"), start=start)
    assert read_filters(query) == (filters, MAX_CSV_ROWS, "c", True)
    assert read_filters({"limit": "5"})[1] == 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "open"}, "state"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "0", "format": "csv"}, "limit"),
        ({"start_date": "2026-01-02", "end_date": "2026-01-01"}, "start_date"),
        ({"end_date": "yesterday"}, "end_date"),
        ({"states": "closed"}, "states"),
        ({"asset_id": "a\x00b"}, "asset_id"),
    ],
)
def test_a_wrong_query_names_its_parameter(query: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        read_filters(query)
    assert caught.value.field == field


def test_a_span_of_readings() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert read_span({"start_date": at.isoformat(), "limit": "7"}) == (at, None, 7)
    with pytest.raises(
        InputError, match=r"2026-01-02T00:00:00\+00:00 is after end_date, 2026-01-01"
    ):
        read_span({"start_date": "2026-01-02", "end_date": "2026-01-01"})


@pytest.mark.parametrize(
    ("header", "version"), [(None, None), ("*", None), ('"7"', 7), ('W/"7"', 7), (" 7 ", 7)]
)
def test_if_match_names_a_version(header: str | None, version: int | None) -> None:
    assert read_if_match(header) == version


@pytest.mark.parametrize("header", ["", "x", "-1", "\u0665", "9" * 17])
def test_what_is_no_version_is_refused(header: str) -> None:
    with pytest.raises(InputError) as caught:
        read_if_match(header)
    assert caught.value.field == "if-match"


def test_a_token_is_a_name() -> None:
    assert read_token(None) is None
    assert read_token(" once ") == "once"
    with pytest.raises(InputError):
        read_token(" ")
