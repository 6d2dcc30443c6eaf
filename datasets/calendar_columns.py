"""Join columns of the year, month, day, hour, minute, second and millisecond of a reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from datasets.numbers import missing
from datasets.sampled_columns import Columns, plain_name

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
    (re.compile("minutes?|mins?|minuten?|minuto|minuut"), 0, 59),
    (re.compile("seconds?|secs?|sekunden?|secondes?|segundo|secondo"), 0, 60),
    (re.compile("milli(s|secs?|seconds?)|ms|msecs?"), 0, 999),
)
#: A time has a year, month and day at least, which make a date.
WITHOUT_HOURS: Final = 3
MOST: Final = len(_PARTS)
#: Seconds may have a fraction.
_SECOND: Final = 5
_SEPARATORS: Final = ("-", "-", " ", ":", ":", ".")


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
    for number, (names, least, most) in enumerate(_PARTS):
        part = [
            p for p in free
            if names.fullmatch(plain_name(columns.names[p]))
            and _within(columns.filled(p), least, most, whole=number != _SECOND)
        ]  # fmt: skip
        if len(part) > 1:
            return ()
        if len(found) == number:
            found += part
    return tuple(found) if len(found) >= WITHOUT_HOURS else ()


def calendar_times(parts: Sequence[Any]) -> Any:
    """Join columns of year, month, day and so on (3 to 7 pyarrow arrays (n,)) to ISO texts."""
    texts = []
    for number, part in enumerate(parts):
        text = pc.replace_substring_regex(
            pc.utf8_trim_whitespace(part.cast(pa.string())), r"\.0+$", ""
        )
        text = pc.if_else(pc.fill_null(pc.equal(text, ""), True), None, text)
        if number == MOST - 1:
            text = pc.utf8_lpad(text, 3, "0")
        texts.append(pc.replace_substring_regex(text, r"^(\d)(\.|$)", r"0\1\2") if number else text)
    out = texts[0]
    for separator, text in zip(_SEPARATORS, texts[1:], strict=False):
        out = pc.binary_join_element_wise(out, text, separator)
    return pc.binary_join_element_wise(out, ":00", "") if len(texts) == 4 else out


def _within(cells: Sequence[str], least: int, most: int, whole: bool) -> bool:
    """Return whether all cells are numbers, or ``whole`` numbers, within limits."""
    try:
        numbers = [float(cell) for cell in cells if not missing(cell)]
    except ValueError:
        return False
    return bool(numbers) and all(
        least <= n <= most and (n.is_integer() or not whole) for n in numbers
    )
