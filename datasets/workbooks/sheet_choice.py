"""Choose the sheets of a workbook: those that the caller names, or those that hold the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from errors import DatasetError

#: What the caller writes for all sheets with a table.
ALL: Final = "all"
#: Rows that are looked at to tell a table from a sheet of remarks.
_LOOKED_AT: Final = 2000
#: Characters of the names in a message, at most.
_SHOWN: Final = 300
#: What separates the fields of a CSV file.
_SEPARATED: Final = re.compile(r"[;,\t|].*[;,\t|]|;|\t")


@dataclass(frozen=True, slots=True)
class Choice:
    """The sheets to read.

    Parameters
    ----------
    names : the sheets, in order.
    notes : findings for the user.
    """

    names: list[str]
    notes: list[str] = field(default_factory=list)


def choose(
    file: str, book: Any, wanted: str | None, columns: Callable[[Any], frozenset[str]]
) -> Choice:
    """Choose the sheets to read.

    Parameters
    ----------
    file : the workbook's name, for messages.
    book : the workbook.
    wanted : a sheet, several as typed (``Jan,Feb``), or ``all``. None: the first that has a table,
        and all others whose columns have the same names.
    columns : returns the names of a sheet's columns; empty if they are not known.

    Raises
    ------
    DatasetError
        A sheet that the caller names does not exist, or none has a table.
    """
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    names = [sheet.name for sheet in sheets]
    if wanted is not None and (wanted.strip().casefold() != ALL or _known(wanted, names)):
        return Choice(_named(file, names, wanted))
    visible = [sheet.name for sheet in sheets if sheet.visible == SheetVisibleEnum.Visible]
    hidden = [name for name in names if name not in visible]
    tables: dict[str, frozenset[str]] = {}
    for name in [*visible, *hidden]:
        if tables and name in hidden:
            break
        sheet = book.get_sheet_by_name(name)
        count = _measured_rows(sheet)
        found = columns(sheet) if count else frozenset()
        # one reading alone might be anything, unless it has the columns of a table
        if count > 1 or (found and found in tables.values()):
            tables[name] = found
    if not tables:
        hint = _unsplit(book.get_sheet_by_name(names[0])) if names else ""
        raise DatasetError(
            f"{file}: holds no table of times and numbers (sheets: {_listed(names)}){hint}"
        )
    if wanted is not None:
        left = [name for name in names if name not in tables]
        return Choice([*tables], [f"sheets without a table, or hidden: {_listed(left)}: not read"]
                      if left else [])  # fmt: skip
    return _alike(tables, hidden, len(names))


def _named(file: str, names: Sequence[str], wanted: str) -> list[str]:
    """Return the sheets in a text such as ``Jan,Feb``; a sheet's name may contain commas."""
    parts = wanted.split(",")
    out: list[str] = []
    while parts:
        sizes = range(len(parts), 0, -1)
        found = next(((n, size) for size in sizes if (n := _known(",".join(parts[:size]), names))),
                     None)  # fmt: skip
        if found is None:
            missing = wanted if len(parts) == wanted.count(",") + 1 and not out else parts[0]
            raise DatasetError(
                f"{file}: --sheet: it has no sheet {missing.strip()!r}, but {_listed(names)}",
                field="sheet",
            )
        out.append(found[0])
        del parts[: found[1]]
    return list(dict.fromkeys(out))


def _known(text: str, names: Sequence[str]) -> str | None:
    """Return the sheet that a text names, in whatever case."""
    if text in names:
        return text
    key = text.strip().casefold()
    return next((name for name in names if name.strip().casefold() == key), None)


def _alike(tables: dict[str, frozenset[str]], hidden: Sequence[str], sheets: int) -> Choice:
    """Choose the first sheet with a table, and those whose columns have the same names.

    Parameters
    ----------
    tables : the names of the columns, by sheet with a table.
    hidden : the hidden sheets.
    sheets : the number of all sheets.
    """
    first, *_ = tables
    same = [name for name in tables if tables[first] and tables[name] == tables[first]] or [first]
    others = [name for name in tables if name not in same]
    if len(same) > 1:
        note = (
            f"the sheets {_listed(same)} have the same columns, so all of them are read (--sheet"
            " NAME reads one of them)"
        )
        rest = f"; not read: {_listed(others)} (--sheet {ALL} reads them too)" if others else ""
        return Choice(same, [note + rest])
    hint = " (hidden)" if first in hidden else ""
    notes = [f"read from the sheet {first!r}{hint}"] if hint or sheets > 1 else []
    if others:
        notes = [f"{notes[0]}; --sheet NAME chooses another, --sheet {ALL} reads all:"
                 f" {_listed(others)}"]  # fmt: skip
    return Choice(same, notes)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."


def _measured_rows(sheet: Any) -> int:
    """Return how many rows have a number or time beside another cell; 2 if more."""
    rows = (
        row for row in islice(sheet.iter_rows(), _LOOKED_AT)
        if sum(cell != "" for cell in row) > 1 and any(map(_is_measured, row))
    )  # fmt: skip
    return len(list(islice(rows, 2)))


def _unsplit(sheet: Any) -> str:
    """Return a hint if the rows of a sheet are lines of a CSV file that were not split."""
    rows = [[cell for cell in row if cell != ""] for row in islice(sheet.iter_rows(), 2)]
    if not all(len(row) == 1 and _SEPARATED.search(str(row[0])) for row in rows) or not rows:
        return ""
    return f": its rows are lines such as {rows[-1][0]!r:.60}: split them into columns, or save CSV"


def _is_measured(cell: Any) -> bool:
    """Return whether a cell is a number or a time, which some programs save as text."""
    return type(cell) is not str or any(map(str.isdigit, cell))
