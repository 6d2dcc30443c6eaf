"""A body becomes one JSON object that may be stored, or an error with the dead letter's reason."""

from __future__ import annotations

import orjson
import pytest

from consumers.records.decoding import BOM, MAX_DEPTH, decode
from errors import InputError


def reason(body: bytes | None) -> str:
    with pytest.raises(InputError) as caught:
        decode(body)
    return str(caught.value.code)


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def test_an_object_comes_back_as_it_is() -> None:
    assert decode(b'{"a": [1, 2.5, null], "b": {"c": "x"}}') == {
        "a": [1, 2.5, None],
        "b": {"c": "x"},
    }


def test_a_byte_order_mark_is_passed_over() -> None:
    assert decode(BOM + b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "null_body"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'"\xff"', "not_json"),
        (b"[1]", "not_object"),
        (b"null", "not_object"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": 1, "a" : 2}', "duplicate_key"),
        (b'{"a": 1, "a"\t: 2}', "duplicate_key"),
        (b'{"a": {"b": {"c": 1, "c": 2}}}', "duplicate_key"),
        (rb'{"a": "\u0000"}', "nul_character"),
        (rb'{"a": {"\u0000": 1}}', "nul_character"),
        (nested(MAX_DEPTH + 1), "too_deep"),
    ],
)
def test_what_cannot_be_stored_has_its_reason(body: bytes | None, code: str) -> None:
    assert reason(body) == code


def test_what_is_no_object_is_named_as_json_names_it() -> None:
    with pytest.raises(InputError, match="a JSON null, not an object"):
        decode(b"null")


def test_depth_is_counted_by_nesting_not_by_brackets() -> None:
    assert decode(nested(MAX_DEPTH))
    wide = orjson.dumps({"a": [[] for _ in range(2 * MAX_DEPTH)]})
    assert len(decode(wide)["a"]) == 2 * MAX_DEPTH


def test_text_that_only_looks_like_a_nul_or_a_key_is_kept() -> None:
    body = orjson.dumps({"a": 'x\\u0000 "b": "b":'})
    assert decode(body) == orjson.loads(body)


def test_numbers_that_json_lacks_are_read_so_that_the_feature_can_be_named() -> None:
    found = decode(b'{"a": NaN, "b": 1e999}')
    assert found["a"] != found["a"]
    assert found["b"] == float("inf")
