"""Read sheets of a workbook (.xlsx, .xlsm, .xls, .xlsb, .ods) as the texts of CSV files.

Everything that is recognised in CSV files (titles above the names, lines of units, times, decimal
commas in texts) is so recognised in sheets too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from datasets.format import FileFormat
from datasets.text_files.layout import read_layout
from datasets.text_files.text import DAMAGED, MemoryFile, is_packed
from datasets.text_files.text_source import TextSource
from datasets.workbooks.sheet_choice import Choice, choose
from datasets.workbooks.sheet_text import as_text, first_rows
from datasets.workbooks.workbook_checks import OLD, contents, secret
from datasets.workbooks.workbook_process import read_apart
from errors import DatasetError

_ZIP: Final = b"PK\x03\x04"
#: Where the name of an archive's first file stands, and what it is in workbooks.
_FIRST_NAME: Final = 30
_FIRST_NAMES: Final = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"mimetype")
_NAMES: Final = (".xlsx", ".xlsm")
#: Rows that surely hold the names of the columns.
_HEAD: Final = 100
#: Further errors of Python's zipfile, if the directory of the archive is damaged.
_ODD_ZIP: Final = (NotImplementedError, RuntimeError, ValueError, struct.error)


def is_workbook(path: Path) -> bool:
    """Return whether a file's content is a workbook's, whatever its name."""
    with path.open("rb") as file:
        start = file.read(64)
    return start.startswith(OLD) or (
        start.startswith(_ZIP) and start[_FIRST_NAME:].startswith(_FIRST_NAMES)
    )


def may_be_packed(start: bytes) -> bool:
    """Return whether the first bytes of what an archive holds are a workbook's or an archive's."""
    return start.startswith(OLD) or is_packed(start)


@dataclass(frozen=True, slots=True)
class SheetText(MemoryFile):
    """A sheet as the text of a CSV file, which :func:`datasets.load` reads like a file.

    Parameters
    ----------
    notes : findings for the user.
    """

    notes: list[str] = field(default_factory=list)


class Workbook:
    """An open workbook; close it by ``with``.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    DatasetError
        It is damaged, encrypted or too large.
    """

    def __init__(self, path: Path) -> None:
        import python_calamine as calamine  # imported late, since few files are workbooks

        self.path = path
        with _in_a_sentence(path):
            self._found = contents(path)
            if self._found.kind != "xlsx":
                self._book: Any = read_apart(path, self._found.kind)
            elif path.suffix.lower() in _NAMES:
                self._book = calamine.load_workbook(path)
            else:  # by its content: the names of workbooks often mislead
                with path.open("rb") as file:
                    self._book = calamine.load_workbook(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._book.close()

    def choose(self, form: FileFormat) -> Choice:
        """Choose the sheets to read; see :func:`datasets.workbooks.sheet_choice.choose`."""

        def columns(sheet: Any) -> frozenset[str]:
            head = first_rows(self.path.name, sheet, _HEAD)
            try:
                return frozenset(filter(None, read_layout(head, _of_sheet(form)).names))
            except DatasetError:
                return frozenset()

        with _in_a_sentence(self.path):
            return choose(self.path.name, self._book, form.sheet, columns)

    def only(self, choice: Choice) -> SheetText | None:
        """Return the sheet to read, called by the file's name; None if there are several."""
        name, *others = choice.names
        return None if others else self.text(name, self.path.name, choice.notes)

    def text(self, sheet: str, name: str, notes: Sequence[str] = ()) -> SheetText:
        """Return a sheet as CSV text: UTF-8 with a byte order mark, separated by tabs.

        Parameters
        ----------
        sheet : the sheet's name.
        name : what messages call it.
        notes : findings so far.

        Raises
        ------
        DatasetError
            The workbook was never calculated.
        """
        with _in_a_sentence(self.path):
            found = [*notes]
            text = as_text(name, self._book.get_sheet_by_name(sheet), self._found, found)
            return SheetText(text.name, text.content, found)


def read_sheet(path: Path, form: FileFormat) -> SheetText:
    """Read the first of the sheets to read.

    Raises
    ------
    DatasetError
        The workbook cannot be read, or ``form`` names several sheets.
    """
    with Workbook(path) as book:
        choice = book.choose(form)
        first, *others = choice.names
        if others and form.sheet is not None:
            raise DatasetError(
                f"{path.name}: --sheet: {form.sheet!r} are several sheets, where only one can be"
                " read",
                field="sheet",
            )
        if others:
            shown = ", ".join(others)[:300]
            return book.text(first, path.name, [
                f"read from the sheet {first!r}; --sheet chooses another: {shown}"
            ])  # fmt: skip
        return book.text(first, path.name, choice.notes)


def source_of(sheet: SheetText, form: FileFormat) -> TextSource:
    """Open a sheet as a text file."""
    source = TextSource(sheet, _of_sheet(form))
    source.notes[:0] = sheet.notes
    return source


def _of_sheet(form: FileFormat) -> FileFormat:
    return replace(form, delimiter="\t", encoding="utf-8-sig")


@contextmanager
def _in_a_sentence(path: Path) -> Iterator[None]:
    """Say what is wrong with a workbook that cannot be read."""
    import python_calamine as calamine

    try:
        yield
    except calamine.PasswordError:
        raise secret(path) from None
    except (calamine.CalamineError, *DAMAGED, *_ODD_ZIP, OSError) as error:
        raise _damaged(path, error) from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the library's, which is no Exception
            raise _damaged(path, error) from None
        raise


def _damaged(path: Path, error: BaseException) -> DatasetError:
    why = " ".join(str(error).split())[:200]
    return DatasetError(f"{path.name}: cannot be read as a workbook: {why}")
