"""Join two lines of names: the upper names machines, each above the names of its sensors."""

from __future__ import annotations

from collections.abc import Sequence


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
