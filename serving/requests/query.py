"""Check parameters of a query; every route that has some uses these."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from errors import InputError
from schemas import parse_timestamp

#: The longest number read: 2**53 has 16 digits.
MOST_DIGITS = 16
#: A time of day, then a blank where ``+`` stood: in a query an unescaped ``+`` means a blank.
_LOST_PLUS = re.compile(r"(\S+[Tt ]\d\S*) (\d\d(?::?\d\d)?)")


def refuse_unknown(given: Iterable[str], known: Collection[str]) -> None:
    """Refuse a parameter that the call does not have: misspelt, it would be ignored.

    Raises
    ------
    InputError
        ``unknown_parameter``, with its name.
    """
    for name in given:
        if name not in known:
            raise InputError(
                f"{name[:64]}: no such parameter; known are {', '.join(known)}",
                code="unknown_parameter",
                field=name[:64],
            )


def flag(value: str, field: str) -> bool:
    """Read ``true``, ``false``, ``1`` or ``0``."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise InputError(f"{field}: {value!r:.40} is neither true nor false", field=field)
    return known[value.lower()]


def number(least: int, most: int) -> Callable[[str, str], int]:
    """Make a parser of whole numbers from ``least`` to ``most``."""

    def parse(value: str, field: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS):
            raise InputError(f"{field}: {value!r:.40} is not a whole number", field=field)
        if not least <= int(value) <= most:
            raise InputError(f"{field}: {value} is not between {least} and {most}", field=field)
        return int(value)

    return parse


def choice(options: Collection[str]) -> Callable[[str, str], str]:
    """Make a parser of one word out of ``options``."""

    def parse(value: str, field: str) -> str:
        if value not in options:
            raise InputError(f"{field}: {value!r:.40} is none of {', '.join(options)}", field=field)
        return value

    return parse


def time(value: str, field: str) -> datetime:
    """Read an ISO 8601 time, the ``+`` of its offset escaped or not."""
    lost = _LOST_PLUS.fullmatch(value)
    return parse_timestamp(f"{lost[1]}+{lost[2]}" if lost else value, field)
