"""Read a sheet of a workbook (.xlsx, .xlsm, .xls, .ods) as the text of a CSV file.

Everything that is recognised in CSV files (titles above the names, lines of units, times, decimal
commas in texts) is so recognised in sheets too.
"""

from __future__ import annotations

import csv
import io
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from datasets.numbers import EXACT
from datasets.text import DAMAGED, MemoryFile
from datasets.unreadable import ONE_OF
from datasets.workbook_checks import MOST_CELLS, Contents, contents
from errors import DatasetError

_ZIP: Final = b"PK\x03\x04"
#: Where the name of an archive's first file stands, and what it is in workbooks.
_FIRST_NAME: Final = 30
_FIRST_NAMES: Final = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"mimetype")
_OLD: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: The stream of an encrypted .xlsx, as its name stands in the file.
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
#: Rows that are looked at to tell a table from a sheet of remarks.
_LOOKED_AT: Final = 2000
#: A merged cell over more rows than a header has stands for each of them.
_HEADER_ROWS: Final = 3
#: Characters that would end a cell or a line.
_SPACES: Final = re.compile(r"[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]")
#: A number as text whose comma is surely a decimal sign.
_COMMA: Final = re.compile(r"\s*[+-]?\d*,(?:\d{1,2}|\d{4,})\s*")
#: Further errors of Python's zipfile, if the directory of the archive is damaged.
_ODD_ZIP: Final = (NotImplementedError, RuntimeError, ValueError, struct.error)
_DAY: Final = timedelta(days=1)
_Cells = list[Any]


def is_workbook(path: Path) -> bool:
    """Return whether a file's content is a workbook's, whatever its name."""
    with path.open("rb") as file:
        start = file.read(64)
    return start.startswith(_OLD) or (
        start.startswith(_ZIP) and start[_FIRST_NAME:].startswith(_FIRST_NAMES)
    )


def may_be_packed(start: bytes) -> bool:
    """Return whether the first bytes of what an archive holds are a workbook's or an archive's."""
    return start.startswith((_OLD, _ZIP))


def read_sheet(path: Path, wanted: str | None) -> tuple[MemoryFile, list[str]]:
    """Read the sheet ``wanted``, or the first that has a table, as CSV text; return notes too.

    The text is UTF-8 with a byte order mark, separated by tabs.

    Raises
    ------
    DatasetError
        The workbook is damaged, encrypted, too large or never calculated, or lacks the sheet.
    """
    import python_calamine as calamine  # imported late, since few files are workbooks

    with path.open("rb") as file:
        old = file.read(len(_OLD)) == _OLD
        if old and _ENCRYPTED in file.read(1 << 20):
            raise _secret(path)
    try:
        found = Contents() if old else contents(path)
        with calamine.load_workbook(path) as book:
            sheet, notes = _chosen(path, book, wanted)
            return _as_text(path, sheet, found, notes), notes
    except calamine.PasswordError:
        raise _secret(path) from None
    except (calamine.CalamineError, *DAMAGED, *_ODD_ZIP) as error:
        raise _damaged(path, error) from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the library's, which is no Exception
            raise _damaged(path, error) from None
        raise


def _secret(path: Path) -> DatasetError:
    return DatasetError(f"{path.name}: is protected by a password: save it without one")


def _damaged(path: Path, error: BaseException) -> DatasetError:
    return DatasetError(f"{path.name}: cannot be read as a workbook: {str(error)[:200]}")


def _chosen(path: Path, book: Any, wanted: str | None) -> tuple[Any, list[str]]:
    """Return the sheet to read, and a note on it if there are others with tables."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    names = [sheet.name for sheet in sheets]
    if wanted is not None:
        same = [name for name in names if name.strip().casefold() == wanted.strip().casefold()]
        if not same:
            raise DatasetError(
                f"{path.name}: --sheet: it has no sheet {wanted!r}, but {', '.join(names)[:300]}",
                field="sheet",
            )
        return book.get_sheet_by_name(wanted if wanted in same else same[0]), []
    visible = [sheet.name for sheet in sheets if sheet.visible == SheetVisibleEnum.Visible]
    hidden = [name for name in names if name not in visible]
    tables: list[str] = []
    first: Any = None
    for name in [*visible, *hidden]:
        if tables and name in hidden:
            break
        sheet = book.get_sheet_by_name(name)
        if _has_table(sheet):
            tables.append(name)
            first = first or sheet
    if first is None:
        shown = ", ".join(names)[:300]
        raise DatasetError(f"{path.name}: holds no table of times and numbers (sheets: {shown})")
    hint = " (hidden)" if tables[0] in hidden else ""
    notes = [f"read from the sheet {tables[0]!r}{hint}"] if hint or len(names) > 1 else []
    if len(tables) > 1:
        notes = [f"{notes[0]}; --sheet chooses another: {', '.join(tables[1:])[:300]}"]
    return first, notes


def _has_table(sheet: Any) -> bool:
    """Return whether a sheet has two rows with a number or time beside another cell."""
    rows = (
        row for row in islice(sheet.iter_rows(), _LOOKED_AT)
        if sum(cell != "" for cell in row) > 1 and any(map(_is_measured, row))
    )  # fmt: skip
    return len(list(islice(rows, 2))) == 2


def _is_measured(cell: Any) -> bool:
    """Return whether a cell is a number or a time, which some programs save as text."""
    return type(cell) is not str or any(map(str.isdigit, cell))


def _as_text(path: Path, sheet: Any, found: Contents, notes: list[str]) -> MemoryFile:
    """Write a sheet as CSV; its tail of empty rows and columns is left out.

    Parameters
    ----------
    path, sheet
        The workbook, and its sheet.
    found
        What the workbook holds.
    notes
        Receives findings for the user.
    """
    if sheet.height * sheet.width > MOST_CELLS:
        raise DatasetError(f"{path.name}: has more than {MOST_CELLS:,} cells: export it as CSV")
    commas: set[int] = set()
    long: set[int] = set()
    filled = height = width = 0
    for number, row in enumerate(_rows(sheet), start=1):
        for column, cell in enumerate(row):
            if cell == "":
                continue
            filled, height, width = filled + 1, number, max(width, column + 1)
            if type(cell) is str and _COMMA.fullmatch(cell):
                commas.add(column)
            elif type(cell) is timedelta and cell >= _DAY:
                long.add(column)
    if ONE_OF * found.no_value > filled:
        raise DatasetError(
            f"{path.name}: {found.no_value:,} formulas have no value, since no program has"
            " calculated them: open the workbook in a spreadsheet program and save it"
        )
    if found.no_value:
        notes.append(f"{found.no_value:,} formulas have no value: read as not measured")
    if found.errors:
        shown = ", ".join(found.errors)
        count = f"{found.errors.total():,}"
        notes.append(f"{count} cells of the workbook are errors ({shown}): read as not measured")
    if long:
        notes.append("durations of a day and more, and others in their column, are read as hours")
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    for row in islice(_rows(sheet), height):
        writer.writerow(
            [_text(cell, column in commas, column in long) for column, cell in
             enumerate(row[:width])]
        )  # fmt: skip
    return MemoryFile(path.name, out.getvalue().encode("utf-8-sig", "replace"))


def _rows(sheet: Any) -> Iterable[_Cells]:
    """Yield the rows of a sheet; a cell merged over many rows stands in each of them."""
    top, left = sheet.start or (0, 0)
    tall = [
        (first - top, last - top, column - left)
        for (first, column), (last, _) in sheet.merged_cell_ranges or ()
        if last - first >= _HEADER_ROWS
    ]
    return _unmerged(sheet.iter_rows(), sorted(tall)) if tall else sheet.iter_rows()


def _unmerged(rows: Iterable[_Cells], tall: Sequence[tuple[int, int, int]]) -> Iterator[_Cells]:
    """Yield rows with merged cells repeated: first row, last row and column of each are given."""
    held: dict[int, tuple[int, Any]] = {}
    coming = list(reversed(tall))
    for number, row in enumerate(rows):
        for column, (last, cell) in held.items():
            if number <= last:
                row[column] = cell
        while coming and coming[-1][0] <= number:
            _, last, column = coming.pop()
            if 0 <= column < len(row):
                held[column] = last, row[column]
        yield row


def _text(cell: Any, comma: bool, long: bool) -> str:
    """Return a cell as it stands in a CSV file.

    Parameters
    ----------
    cell
        The value.
    comma
        The column holds texts with decimal commas too, so its numbers get one.
    long
        The column holds durations of a day or more, which become hours.
    """
    kind = type(cell)
    if kind is float:
        if cell.is_integer() and abs(cell) <= EXACT:
            return str(int(cell))
        text = repr(cell)
        if text[-4:-3] == ".":  # a point before three digits might separate thousands
            text += "0"
        return text.replace(".", ",") if comma else text
    if kind is str:
        return " ".join(cell.split()) if _SPACES.search(cell) else cell
    if kind is datetime:
        return str(cell.isoformat(" "))
    if kind is date:  # at midnight, among times
        return f"{cell} 00:00:00"
    if kind is timedelta:
        return repr(cell / timedelta(hours=1)) if long else _clock(cell)
    return cell.isoformat() if kind is time else str(cell)


def _clock(span: timedelta) -> str:
    """Return a duration of less than a day as a time of day."""
    sign = "-" if span < timedelta() else ""
    shown = (datetime.min + abs(span) % _DAY).time()
    return f"{sign}{shown.isoformat()}"
