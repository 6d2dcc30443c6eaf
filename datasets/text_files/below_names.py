"""Count the lines of units, types and roles between the names and the readings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from datasets.columns.kinds_of_rows import COMPARED, kind_of, no_reading
from datasets.values.numbers import missing

#: Lines of units, types and roles that programs write between the names and the readings.
_MOST_BELOW_NAMES: Final = 3
#: How times are written, such as dd/mm/yyyy hh:mm or TT.MM.JJJJ, in a line without other cells.
_TIME_FORM: Final = re.compile(
    r"(?i)(?:y{2,4}|j{2,4}|a{2,4}|m{2,3}|d{2}|t{2}|h{2}|s{2,3})"
    r"(?:[-./: ,T]+(?:y{2,4}|j{2,4}|a{2,4}|m{2,3}|d{2}|t{2}|h{2}|s{2,3}|f{3,6}|tt|am/pm))+"
)


def lines_below_names(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of lines of units, types or roles above the first reading."""
    filled = [cell for cell in rows[0] if cell.strip()] if rows else []
    if not filled or (len(filled) == 1 and not _TIME_FORM.fullmatch(filled[0].strip())):
        return 0
    count = next(
        (n for n, row in enumerate(rows) if not (no_reading(row) or describes(rows[n:]))),
        len(rows),
    )
    return count if count <= _MOST_BELOW_NAMES and count < len(rows) else 0


def describes(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has texts above numbers and times, such as 12 Hour Sine Wave."""
    first, *others = rows[: _MOST_BELOW_NAMES + COMPARED]
    filled = [(index, cell) for index, cell in enumerate(first) if not missing(cell)]
    if len(filled) < 2 or any(kind_of(cell) != "text" for _, cell in filled):
        return False
    above = 0
    for index, _ in filled:
        cells = [row[index].strip() for row in others if index < len(row)]
        kinds = Counter(kind_of(cell) for cell in cells if not missing(cell))
        above += bool(kinds) and kinds.most_common(1)[0][0] != "text"
    return 2 * above > len(filled)
