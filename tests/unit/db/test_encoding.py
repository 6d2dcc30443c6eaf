"""What reaches PostgreSQL: JSON that jsonb takes, headers with every byte, text without NUL."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.encoding import JsonObject, clean_text, decode_headers, dump_json, encode_headers

any_text = st.text(st.characters(), max_size=8)  # lone surrogates and NUL included
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize(
    "beside", [1, 2**70, "\x00", math.nan], ids=["plain", "huge", "NUL", "not finite"]
)
def test_json_that_stays_text_is_cleaned_like_all_else(beside: object) -> None:
    """jsonb refuses a NUL, also in what the service sent."""
    for text in ('{"a":[1.5,"x"]}', '{"a":"\\u0000"}', '{"a":"\\\\u0000"}'):
        out = dump_json({"explanation": JsonObject(text.encode()), "beside": beside})
        assert out == dump_json({"explanation": json.loads(text), "beside": beside})


@given(any_value)
@settings(max_examples=200)
def test_dump_json_makes_strict_json_of_anything(value: Any) -> None:
    out = dump_json(value)
    back = json.loads(out, parse_constant=refuse)
    out.encode()
    assert "\x00" not in str(back)
    assert type(back) is type(value) or value is None or isinstance(value, int | float)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"a": float("inf"), "b": -math.inf, "c": math.nan}, {"a": None, "b": None, "c": None}),
        ("a\x00b", "a\ufffdb"),
        ("back\\u0000slash", "back\\u0000slash"),
        ("\ud800x", "\ufffdx"),
        (2**63 - 1, 2**63 - 1),
        (2**64 + 1, str(2**64 + 1)),
        ({1: {2.5: (1, 2)}}, {"1": {"2.5": [1, 2]}}),
        ({"\x00": {"\x00": 1}}, {"\ufffd": {"\ufffd": 1}}),
        (np.float64(1.5), 1.5),
        ({"x": np.array([1, 2])}, {"x": [1, 2]}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"odd": frozenset({1}), "huge": 10**30}, {"odd": [1], "huge": str(10**30)}),
    ],
)
def test_dump_json_keeps_what_json_can_hold(value: Any, stored: Any) -> None:
    assert json.loads(dump_json(value)) == stored


def test_dump_json_survives_depth_and_size() -> None:
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    assert "nested too deep" in dump_json(deep)
    assert dump_json(10**6000).startswith('"0x')


@given(st.lists(st.tuples(any_text, st.none() | st.binary(max_size=8)), max_size=4))
def test_headers_come_back_with_every_byte(headers: list[tuple[str, bytes | None]]) -> None:
    back = decode_headers(encode_headers(headers))
    assert [value for _, value in back] == [value for _, value in headers]
    for (kept, _), (name, _) in zip(back, headers, strict=True):
        assert kept == name or not name.isprintable()


def test_headers_absent_are_none() -> None:
    assert decode_headers(encode_headers(None)) == []
    assert decode_headers(None) == []
    assert decode_headers(memoryview(encode_headers([("a", None)]))) == [("a", None)]


@given(any_text)
def test_clean_text_is_storable_and_changes_nothing_else(value: str) -> None:
    cleaned = clean_text(value)
    assert "\x00" not in cleaned
    assert len(cleaned.encode()) > 0 or value == ""
    assert clean_text(cleaned) == cleaned
