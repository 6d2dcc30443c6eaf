"""Decoding by Structs: what is right in one go, what is wrong with field and value."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec import Struct

from errors import InputError
from serving.requests.explanations import at
from serving.requests.wire import (
    AssetId,
    Features,
    Instant,
    Name,
    check_unique,
    convert,
    decode,
    present_fields,
    read_json,
    read_parameters,
)


class Inner(Struct, forbid_unknown_fields=True):
    name: Name
    features: Features = {}


class Body(Struct, forbid_unknown_fields=True):
    asset_id: AssetId
    when: Instant | None = None
    several: list[Inner] = []
    count: int = 0


class Query(Struct, frozen=True, rename={"since": "start_date"}):
    since: Instant | None = None
    limit: int = 10
    word: str | None = None
    flag: bool | None = None


def body(**content: Any) -> bytes:
    return orjson.dumps({"asset_id": "A", **content})


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        (b'{"when":"2026-01-01"}', "asset_id", "is missing"),
        (body(asset_id=""), "asset_id", "bad_name"),
        (body(asset_id=None), "asset_id", "is missing or null"),
        (body(when="soon"), "when", "'soon' is not an ISO 8601 time"),
        (body(count="7"), "count", "is not an integer (got '7')"),
        (body(other=1), "other", "known are asset_id, when, several, count"),
        (body(several=[{"name": "a"}, {}]), "several[1].name", "is missing"),
        (
            body(several=[{"name": "a", "features": {"x": 1, "y": True}}]),
            "several[0].features.y",
            "True",
        ),
        (b'{"asset_id":"a\\u0000b"}', "asset_id", "NUL"),
        (body(several=[{"name": "a\x00"}]), "several", "NUL"),
    ],
)
def test_what_is_wrong_names_field_and_value(content: bytes, field: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(Body, content)
    assert caught.value.field == field
    assert message in f"{caught.value.code} {caught.value.message}"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 2000, b"nul"])
def test_what_is_no_json_is_400(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_json(content)
    assert (caught.value.status, caught.value.code) == (400, "bad_json")


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert decode(Body, rb'{"asset_id":"a\\u0000"}').asset_id == "a\\u0000"


def test_nul_may_be_left_to_others() -> None:
    convert(Body, {"asset_id": "A", "several": [{"name": "a\x00"}]}, nul=True)


def test_a_query_is_read_by_the_names_it_goes_by() -> None:
    query = read_parameters(Query, {"start_date": "2026-01-01T00:00:00 01:00", "limit": "3"})
    assert query.since is not None
    assert query.since.isoformat() == "2025-12-31T23:00:00+00:00"
    assert query.limit == 3
    assert present_fields(query, "limit") == {"since": query.since, "word": None, "flag": None}


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"since": "2026-01-01"}, "since"),
        ({"limit": "1e3"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"flag": "null"}, "flag"),
        ({"word": "\x00"}, "word"),
        ({"start_date": ""}, "start_date"),
        ({"x" * 99: "1"}, "x" * 64),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        read_parameters(Query, parameters)
    assert caught.value.field == field


def test_a_path_leads_to_a_value_or_to_nothing() -> None:
    content = {"a": [{"b": 7}]}
    assert at(content, "a[0].b") == 7
    for path in ("a[1].b", "a[x]", "b", "a[0].b.c"):
        assert at(content, path) is None


def test_what_occurs_twice_is_named() -> None:
    check_unique(["a", "b"], "names")
    with pytest.raises(InputError, match="names: b occurs twice") as caught:
        check_unique(["a", "b", "c", "b", "a"], "names")
    assert caught.value.field == "names"
