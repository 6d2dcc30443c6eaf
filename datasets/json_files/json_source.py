"""Read a JSON file (JSON Lines, an array of objects, a table of pandas) as batches of columns."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from datasets.columns.roles import is_known_name
from datasets.format import FileFormat
from datasets.json_files.json_documents import Document, Numbered, documents
from datasets.json_files.json_monitoring import answers_of
from datasets.json_files.json_rows import Rows
from datasets.json_files.json_tables import unfold
from datasets.sampled_columns import SAMPLED_ROWS, Columns
from datasets.text_files.text import encoding_of, sample
from datasets.unreadable import Unreadable
from datasets.values.decimals import Decimals
from datasets.values.numbers import EXACT
from datasets.values.units import bare
from errors import DatasetError

_BATCH_ROWS: Final = 5000  # documents per batch


class JsonSource:
    """A JSON file, whose values have types; a key that an object lacks is a missing value."""

    trim = False

    def __init__(self, path: Path, form: FileFormat) -> None:
        self._path = path
        self._encoding = form.encoding or encoding_of(sample(path)[0])
        self.lines = Unreadable("lines left out, since they cannot be read")
        named = {*form.columns.values(), form.label}
        is_role = cache(lambda name: name in named or is_known_name(name))
        self._rows = Rows(is_role)
        self.notes: list[str] = []
        self._mixed: set[int] = set()
        if not self._encoding.startswith("utf") and form.encoding is None:
            self.notes.append(
                f"read as {self._encoding}, since it is not UTF-8 (--encoding names another)"
            )
        names: dict[str, None] = {}
        head: list[Document] = []
        for row in self._each(self.notes):  # a sensor may be installed later: look at all rows
            names.update(dict.fromkeys(row))
            if len(head) < SAMPLED_ROWS:
                head.append(row)
        if not head:
            self.lines.check(len(self.lines.rows))
            raise DatasetError(f"{path.name}: holds no JSON object")
        self._describe(list(names), head, form)

    def _describe(self, names: list[str], head: list[Document], form: FileFormat) -> None:
        cells: list[list[str]] = []
        texts: list[list[str] | None] = []
        nested: set[int] = set()
        for index, name in enumerate(names):
            values = [row.get(name) for row in head]
            strings = [value for value in values if type(value) is str]
            if strings and float in map(type, values):
                self._mixed.add(index)
            cells.append([(_text(v, index in self._mixed) or "").strip() for v in values])
            texts.append(bare(strings) if strings else None)
            filled = [value for value in values if value is not None]
            if filled and all(isinstance(value, dict | list) for value in filled):
                nested.add(index)
        decimals = Decimals(texts, ";", form.decimal)
        self.columns = Columns(
            self._path.name, names, cells, frozenset(), decimals, frozenset(nested)
        )
        rows = self._rows
        if rows.beside:
            shown = ", ".join(rows.beside)[:200]
            self.notes.append(f"left out, since they stand beside the features: {shown}")
        if rows.record_times:
            self.notes.append(
                f"{rows.record_times:,} messages have no time: that of their Kafka record is taken"
            )

    def plain(self, index: int) -> bool:
        """Return True: values have types."""
        return True

    def batches(self, used: Sequence[int], numbers: frozenset[int] = frozenset()) -> Iterator[Any]:
        """Yield batches of the columns ``used``: those in ``numbers`` with types, else as texts."""
        rows = self._each([])
        while block := list(itertools.islice(rows, _BATCH_ROWS)):
            arrays = []
            for index in used:
                name = self.columns.names[index]
                values = [row.get(name) for row in block]
                mixed = index in self._mixed
                arrays.append(_typed(values, mixed) if index in numbers else _texts(values, mixed))
            yield pa.RecordBatch.from_arrays(arrays, names=[f"c{index}" for index in used])

    def _each(self, notes: list[str]) -> Iterator[Document]:
        """Yield the rows of the file; those that cannot be read are recorded in ``lines``."""
        self._rows.record_times = 0
        for number, document in self._documents(notes):
            try:
                yield self._rows.row(document)
            except DatasetError as error:
                self.lines.add(number, DatasetError(f"row {number} {error.message}"))

    def _documents(self, notes: list[str]) -> Iterator[Numbered]:
        found = documents(self._path, self._encoding, self.lines)
        first = list(itertools.islice(found, 2))
        answers = answers_of(first[0][1]) if first else None
        if answers is not None:
            each = (document for _, document in itertools.chain(first, found))
            return enumerate(_whole(answers(each)), start=1)
        table = unfold(first[0][1], notes) if len(first) == 1 else None
        if table is not None:
            return enumerate(table, start=1)
        return itertools.chain(first, found)


def _whole(rows: Iterator[Document]) -> Iterator[Document]:
    """Yield the rows of a tool's answer; raise `DatasetError` if it has none or is damaged."""
    row = None
    try:
        for row in rows:
            yield row
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"is the answer of a monitoring tool, but damaged or of an unknown form ({error!r:.80})"
        ) from None
    if row is None:
        raise DatasetError("is the answer of a monitoring tool, but holds no series")


def _typed(values: list[Any], mixed: bool) -> Any:
    """Return numbers or switches as such; a column with any text as texts."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if kinds == {int}:
            return pa.array(values, pa.int64())
        if kinds <= {int, float}:
            return pa.array([None if v is None else float(v) for v in values], pa.float64())
    except (pa.ArrowInvalid, OverflowError):
        pass  # a whole number beyond all bounds
    return pa.array(values, pa.bool_()) if kinds == {bool} else _texts(values, mixed)


def _texts(values: list[Any], mixed: bool) -> Any:
    return pa.array([_text(value, mixed) for value in values], pa.string())


def _text(value: Any, mixed: bool) -> str | None:
    """Return a value as text.

    In a ``mixed`` column, which holds texts such as 1,5 too, a number is written with an exponent:
    the point in 1.013 might be taken to separate thousands, that in 1.013e0 is a decimal sign.
    """
    if value is None or type(value) is str:
        return value
    if type(value) is not float:
        return str(value) if type(value) is int else json.dumps(value)
    if value.is_integer() and abs(value) <= EXACT:
        return str(int(value))
    text = repr(value)
    return f"{text}e0" if mixed and text.replace(".", "").isdigit() else text
