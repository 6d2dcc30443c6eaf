"""Decode a record's bytes into one JSON object that can be stored, or raise the reason why not."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from consumers.records import framing
from consumers.records.framing import ForeignFramingError
from errors import InputError
from schemas import has_nul

BOM = b"\xef\xbb\xbf"
_BLANK_BEFORE_COLON = re.compile(rb'"[ \t\r\n]+:')
MAX_DEPTH = 64  # maximum nesting of a record: the libraries that encode it again have limits

_KINDS = {list: "array", str: "text", int: "number", float: "number", bool: "true or false",
          type(None): "null"}  # fmt: skip


def decode(body: bytes | None) -> dict[str, Any]:
    """Decode the object in a record's body.

    Raises
    ------
    InputError
        Its code is the reason of the dead letter.
    """
    if body is None:
        raise InputError("the record has no body", code="null_body")
    body = body.removeprefix(BOM)  # written by editors and .NET; only repeats that this is UTF-8
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Many producers write NaN or 1e999: decode them, so that an error can name the feature.
        document = _lenient(body)
    if type(document) is not dict:
        found = framing.of_document(document)
        if found is not None:
            raise ForeignFramingError(found, "not_object")
        raise InputError(f"a JSON {_KINDS[type(document)]}, not an object", code="not_object")
    # Counting finds repeated keys; only if the counts differ, the slow exact parse runs. A key with
    # a blank before its colon would not be counted.
    if body.count(b'":') != _count_keys(document) or _BLANK_BEFORE_COLON.search(body):
        _refuse_repeated_keys(body)
    if (b"\\u0000" in body or b"\x00" in body) and has_nul(document):
        raise InputError("a text contains a NUL character", code="nul_character")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(document) > MAX_DEPTH:
        raise InputError(f"nested deeper than {MAX_DEPTH}", code="too_deep")
    return document


def _lenient(body: bytes) -> Any:
    try:
        document = json.loads(body.decode(), parse_int=float)
        orjson.dumps(document)  # fails for a lone surrogate, which could not be stored
    except (ValueError, TypeError, RecursionError) as error:
        found = framing.of_bytes(body)
        if found is not None:
            raise ForeignFramingError(found, "not_json") from None
        raise InputError(f"not JSON: {str(error)[:200]}", code="not_json") from None
    return document


def _count_keys(document: dict[str, Any]) -> int:
    count = len(document)
    for value in document.values():
        if type(value) is dict:
            count += len(value)
    return count


def _refuse_repeated_keys(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise InputError(f"key {name[:80]!r} appears twice", code="duplicate_key")
            found[name] = value
        return found

    try:
        json.loads(body, object_pairs_hook=unique, parse_int=float)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {str(error)[:200]}", code="not_json") from None


def _depth(value: Any) -> int:
    deepest, layer = 0, [value]
    while layer and deepest <= MAX_DEPTH:
        deepest += 1
        layer = [
            inner
            for item in layer
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest
