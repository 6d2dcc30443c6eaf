"""Join two lines of names: the upper names machines, each above the names of its sensors."""

from __future__ import annotations

from collections.abc import Sequence

from datasets.columns.kinds_of_rows import no_reading


def are_names(line: Sequence[str]) -> bool:
    """Return whether a line names each column, but maybe the first, so that none is needed below.

    Below such a line stand units or types, which may repeat.
    """
    cells = [cell.strip() for cell in line]
    return all(cells[1:]) and len(set(cells)) == len(cells)


def joined_names(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    """Return names such as ``Motor 1 Temp``; none if one of the lines is enough, or both are not.

    Spreadsheets merge the cells of a machine, and save its name above the first sensor only.

    Parameters
    ----------
    upper, lower
        Cells of two lines, one above the other.
    """
    names = [cell for cell in lower if cell.strip()]
    if len(upper) != len(lower) or len(set(names)) == len(names):
        return []
    joined, machine = [], ""
    for above, below in zip(upper, lower, strict=True):
        machine = above.strip() or machine
        joined.append(f"{machine} {below.strip()}".strip())
    return joined if all(joined) and len(set(joined)) == len(joined) else []


def names_above_an_index(
    upper: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], int]:
    """Return names such as ``Pump 1 Temp``, and the number of lines below the upper.

    There are none if it is no table of pandas. pandas writes two lines of names, and the name of
    the index, if it has one, alone on a third.

    Parameters
    ----------
    upper
        Cells of the first line of names.
    rows
        Cells of the lines below it.
    """
    if len(rows) < 3 or upper[0].strip() or rows[0][0].strip() or not no_reading(rows[0]):
        return [], 0
    if are_names(upper):
        return [], 0  # below them are units or types
    alone = not any(rows[1][1:]) and no_reading(rows[1])
    index = rows[1][0].strip() if alone else "index"
    return joined_names(["", *upper[1:]], [index, *rows[0][1:]]), 2 if alone else 1
