"""Decode and validate bodies and queries, each defined by one msgspec Struct.

The Struct decodes, validates and describes (``serving.http.openapi``). A valid body is decoded in
one pass; only an invalid one is examined again, to name the field and value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec
import orjson
from msgspec import Meta, Struct

from errors import InputError
from schemas import (
    MAX_NAME,
    has_nul,
    parse_timestamp,
)
from serving.requests.explanations import NOT_A_TIME, explained, refused

T = TypeVar("T")

if TYPE_CHECKING:
    Instant: TypeAlias = datetime
else:

    class _AnyDatetime(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class Instant(metaclass=_AnyDatetime):
        """A datetime that is parsed by ``schemas.parse_timestamp`` instead of msgspec."""


Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, examples=["S1"])]
AssetId = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, examples=["ENGINE_001"])]
Pattern = Annotated[
    str, Meta(min_length=1, max_length=MAX_NAME, description="with * and ?; absent: all",
              examples=["PUMP_*"])
]  # fmt: skip
Text = Annotated[str, Meta(min_length=1, max_length=2000, examples=["looking at it"])]
Who = Annotated[
    str, Meta(min_length=1, max_length=MAX_NAME, description="only on a service without keys",
              examples=["ANNA"])
]  # fmt: skip
# names are checked separately: msgspec caches only untyped keys, and is twice as slow without cache
Features = Annotated[
    dict[str, float],
    Meta(
        min_length=1,
        description="numbers only: null, true and texts are rejected",
        examples=[{"rms": 1.2, "kurtosis": 3.1}],
        extra_json_schema={
            "minProperties": 1,
            "propertyNames": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
        },
    ),
]

#: NUL in JSON, which PostgreSQL cannot store; an escaped backslash may precede it.
_NUL = b"\\u0000"


def read_json(body: bytes) -> Any:
    """Parse JSON.

    Raises
    ------
    InputError
        400: not UTF-8 JSON, or nested deeper than 1,000 levels.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(
            f"the body is not valid JSON: {error}", code="bad_json", status=400
        ) from None


def decode(kind: type[T], body: bytes, **options: Any) -> T:
    """Decode a body.

    Parameters
    ----------
    kind : type
        A Struct, or a type composed of Structs.
    body : bytes
        JSON.
    **options
        See :func:`convert`.

    Raises
    ------
    InputError
        Names field and value; 400 if the body is not JSON.
    """
    found = decode_valid(kind, body)
    return convert(kind, read_json(body), **options) if found is None else found


def decode_valid(kind: type[T], body: bytes) -> T | None:
    """Decode a valid body; return None if anything is invalid."""
    if b"\\" in body and _NUL in body:  # searching one byte is ten times as fast as six
        return None
    try:
        found: T = _decoder(kind).decode(body)  # type: ignore[arg-type]
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def convert(
    kind: type[T],
    content: Any,
    *,
    shape: str = "invalid_input",
    unknown: str = "invalid_input",
    nul: bool = False,
) -> T:
    """Convert decoded JSON to ``kind``.

    Parameters
    ----------
    kind : type
        A Struct, or a type composed of Structs.
    content : object
        What :func:`read_json` returned, or a part of it.
    shape, unknown : str
        The error's code if the content has another type, and if it has an unknown field.
    nul : bool
        Whether NUL is accepted here, because it is checked elsewhere.

    Raises
    ------
    InputError
        Names field and value.
    """
    try:
        found = _convert(kind, content, shape, unknown)
    except RecursionError:
        raise InputError("the body is nested too deeply", code="bad_json", status=400) from None
    if isinstance(content, dict) and not nul:
        for name in kind.__struct_fields__:  # type: ignore[attr-defined]
            if has_nul(content.get(name)):
                raise refused(name, content[name], "holds a NUL")
    return found


def _convert(kind: type[T], content: Any, shape: str, unknown: str) -> T:
    try:
        return msgspec.convert(content, kind, dec_hook=_custom)
    except msgspec.ValidationError as error:
        raise explained(kind, str(error), content, shape, unknown) from None


class SignedBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A body sent by a person, with a name for the log."""

    who: Who | None = None


class NoQuery(Struct, frozen=True):
    """A query without parameters."""


class SpanQuery(Struct, frozen=True, rename={"start": "start_date", "end": "end_date"}):
    """A span of time."""

    start: Instant | None = None
    end: Instant | None = None

    def check(self) -> None:
        """Reject a span that ends before it begins.

        Raises
        ------
        InputError
        """
        if self.start and self.end and self.start > self.end:
            span = f"{self.start.isoformat()} is after end_date, {self.end.isoformat()}"
            raise InputError(f"start_date: {span}", field="start_date")


def read_parameters(kind: type[T], given: dict[str, str]) -> T:
    """Convert a query's parameters to ``kind``.

    Raises
    ------
    InputError
        Names the parameter: an unknown name (it may be misspelt), or an invalid value.
    """
    known: dict[str, str] = dict(
        zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True)  # type: ignore[attr-defined]
    )
    for name, value in given.items():
        if name not in known:
            known_ones = f"known ones are {', '.join(known)}" if known else "this call has none"
            raise InputError(
                f"{name[:64]}: unknown parameter; {known_ones}",
                code="unknown_parameter",
                field=name[:64],
            )
        if "\x00" in value:
            raise refused(name, value, "holds a NUL")
    try:
        found = msgspec.convert(given, kind, strict=False, dec_hook=_custom_of_query)
    except msgspec.ValidationError as error:
        raise explained(kind, str(error), given, "", "") from None
    for name, value in given.items():
        read = getattr(found, known[name])
        # msgspec accepts 1e3 as an integer, and null for optional fields
        if read is None or (type(read) is int and not value.isdigit()):
            raise InputError(f"{name}: {value!r:.40} is not valid", field=name)
    return found


@functools.cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind, dec_hook=_custom)


def _custom(kind: type, value: Any) -> Any:
    """Decode types that msgspec does not know."""
    try:
        return parse_timestamp(value)
    except InputError:
        raise ValueError(NOT_A_TIME) from None


#: A time with a blank in place of ``+``, because an unescaped ``+`` in a query means a blank.
_LOST_PLUS = re.compile(r"(\S+[Tt ]\d\S*) (\d\d(?::?\d\d)?)")


def _custom_of_query(kind: type, value: Any) -> Any:
    lost = _LOST_PLUS.fullmatch(value)
    return _custom(kind, f"{lost[1]}+{lost[2]}" if lost else value)


def check_unique(values: Sequence[Hashable], field: str) -> None:
    """Reject a list in which a value occurs twice.

    Raises
    ------
    InputError
        Names the field and the value.
    """
    if len(set(values)) == len(values):  # the usual case, in a tenth of the time
        return
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            raise InputError(f"{field}: {value!s:.80} occurs twice", field=field)
        seen.add(value)


def with_position(error: InputError, where: str) -> InputError:
    """Return the error of a part of the body with the part's position in the body."""
    field = f"{where}.{error.field}" if error.field else where
    between = "." if error.field else ": "
    return type(error)(f"{where}{between}{error.message}", code=error.code, field=field)


def present_fields(body: Struct, *without: str) -> dict[str, Any]:
    """Return the fields that were present in a body, without those named."""
    fields = msgspec.structs.asdict(body)
    return {k: v for k, v in fields.items() if v is not msgspec.UNSET and k not in without}
