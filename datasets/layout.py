"""Recognise the layout of a text file: separator, line of names, decimal sign."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Final

from datasets.format import BLANKS, FileFormat
from datasets.numbers import is_number, missing
from datasets.text import encoding_of, sample
from datasets.units import bare
from errors import DatasetError

#: Tried in this order: a comma may be a decimal sign, and a blank part of a text.
_DELIMITERS: Final = (";", "\t", "|", ",", BLANKS)
#: Characters that never occur in text, but do in bytes decoded by mistake.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\ufeff\ufffe\uffff]")
_MAX_PREAMBLE: Final = 30
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_DECIMAL_POINT: Final = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


@dataclass(slots=True)
class Layout:
    """Recognised layout of a text file.

    Parameters
    ----------
    names : name of each field as in the file; may be empty.
    rows : the first rows, one text per field.
    skip : lines before the first row, including the line of names.
    delimiter, decimal, encoding : see :class:`FileFormat`.
    trim : whether fields begin with a blank that belongs to the separator.
    notes : findings for the user.
    """

    names: list[str]
    rows: list[list[str]]
    skip: int
    delimiter: str
    decimal: str
    encoding: str
    trim: bool = False
    notes: list[str] = field(default_factory=list)


def read_layout(path: Path, form: FileFormat) -> Layout:
    """Recognise the layout of a text file from its first lines.

    Raises
    ------
    DatasetError
        The file is empty, is not text, has no line of names, or is ambiguous.
    """
    start, whole = sample(path)
    encoding = form.encoding or encoding_of(start)
    if not start.strip():
        raise DatasetError(f"{path.name}: is empty")
    try:
        text = start.decode(encoding, errors="strict" if whole else "ignore").lstrip("\ufeff")
        text = text.rstrip("\0\x1a")  # left by a logger that lost power, or DOS's end of file
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path.name}: is not {encoding} ({error.reason} at byte {error.start}): --encoding"
            " gives the encoding",
            field="encoding",
        ) from None
    if _CONTROL.search(text):
        raise DatasetError(f"{path.name}: is not text in {encoding}, so not a CSV file")
    notes = []
    if form.encoding is None and not encoding.startswith("utf"):
        notes.append(f"read as {encoding}, since it is not UTF-8 (--encoding names another)")
    lines = text.splitlines()
    if not whole and not text.endswith("\n"):
        lines = lines[:-1] or lines
    first, named = 0, None
    if lines[0].strip().strip('"').casefold().startswith("sep=") and len(lines) > 1:
        first, named = 1, lines[0].strip().strip('"')[4:5] or None
    delimiter = form.delimiter or named or _delimiter(lines[first:])
    table = _table(lines[first:], delimiter)
    top = _first_row(table)
    if top and form.header:
        notes.append(f"{top} lines before the line of names are left out")
    names, rows = table[top], table[top + 1 :]
    skip = first + top + 1
    trim = delimiter != BLANKS and len(names) > 1 and all(n[:1] == " " for n in names[1:])
    if not form.header:
        names, rows, skip = [str(i + 1) for i in range(len(names))], table[top:], skip - 1
    names = [name.strip() for name in names]
    if trim or delimiter == BLANKS:
        rows = [[cell.strip() for cell in row] for row in rows]
    _check_names(path, names, form)
    if rows and len(rows[0]) == len(names) + 1 and not any(row[-1] for row in rows):
        names.append("")  # every row ends with a separator, but the line of names does not
    if form.header and len(rows) > 1 and _units(rows[0]) and not _units(rows[1]):
        notes.append(f"the line of units is left out: {', '.join(rows[0])[:80]}")
        rows, skip = rows[1:], skip + 1
    cells = {cell for column in zip_longest(*rows, fillvalue="") for cell in bare(column)}
    decimal = form.decimal or decimal_sign(path, cells, delimiter)
    if decimal == "," and form.decimal is None:
        notes.append("numbers are read with decimal commas")
    return Layout(names, rows, skip, delimiter, decimal, encoding, trim, notes)


def _delimiter(lines: Sequence[str]) -> str:
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in _table(lines, delimiter) if any(row)]
        usual, often = Counter(widths).most_common(1)[0]
        if usual > 1 and often >= 0.9 * (len(widths) - _MAX_PREAMBLE) and often > 1:
            head = next((w for w in widths if w == usual), 0)
            if head and _regular(widths, usual):
                return delimiter
    if len(lines) == 1 or not any(lines[1:]):
        return max(_DELIMITERS[:-1], key=lines[0].count)
    return max(",;\t", key=lines[0].count)


def _regular(widths: Sequence[int], usual: int) -> bool:
    """Return whether all lines except a few at the top (titles, comments) have the same width."""
    start = widths.index(usual)
    odd = sum(width not in (usual, usual - 1) for width in widths[start:])
    return start <= _MAX_PREAMBLE and odd <= 0.02 * len(widths)


def _table(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    if delimiter == BLANKS:
        return [line.split() for line in lines]
    return list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))


def _first_row(table: Sequence[Sequence[str]]) -> int:
    """Return the index of the table's first line; lines before it are blank or too short."""
    widths = Counter(len(row) for row in table if any(row))
    if not widths:
        return 0
    usual = widths.most_common(1)[0][0]
    for number, row in enumerate(table[: _MAX_PREAMBLE + 1]):
        if usual > 1 and len(row) in (usual, usual - 1) and any(row):
            return number
    return 0


def _check_names(path: Path, names: Sequence[str], form: FileFormat) -> None:
    if form.header and len(names) > 1 and all(is_number(name) for name in names):
        raise DatasetError(
            f"{path.name}: its first line holds numbers, not column names: --no-header calls the"
            " columns 1, 2, ...",
            field="header",
        )


def _units(row: Sequence[str]) -> bool:
    """Return whether a row has no numbers, as a line of units; a reading has numbers."""
    cells = [cell.strip() for cell in row if cell.strip()]
    figures = any(is_number(cell) or re.search(r"\d\d", cell) for cell in cells)
    return len(cells) > 1 and not figures and not all(missing(cell) for cell in cells)


def decimal_sign(path: Path, cells: Collection[str], delimiter: str) -> str:
    """Return the decimal sign of some cells.

    In a comma-separated file, a quoted 1,234 may be a thousand.

    Parameters
    ----------
    path
        The file, for messages.
    cells
        Texts, numbers among them.
    delimiter
        The file's separator.

    Raises
    ------
    DatasetError
        The cells are ambiguous.
    """
    commas = {cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)}
    if not commas:
        return "."
    points = {cell for cell in cells if _DECIMAL_POINT.fullmatch(cell)}
    sure = {cell for cell in commas if not _THOUSANDS.fullmatch(cell)}
    plain = delimiter == "," or any(not _THOUSANDS.fullmatch(c.replace(".", ",")) for c in points)
    if points and (sure or not plain):
        raise DatasetError(
            f"{path.name}: holds both {min(sure or commas)!r} and {min(points)!r}: --decimal gives"
            " the decimal sign",
            field="decimal",
        )
    if points:
        return "."
    if sure or delimiter != ",":
        return ","
    raise DatasetError(
        f"{path.name}: the comma in {min(commas)!r} may separate thousands or decimals: --decimal ."
        " or --decimal ,",
        field="decimal",
    )
