"""Recognise lines that count the columns, 0, 1, 2, ..., and columns that count the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from datasets.columns.kinds_of_rows import COMPARED, names_columns

#: Numbers 0, 1, 2, ... of so many columns are no reading.
SURELY_COUNTED: Final = 5


def below_counts(table: list[list[str]], top: int, notes: list[str]) -> int:
    """Return the index of the names: ``top``, or the next if that line counts the columns.

    Parameters
    ----------
    table : the first lines, one text per field.
    top : the index of what may be the names.
    notes : findings for the user, to which one may be added.
    """
    if not counts_columns(table[top]):
        return top
    counts = f"line that counts the columns ({', '.join(table[top])[:20]})"
    if names_columns(table[top + 1 :]):
        notes.append(f"the {counts} is left out")
        return top + 1
    if not table[top][0] or len(table[top]) >= SURELY_COUNTED:
        notes.append(f"the {counts} is taken as the line of names")
    return top


def counts_columns(row: Sequence[str]) -> bool:
    """Return whether a row holds 0, 1, 2, ... or 1, 2, 3, ..., as programs count columns.

    The first of three or more cells may be empty, above a column of row numbers.
    """
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    counted = cells[1:] if cells and not cells[0] else cells
    if cells == ["", "0"]:  # one column beside row numbers
        return True
    return len(counted) > 1 and any(
        counted == [str(i) for i in range(start, start + len(counted))] for start in (0, 1)
    )


def numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first cells of the first rows are 1, 2, 3, ..."""
    return all(row[0] == str(i) for i, row in enumerate(rows[:COMPARED], start=1) if row)
