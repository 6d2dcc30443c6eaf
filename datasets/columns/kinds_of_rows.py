"""Tell names from readings: what a row holds, judged by its cells and those below them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from datasets.times.time_formats import is_time, is_time_of_day
from datasets.values.numbers import is_number, missing

#: Rows whose cells are compared with a line of names, which may be a reading instead.
COMPARED: Final = 20


@lru_cache(maxsize=4096)
def kind_of(cell: str) -> str:
    """Return whether a cell is a number, a time or a text, by one of these words."""
    if not re.search(r"\d", cell):  # No is a name
        return "text"
    if is_number(cell) or is_number(cell, ","):
        return "number"
    return "time" if is_time([cell]) or is_time_of_day([cell]) else "text"


def names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of these rows names columns: texts above numbers or times."""
    cells = [cell.strip() for cell in rows[0]] if rows else []
    filled = [cell for cell in cells if cell]
    if not filled or any(kind_of(cell) != "text" for cell in filled):
        return False
    return any(
        kind_of(row[index]) != "text"
        for row in rows[1:COMPARED]
        for index in range(min(len(row), len(cells)))
        if cells[index] and not missing(row[index])
    )


def is_reading(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether each name is a number, a time or a text if its column holds such."""
    kinds = [kind_of(name) for name in names if not missing(name)]
    if not {"number", "time"} & set(kinds):
        return False
    for index, name in enumerate(names):
        cells = [row[index].strip() for row in rows[:COMPARED] if index < len(row)]
        filled = Counter(kind_of(cell) for cell in cells if not missing(cell))
        if not missing(name) and filled and filled.most_common(1)[0][0] != kind_of(name):
            return False
    return len(rows) > 0


def no_reading(row: Sequence[str]) -> bool:
    """Return whether a row has no numbers, as a line of units; a reading has numbers."""
    cells = [cell.strip() for cell in row if cell.strip()]
    figures = any(is_number(cell) or re.search(r"\d\d", cell) for cell in cells)
    return not figures and not all(missing(cell) for cell in cells)
