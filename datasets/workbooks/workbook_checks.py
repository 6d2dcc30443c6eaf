"""Check a workbook before it is read: how large it is unpacked, and how far its cells lie apart.

The library that reads workbooks unpacks them in memory, and holds a sheet as one rectangle from its
first cell to its last. A few bytes could ask for terabytes, so both are bounded here. Where cells
lie is known of .xlsx only: see :mod:`datasets.workbooks.workbook_process` for the other kinds.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final, Literal

from errors import DatasetError

#: How a compound file begins, which .xls are.
OLD: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: The stream of an encrypted .xlsx, as its name stands in the file.
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
#: The start of a .xls (BIFF8 or BIFF5), perhaps "write-protected", and the record of a password.
_PASSWORD: Final = re.compile(
    rb"\x09\x08(?:\x10\0\0\x06\x05\0.{12}|\x08\0\0\x05\x05\0.{4})(?:\x86\0\0\0)?\x2f\0", re.DOTALL
)
#: Bytes of a whole workbook, unpacked: a sheet of a million rows and 24 columns has as many.
_MOST_BYTES: Final = 1 << 30
#: Cells of one sheet: a million rows of 32 columns.
MOST_CELLS: Final = 1 << 25
_PART: Final = 1 << 20  # bytes read at a time
#: Cells and rows without content: programs give whole empty rows a format.
_EMPTY: Final = re.compile(
    rb"<(?:\w+:)?row\b[^<>]*>(?:\s*<(?:\w+:)?c\b[^<>]*/>)*\s*</(?:\w+:)?row>"
    rb"|<(?:\w+:)?c\b[^<>]*/>"
)
#: Where a cell or a row is, such as <c r="AB12">.
_PLACE: Final = re.compile(
    rb"<(?:\w+:)?(?:c|row)\b[^<>]*?\sr\s*=\s*[\"']([A-Za-z]{0,3})(\d{1,7})[\"']"
)
_CELL: Final = re.compile(rb"<(?:\w+:)?c[\s>]")
_ROW: Final = re.compile(rb"<(?:\w+:)?row\b")
#: A formula followed by the end of its cell, or by an empty value.
_NO_VALUE: Final = re.compile(
    rb"(?:</(?:\w+:)?f>|<(?:\w+:)?f\b[^<>]*/>)\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?"
    rb"\s*</(?:\w+:)?c>"
)
#: Formulas of an OpenDocument sheet, and those with a value.
_FORMULA: Final = re.compile(rb"<(?:\w+:)?table-cell\b[^<>]*\s(?:\w+:)?formula=[^<>]*>")
_VALUE: Final = re.compile(rb"\s(?:\w+:)?value-type=")
_SPREADSHEET: Final = b"application/vnd.oasis.opendocument.spreadsheet"
_ERROR: Final = re.compile(rb">(#(?:N/A|DIV/0!|REF!|VALUE!|NUM!|NAME\?|NULL!))</(?:\w+:)?v>")


Kind = Literal["xls", "xlsx", "xlsb", "ods"]


@dataclass(slots=True)
class Contents:
    """What the sheets of a workbook hold.

    Parameters
    ----------
    kind : the kind of workbook. Rows and columns are known of xlsx, formulas of ods too.
    rows, columns : the last row and column with content, over all sheets.
    no_value : formulas without a value, since no program has calculated them.
    errors : how often each error value, such as #N/A, stands in a cell.
    """

    kind: Kind = "xlsx"
    rows: int = 0
    columns: int = 0
    no_value: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, part: bytes) -> None:
        """Take whole rows of a sheet's XML into account."""
        if self.kind == "ods":
            self.no_value += sum(not _VALUE.search(cell) for cell in _FORMULA.findall(part))
        if self.kind != "xlsx":
            return
        part = _EMPTY.sub(b"", part)
        places = _PLACE.findall(part)
        self.rows = max([self.rows, *map(int, {row for _, row in places})])
        named = {_number(column) for column in {column for column, _ in places}}
        self.columns = max([self.columns, *named])
        if part.count(b"c>") > len(places):  # some cells do not say where they are
            self.columns = max(self.columns, *(len(_CELL.findall(row)) for row in _ROW.split(part)))
        if b"<f" in part or b":f" in part:
            self.no_value += len(_NO_VALUE.findall(part))
        self.errors.update(error.decode() for error in _ERROR.findall(part))


def contents(path: Path) -> Contents:
    """Return what the sheets of a workbook hold, as far as it is known before they are read.

    Raises
    ------
    DatasetError
        It is too large, encrypted, or no workbook.
    """
    with path.open("rb") as file:
        if file.read(len(OLD)) == OLD:
            _check_old(path)
            return Contents("xls")
    found = Contents()
    left = _MOST_BYTES
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        found.kind = _kind(path, archive)
        for member in members:
            if member.flag_bits & 1:
                raise DatasetError(f"{path.name}: is encrypted: save it without a password")
            member.file_size = left + 2 * _PART  # read what is there, whatever the archive says
            with archive.open(member) as file:
                rest = b""
                while part := file.read(_PART):
                    left -= len(part)
                    if left < 0:
                        raise too_large(path, f"unpacks to more than {_MOST_BYTES >> 20:,} MiB")
                    rest = _whole_rows(rest + part, found)
                found.add(rest)
    if found.rows * found.columns > MOST_CELLS:
        raise too_large(path, f"has cells up to row {found.rows:,} and column {found.columns:,}")
    return found


def _check_old(path: Path) -> None:
    """Refuse an encrypted workbook in a compound file: a .xls, or a .xlsx that became one."""
    if path.stat().st_size > _MOST_BYTES:
        raise too_large(path, f"has more than {_MOST_BYTES >> 20:,} MiB")
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
        if whole.find(_ENCRYPTED, 0, _PART) >= 0 or _PASSWORD.search(whole):
            raise secret(path)


def _kind(path: Path, archive: zipfile.ZipFile) -> Kind:
    """Return what kind of workbook an archive is, by its members."""
    members = {member.filename for member in archive.infolist()}
    if "xl/workbook.xml" in members:
        return "xlsx"
    if "xl/workbook.bin" in members:
        return "xlsb"
    if "content.xml" not in members:
        raise DatasetError(f"{path.name}: is no workbook, though it looks like one")
    if "mimetype" in members:
        with archive.open("mimetype") as file:
            if file.read(len(_SPREADSHEET)) == _SPREADSHEET:
                return "ods"
    raise DatasetError(f"{path.name}: is an OpenDocument file, but no spreadsheet")


def _whole_rows(part: bytes, found: Contents) -> bytes:
    """Add all rows but the last, which may be cut; return it, or the last tag of a long one."""
    if found.kind != "xlsx":  # cells count one by one, if at all
        cut = part.rfind(b"<")
        found.add(part[:cut])
        return part[cut:] if len(part) - cut < _PART else b""
    cut = part.rfind(b"<row")
    if cut < 1:
        cut = part.rfind(b"<", 0, part.rfind(b":row "))
    found.add(part[:cut])
    return part[cut:]


def secret(path: Path) -> DatasetError:
    """Return the error for a workbook that a password protects."""
    return DatasetError(f"{path.name}: is protected by a password: save it without one")


def too_large(path: Path, why: str) -> DatasetError:
    """Return the error for a workbook that takes too much memory."""
    return DatasetError(f"{path.name}: {why}: export the table as CSV or Parquet")


def _number(column: bytes) -> int:
    """Return the number of a column from its letters: A is 1, XFD is 16,384."""
    number = 0
    for letter in column.upper():
        number = 26 * number + letter - 64
    return number
