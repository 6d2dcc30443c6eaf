"""Explain why a body or query is invalid: translate msgspec's errors, and name field and value."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from msgspec import inspect

from errors import InputError
from schemas import (
    CRITICALITIES,
    check_features,
    check_name,
    parse_timestamp,
)

NOT_A_TIME = "not a time"
_NUMBER = re.compile(r"Expected `(int|float)[ |a-z]*`, got `str`")
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.S)
_type_info = functools.cache(inspect.type_info)


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


def explained(kind: Any, error: str, content: Any, shape: str, unknown: str) -> InputError:
    """Translate msgspec's error, such as "Expected `int`, got `str` - at `$.a[0].b`".

    Parameters
    ----------
    kind : type
        What the content was to be: a Struct, or a type composed of Structs.
    error : str
        msgspec's message.
    content : object
        Decoded JSON.
    shape, unknown : str
        The error's code if the content has another type, and if it has an unknown field.
    """
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
    if message == NOT_A_TIME:
        parse_timestamp(value, field)
    if wanted := _NUMBER.fullmatch(message):
        message = "is not an integer" if wanted[1] == "int" else "is not a number such as 1.5"
    options = _options(_type_info(kind), _parts(field))
    if options:
        message = f"{value!r:.80} is none of {', '.join(map(str, options))}"
    return refused(field, value, message)


def refused(field: str, value: Any, message: str) -> InputError:
    """Make the error of a field; the field's own check, if any, explains it better.

    Parameters
    ----------
    field : str
        Its path, such as ``incidents[3].id``.
    value : object
        What the field holds.
    message : str
        What is wrong with it.
    """
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
