"""Write a sheet of a workbook as the text of a CSV file."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any, Final

from datasets.text_files.text import MemoryFile
from datasets.unreadable import ONE_OF
from datasets.values.numbers import EXACT
from datasets.workbooks.workbook_checks import Contents
from errors import DatasetError

#: A merged cell over more rows than a header has stands for each of them.
_HEADER_ROWS: Final = 3
#: Characters that would end a cell or a line.
_SPACES: Final = re.compile(r"[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]")
#: A number as text whose comma is surely a decimal sign.
_COMMA: Final = re.compile(r"\s*[+-]?\d*,(?:\d{1,2}|\d{4,})\s*")
#: A date as text in another order than year, month, day.
_DATE_TEXT: Final = re.compile(r"\s*\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b.*")
_DAY: Final = timedelta(days=1)
_Cells = list[Any]


@dataclass(slots=True)
class _Shape:
    """What all rows of a sheet show.

    Parameters
    ----------
    filled : the number of cells that are not empty.
    height, width : the last row and column with such a cell.
    commas : columns with texts that have a decimal comma.
    long : columns with durations of a day or more.
    dates : the number of dates by column.
    written : the number of texts that look like dates, by column.
    example : one of these texts.
    """

    filled: int = 0
    height: int = 0
    width: int = 0
    commas: set[int] = field(default_factory=set)
    long: set[int] = field(default_factory=set)
    dates: Counter[int] = field(default_factory=Counter)
    written: Counter[int] = field(default_factory=Counter)
    example: str = ""

    def add(self, column: int, cell: Any) -> None:
        """Take a cell into account."""
        kind = type(cell)
        self.filled, self.width = self.filled + 1, max(self.width, column + 1)
        if kind is str and _COMMA.fullmatch(cell):
            self.commas.add(column)
        elif kind is str and _DATE_TEXT.fullmatch(cell):
            self.written[column] += 1
            self.example = self.example or cell
        elif kind is datetime or kind is date:
            self.dates[column] += 1
        elif kind is timedelta and cell >= _DAY:
            self.long.add(column)


def as_text(name: str, sheet: Any, found: Contents, notes: list[str]) -> MemoryFile:
    """Write a sheet as CSV, separated by tabs; its tail of empty rows and columns is left out.

    Parameters
    ----------
    name, sheet
        The workbook's name, and its sheet.
    found
        What the workbook holds.
    notes
        Receives findings for the user.

    Raises
    ------
    DatasetError
        The workbook was never calculated, or its times are half texts.
    """
    shape = _Shape()
    for number, row in enumerate(_rows(sheet), start=1):
        for column, cell in enumerate(row):
            if cell != "":
                shape.height = number
                shape.add(column, cell)
    _check(name, shape, found)
    if found.no_value:
        notes.append(f"{found.no_value:,} formulas have no value: read as not measured")
    if found.errors:
        count, shown = f"{found.errors.total():,}", ", ".join(found.errors)
        notes.append(f"{count} cells of the workbook are errors ({shown}): read as not measured")
    if shape.long:
        notes.append("durations of a day and more, and others in their column, are read as hours")
    return _written(name, islice(_rows(sheet), shape.height), shape)


def first_rows(name: str, sheet: Any, count: int) -> MemoryFile:
    """Write the first rows of a sheet as CSV, to see its columns' names.

    Parameters
    ----------
    name, sheet
        The workbook's name, and its sheet.
    count
        How many rows.
    """
    rows = list(islice(_rows(sheet), count))
    ends = (column for row in rows for column, cell in enumerate(row, start=1) if cell != "")
    return _written(name, rows, _Shape(width=max(ends, default=0)))


def _written(name: str, rows: Iterable[_Cells], shape: _Shape) -> MemoryFile:
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    for row in rows:
        cells = enumerate(row[: shape.width])
        writer.writerow([_text(cell, i in shape.commas, i in shape.long) for i, cell in cells])
    return MemoryFile(name, out.getvalue().encode("utf-8-sig", "replace"))


def _check(name: str, shape: _Shape, found: Contents) -> None:
    """Refuse a workbook that was never calculated, or whose times are half texts."""
    if ONE_OF * found.no_value > shape.filled:
        raise DatasetError(
            f"{name}: {found.no_value:,} formulas have no value, since no program has"
            " calculated them: open the workbook in a spreadsheet program and save it"
        )
    first = min(shape.dates, default=-1)
    if ONE_OF * shape.written[first] > shape.dates[first] > shape.written[first] / ONE_OF:
        raise DatasetError(
            f"{name}: column {first + 1} holds dates and texts such as {shape.example!r:.40}: a"
            " spreadsheet program has taken only some texts for dates, perhaps with day and month"
            " exchanged: import the file again, with the column as text"
        )


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
    if kind is time:
        return (
            repr((datetime.combine(date.min, cell) - datetime.min) / timedelta(hours=1))
            if long
            else cell.isoformat()
        )
    return str(cell)


def _clock(span: timedelta) -> str:
    """Return a duration of less than a day as a time of day."""
    sign = "-" if span < timedelta() else ""
    shown = (datetime.min + abs(span) % _DAY).time()
    return f"{sign}{shown.isoformat()}"
