"""Join columns with the parts of a time: year, month, day, or a date, and hour, minute, second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from datasets.sampled_columns import Columns, plain_name
from datasets.times.time_formats import AT_MIDNIGHT
from datasets.values.numbers import missing

#: Parts of a time: names, in lower case without punctuation, and the smallest and largest number.
_PARTS: Final = (
    (re.compile("years?|yr|yyyy|jahr|année|annee|año|anno|jaar"), 1900, 2100),
    (re.compile("months?|mon|mth|mo|monat|mois|mes|mese|maand"), 1, 12),
    (re.compile("days?|dy|dd|tag|jour|día|dia|giorno|dag|(dayof|m)(the)?month|dom"), 1, 31),
    (
        re.compile(
            "hours?|hrs?|hh?|stunden?|std|heures?|horas?|or[ae]|uur|hour(of(the)?day|ending)"
        ),
        0,
        24,
    ),
    (re.compile("minutes?|mins?|mn|minuten?|minuto|minuut"), 0, 59),
    (re.compile("seconds?|secs?|sekunden?|secondes?|segundo|secondo"), 0, 60),
    (re.compile("milli(s|secs?|seconds?|tm)|millisekunden?|ms|msecs?"), 0, 999),
)
_DAY_OF_YEAR: Final = re.compile(
    "doy|(j|julian|y|year)day|dayof(the)?year|jourdel?année|jourannée|tagdesjahres|jahrestag|diadelaño"
)
MOST: Final = len(_PARTS)
#: Seconds may have a fraction.
_SECOND: Final = 5
_HOUR: Final = 3
#: What several columns of times hold, if not year, month and day -> how many of them make the date.
YEAR_AND_DAY: Final = "year and day of the year"
DATE_AND_PARTS: Final = "date, hour and minute"
DATE_PARTS: Final = {"": 3, YEAR_AND_DAY: 2, DATE_AND_PARTS: 1}
_CLOCK: Final = (" ", ":", ":", ".")


def calendar_columns(columns: Columns, free: Sequence[int]) -> tuple[int, ...]:
    """Return the columns with the parts of the time, the year first.

    Parameters
    ----------
    columns : the file's columns.
    free : indices of the columns without another role.

    Returns
    -------
    tuple of int
        Indices of the columns of year, month and day, and those of hour, minute, second and
        millisecond as far as there are any; empty if a part is missing, or two columns may be it.
    """
    found: list[int] = []
    for number in range(len(_PARTS)):
        part = _columns_of(columns, free, number)
        if len(part) > 1:
            return ()
        if len(found) == number:
            found += part
    return tuple(found) if len(found) >= DATE_PARTS[""] else ()


def year_and_day(columns: Columns, free: Sequence[int]) -> tuple[int, ...]:
    """Return the columns of the year, of its day, and of hour, minute and second, if there are any.

    Parameters
    ----------
    columns, free : as for :func:`calendar_columns`.
    """
    year = _columns_of(columns, free, 0)
    day = [p for p in free if is_day_of_year(columns, p)]
    return (*year, *day, *clock_columns(columns, free)) if len(year) == len(day) == 1 else ()


def is_day_of_year(columns: Columns, index: int) -> bool:
    """Return whether a column holds days of the year, by its name and numbers."""
    named = _DAY_OF_YEAR.fullmatch(plain_name(columns.names[index])) is not None
    return named and _within(columns.filled(index), 1, 366, whole=True)


def are_milliseconds(columns: Columns, index: int) -> bool:
    """Return whether a column holds the milliseconds of a second, by its name and numbers."""
    return bool(_columns_of(columns, [index], MOST - 1))


def clock_columns(columns: Columns, free: Sequence[int]) -> tuple[int, ...]:
    """Return the columns of hour, minute, second and millisecond, as far as there are any.

    Parameters
    ----------
    columns, free : as for :func:`calendar_columns`.
    """
    found: list[int] = []
    for number in range(_HOUR, MOST):
        part = _columns_of(columns, free, number)
        if len(part) != 1:
            break
        found += part
    return tuple(found)


def _columns_of(columns: Columns, free: Sequence[int], number: int) -> list[int]:
    names, least, most = _PARTS[number]
    return [
        p for p in free
        if names.fullmatch(plain_name(columns.names[p]))
        and _within(columns.filled(p), least, most, whole=number != _SECOND)
    ]  # fmt: skip


def calendar_times(parts: Sequence[Any], kind: str) -> Any:
    """Join columns to texts of dates and times.

    Parameters
    ----------
    parts : 2 to 7 pyarrow arrays (n,): what ``kind`` says, then hour, minute, second, millisecond.
    kind : a key of DATE_PARTS.
    """
    days = DATE_PARTS[kind]
    out: Any = None
    for number, part in enumerate(parts):
        text = pc.replace_substring_regex(
            pc.utf8_trim_whitespace(part.cast(pa.string())), r"\.0+$", ""
        )
        text = pc.if_else(pc.fill_null(pc.equal(text, ""), True), None, text)
        if number == days + len(_CLOCK) - 1 or (number and kind == YEAR_AND_DAY and number < days):
            text = pc.utf8_lpad(text, 3, "0")
        if number:
            text = pc.replace_substring_regex(text, r"^(\d)(\.|$)", r"0\1\2")
        else:
            text = pc.replace_substring_regex(text, AT_MIDNIGHT, "")
        separator = "-" if number < days else _CLOCK[number - days]
        out = pc.binary_join_element_wise(out, text, separator) if number else text
    return pc.binary_join_element_wise(out, ":00", "") if len(parts) == days + 1 else out


def _within(cells: Sequence[str], least: int, most: int, whole: bool) -> bool:
    """Return whether all cells are numbers, or ``whole`` numbers, within limits."""
    try:
        numbers = [float(cell) for cell in cells if not missing(cell)]
    except ValueError:
        return False
    return bool(numbers) and all(
        least <= n <= most and (n.is_integer() or not whole) for n in numbers
    )
