"""Read a sheet of a workbook (.xlsx, .xlsm) as the text of a CSV file.

Everything that is recognised in CSV files (titles above the names, lines of units, times, decimal
commas in texts) is so recognised in sheets too.
"""

from __future__ import annotations

import re
import struct
from itertools import islice
from pathlib import Path
from typing import Any, Final

from datasets.sheet_text import as_text
from datasets.text import DAMAGED, MemoryFile
from datasets.workbook_checks import contents
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
#: Further errors of Python's zipfile, if the directory of the archive is damaged.
_ODD_ZIP: Final = (NotImplementedError, RuntimeError, ValueError, struct.error)
#: What separates the fields of a CSV file.
_SEPARATED: Final = re.compile(r"[;,\t|].*[;,\t|]|;|\t")


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

    _refuse_old(path)
    try:
        found = contents(path)
        with calamine.load_workbook(path) as book:
            sheet, notes = _chosen(path, book, wanted)
            return as_text(path.name, sheet, found, notes), notes
    except calamine.PasswordError:
        raise _secret(path) from None
    except (calamine.CalamineError, *DAMAGED, *_ODD_ZIP) as error:
        raise _damaged(path, error) from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the library's, which is no Exception
            raise _damaged(path, error) from None
        raise


def _refuse_old(path: Path) -> None:
    """Refuse an encrypted workbook, and one of Excel 97: if damaged, it would end the process."""
    with path.open("rb") as file:
        if file.read(len(_OLD)) != _OLD:
            return
        if _ENCRYPTED in file.read(1 << 20):
            raise _secret(path)
    raise DatasetError(f"{path.name}: is a workbook of Excel 97 to 2003: save it as .xlsx or CSV")


def _secret(path: Path) -> DatasetError:
    return DatasetError(f"{path.name}: is protected by a password: save it without one")


def _damaged(path: Path, error: BaseException) -> DatasetError:
    why = " ".join(str(error).split())[:200]
    return DatasetError(f"{path.name}: cannot be read as a workbook: {why}")


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
        hint = _unsplit(book.get_sheet_by_name(names[0])) if names else ""
        raise DatasetError(
            f"{path.name}: holds no table of times and numbers (sheets: {shown}){hint}"
        )
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


def _unsplit(sheet: Any) -> str:
    """Return a hint if the rows of a sheet are lines of a CSV file that were not split."""
    rows = [[cell for cell in row if cell != ""] for row in islice(sheet.iter_rows(), 2)]
    if not all(len(row) == 1 and _SEPARATED.search(str(row[0])) for row in rows) or not rows:
        return ""
    return f": its rows are lines such as {rows[-1][0]!r:.60}: split them into columns, or save CSV"


def _is_measured(cell: Any) -> bool:
    """Return whether a cell is a number or a time, which some programs save as text."""
    return type(cell) is not str or any(map(str.isdigit, cell))
