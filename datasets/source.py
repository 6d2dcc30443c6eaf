"""Recognise the kind of a file by its content or suffix, and open it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from datasets.format import FileFormat
from datasets.json_files.json_documents import is_json
from datasets.json_files.json_source import JsonSource
from datasets.json_files.line_protocol import LineProtocolSource, is_line_protocol
from datasets.parquet_source import ParquetSource, is_parquet
from datasets.sampled_columns import Columns
from datasets.suffixes import read_as
from datasets.text_files.text import sample, what_else
from datasets.text_files.text_source import TextSource
from datasets.unreadable import Unreadable
from datasets.workbooks.workbook import SheetText, is_workbook, may_be_packed, read_sheet, source_of
from errors import DatasetError

#: Options of the format that only texts in columns have.
_OF_TEXTS: Final = ("delimiter", "header")


class Source(Protocol):
    """A file as batches of columns called c0, c1, ...: names may be empty or occur twice.

    Attributes
    ----------
    columns : the columns' names and first cells.
    notes : what was recognised.
    lines : lines left out so far, since they cannot be read.
    trim : whether cells begin with a blank that belongs to the separator.
    """

    columns: Columns
    notes: list[str]
    lines: Unreadable
    trim: bool

    def plain(self, index: int) -> bool:
        """Return whether a column can be read as numbers, judged by its first cells."""
        ...

    def batches(self, used: Sequence[int], numbers: frozenset[int] = frozenset()) -> Iterator[Any]:
        """Yield batches of the columns ``used``, those in ``numbers`` parsed as numbers."""
        ...


def opened_source(path: Path | SheetText, form: FileFormat) -> Source:
    """Open a file by its content or suffix: names of workbooks, texts and JSON often mislead."""
    source, kind, without_meaning = _opened(path, form)
    source.columns.nulls = frozenset(text.casefold() for text in form.null)
    source.notes += form.ignored(kind, *without_meaning)
    return source


def _opened(path: Path | SheetText, form: FileFormat) -> tuple[Source, str, Sequence[str]]:
    """Return a file, what kind it is, and the fields of ``form`` without meaning for this kind."""
    if isinstance(path, SheetText):
        return source_of(path, form), "a workbook", ("delimiter", "encoding")
    kind = read_as(path)
    if kind == "parquet" or is_parquet(path):
        return ParquetSource(path, form), "a Parquet file", ("sheet", *_OF_TEXTS, "encoding")
    if is_workbook(path):
        return _opened(read_sheet(path, form), form)
    start, _ = sample(path)
    if may_be_packed(start):
        raise DatasetError("holds a workbook or an archive: unpack it first")
    if other := what_else(start):
        name = ", despite its name" if kind else ""
        raise DatasetError(f"is {other}{name}: save its table as Parquet or CSV")
    if kind == "json" or is_json(start):
        return JsonSource(path, form), "a JSON file", ("sheet", *_OF_TEXTS)
    if is_line_protocol(start):
        return LineProtocolSource(path, form), "InfluxDB's line protocol", ("sheet", *_OF_TEXTS)
    if kind == "text":
        return TextSource(path, form), "a text file", ("sheet",)
    wrong = "is no workbook, despite its name" if kind else "has the suffix of no known format"
    try:
        source = TextSource(path, form)
    except DatasetError as error:
        reason = error.message.removeprefix(f"{path.name}: ")
        raise DatasetError(f"{wrong}: {reason}", field=error.field) from None
    source.notes.insert(0, f"{wrong}: read as text")
    return source, "a text file", ("sheet",)
