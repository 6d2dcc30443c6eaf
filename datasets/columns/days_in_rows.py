"""Say that a table has a row per day, and a column per time of day, as energy meters export."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: A time of day, or an interval; with a T or an H before it, for programs that need a letter.
_TIME_OF_DAY: Final = re.compile(r"[TtHh]?\d{1,2}[:h]\d\d(:\d\d)?(\s*-\s*\d{1,2}[:h]\d\d(:\d\d)?)?")
#: Columns of times of day that make a table one of days.
_FEWEST: Final = 12


def days_in_rows(names: Sequence[str]) -> list[str]:
    """Return a note if many of the features' names are times of day."""
    found = [name for name in names if _TIME_OF_DAY.fullmatch(name)]
    if len(found) < _FEWEST:
        return []
    return [
        f"{', '.join(found[:2])}, ... {found[-1]}: {len(found)} columns are named by times of day:"
        " each is a feature, so a reading is a day. A file with a row per time gives a reading each"
    ]
