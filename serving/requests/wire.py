"""Decode and validate bodies and queries, each defined by one msgspec Struct.

The Struct decodes, validates and describes (``serving.http.openapi``). A valid body is decoded in
one pass; only an invalid one is examined again, to name the field and value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec
import orjson
from msgspec import Meta, Struct, inspect

from errors import InputError
from schemas import (
    CRITICALITIES,
    MAX_NAME,
    check_features,
    check_name,
    has_nul,
    parse_timestamp,
)

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
_NOT_A_TIME = "not a time"
_NUMBER = re.compile(r"Expected `(int|float)[ |a-z]*`, got `str`")
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.S)


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
                raise _refused(name, content[name], "holds a NUL")
    return found


def _convert(kind: type[T], content: Any, shape: str, unknown: str) -> T:
    try:
        return msgspec.convert(content, kind, dec_hook=_custom)
    except msgspec.ValidationError as error:
        raise _explained(kind, str(error), content, shape, unknown) from None


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
            raise _refused(name, value, "holds a NUL")
    try:
        found = msgspec.convert(given, kind, strict=False, dec_hook=_custom_of_query)
    except msgspec.ValidationError as error:
        raise _explained(kind, str(error), given, "", "") from None
    for name, value in given.items():
        read = getattr(found, known[name])
        # msgspec accepts 1e3 as an integer, and null for optional fields
        if read is None or (type(read) is int and not value.isdigit()):
            raise InputError(f"{name}: {value!r:.40} is not valid", field=name)
    return found


_type_info = functools.cache(inspect.type_info)


@functools.cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind, dec_hook=_custom)


def _custom(kind: type, value: Any) -> Any:
    """Decode types that msgspec does not know."""
    try:
        return parse_timestamp(value)
    except InputError:
        raise ValueError(_NOT_A_TIME) from None


#: A time with a blank in place of ``+``, because an unescaped ``+`` in a query means a blank.
_LOST_PLUS = re.compile(r"(\S+[Tt ]\d\S*) (\d\d(?::?\d\d)?)")


def _custom_of_query(kind: type, value: Any) -> Any:
    lost = _LOST_PLUS.fullmatch(value)
    return _custom(kind, f"{lost[1]}+{lost[2]}" if lost else value)


def check_criticality(value: object, field: str) -> None:
    """Reject an invalid criticality."""
    if value is not None and value not in CRITICALITIES:
        raise InputError(
            f"{field}: {value!r:.80} is none of {', '.join(CRITICALITIES)}",
            code="bad_criticality",
            field=field,
        )


#: Checks by field name whose errors explain more than "Expected `str`, got `int`".
_CHECKS: dict[str, Callable[[Any, str], object]] = {
    "features": check_features,
    "history[]": check_features,
    "criticality": check_criticality,
    **dict.fromkeys(
        ("asset_id", "sensor_id", "feature", "group", "names[]", "feature_names[]"), check_name
    ),
}
_CODES = {"history": "bad_history", "metadata": "bad_metadata"}


def _explained(kind: Any, error: str, content: Any, shape: str, unknown: str) -> InputError:
    """Translate msgspec's error, such as "Expected `int`, got `str` - at `$.a[0].b`"."""
    message, _, path = error.rpartition(" - at `")
    message, field = message or path, path.strip("`").lstrip("$.") if message else ""
    if found := _FIELD.match(message):
        field = f"{field}.{found[2]:.80}".lstrip(".")
        if found[1] == "contains unknown":
            known = () if "." in field else getattr(kind, "__struct_fields__", ())
            hint = f"; known are {', '.join(known)}" if known else ""
            return InputError(f"{field}: is not known{hint}", code=unknown, field=field)
        message = "is missing"
    if not field:
        return InputError(f"the body: {message}", code=shape)
    if field.endswith("[...]"):  # a feature's value; msgspec does not say which
        field = field.removesuffix("[...]")
        check_features(at(content, field), field)
    value = at(content, field)
    if message == _NOT_A_TIME:
        parse_timestamp(value, field)
    if wanted := _NUMBER.fullmatch(message):
        message = "is not an integer" if wanted[1] == "int" else "is not a number such as 1.5"
    options = _options(_type_info(kind), _parts(field))
    if options:
        message = f"{value!r:.80} is none of {', '.join(map(str, options))}"
    return _refused(field, value, message)


def _refused(field: str, value: Any, message: str) -> InputError:
    """Make the error of a field; the field's own check, if any, explains it better."""
    name = re.sub(r"\[\d+\]$", "[]", field).rpartition(".")[2]
    if name in _CHECKS:
        _CHECKS[name](value, field)
    shown = "" if value is None or "none of" in message else f" (got {value!r:.80})"
    return InputError(
        f"{field}: {message}{shown}", code=_CODES.get(name, "invalid_input"), field=field
    )


def _parts(field: str) -> list[str]:
    return re.findall(r"[^.\[\]]+", field)


def at(content: Any, field: str) -> Any:
    """Return the value at a path such as ``incidents[3].id``; None if there is none."""
    for part in _parts(field):
        try:
            content = content[int(part)] if isinstance(content, list) else content[part]
        except (LookupError, TypeError, ValueError):
            return None
    return content


def _options(node: inspect.Type, parts: list[str]) -> tuple[Any, ...]:
    """Return the allowed words at a path, if it has an enumerated type."""
    if isinstance(node, inspect.Metadata):
        return _options(node.type, parts)
    if isinstance(node, inspect.UnionType):
        words = tuple(one for member in node.types for one in _options(member, parts))
        either = any(isinstance(member, inspect.BoolType) for member in node.types)
        return ("true", "false", *words) if words and either else words
    if not parts:
        return node.values if isinstance(node, inspect.LiteralType) else ()
    if isinstance(node, inspect.StructType):
        inner = [one.type for one in node.fields if one.encode_name == parts[0]]
        return _options(inner[0], parts[1:]) if inner else ()
    return _options(node.item_type, parts[1:]) if isinstance(node, inspect.ListType) else ()


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
