"""Encode Python values as JSON text for jsonb, and Kafka headers as bytes.

jsonb rejects NUL characters and lone surrogates, JSON has no NaN or infinities, and orjson rejects
integers beyond 64 bits. A caller's metadata may contain any of these, and the row must be stored
nevertheless: NUL and surrogates become U+FFFD, huge integers text, non-finite numbers null.

Long JSON that is only passed on stays text (:class:`JsonText`).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import orjson

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_MAX_DEPTH = 100  # of nested JSON: far below the recursion limit


class JsonText:
    """JSON text that is passed on unchanged, and parsed only if it is read.

    Parameters
    ----------
    text : bytes
        One JSON value.
    """

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def value(self) -> Any:
        """Parse it."""
        return orjson.loads(self.text)


class JsonObject(JsonText, Mapping[str, Any]):
    """A JSON object as text that can be read like a dict."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        return self.value()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.value())

    def __len__(self) -> int:
        return len(self.value())


def encode_json(value: Any) -> bytes:
    """Encode values that may be or contain :class:`JsonText`.

    Raises
    ------
    TypeError
        A value cannot be encoded by orjson.
    """
    return orjson.dumps(value, default=_as_text, option=_OPTIONS)


def _as_text(value: Any) -> orjson.Fragment:
    if isinstance(value, JsonText):
        return orjson.Fragment(value.text)
    raise TypeError(type(value))


def dump_json(value: Any) -> str:
    """Encode any value as JSON that PostgreSQL's jsonb accepts."""
    try:
        out = encode_json(value)
    except TypeError:
        return orjson.dumps(_clean(value, 0), option=_OPTIONS).decode()
    # A backslash before "u0000" in plain text also matches; cleaning leaves it unchanged.
    if b"\\u0000" in out:
        out = orjson.dumps(_clean(value, 0), option=_OPTIONS)
    return out.decode()


def clean_text(value: str) -> str:
    """Replace what a text column rejects: NUL and lone surrogates."""
    return clean_surrogates(value.replace("\x00", "\ufffd"))


def _clean(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return "(nested too deep)"
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, JsonText):
        return _clean(value.value(), depth)
    if value is None or isinstance(value, bool | UUID | date):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else _huge(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean_text(str(k)): _clean(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth + 1) for item in value]
    if hasattr(value, "tolist"):
        return _clean(value.tolist(), depth + 1)
    return clean_text(repr(value)[:1000])


def _huge(value: int) -> str:
    # By default str() raises for an integer above 4,300 digits; hex does not.
    return hex(value)[:1000] if value.bit_length() > 10_000 else str(value)


def encode_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> bytes:
    """Encode Kafka headers as JSON, including repeated names and null values."""
    return orjson.dumps(
        [
            [clean_surrogates(key), None if value is None else base64.b64encode(value).decode()]
            for key, value in headers or ()
        ]
    )


def clean_surrogates(value: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode; NUL stays."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def decode_headers(stored: bytes | memoryview | None) -> list[tuple[str, bytes | None]]:
    """Invert :func:`encode_headers`."""
    pairs: Sequence[tuple[str, str | None]] = orjson.loads(stored) if stored else ()
    return [(key, None if value is None else base64.b64decode(value)) for key, value in pairs]
