"""Read a text file (CSV and its relatives) as batches of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from datasets.format import BLANKS, FileFormat
from datasets.sampled_columns import SAMPLED_ROWS, Columns
from datasets.text_files.easylog import WithoutSerial
from datasets.text_files.influx import AnnotatedTables
from datasets.text_files.layout import Layout, read_layout
from datasets.text_files.swallowed_rows import SwallowedRows
from datasets.text_files.text import MemoryFile, utf8, without_formulas
from datasets.unreadable import Unreadable
from datasets.values.numbers import is_number
from errors import DatasetError


class TextSource:
    """A text file; columns are called c0, c1, ... since a name may be empty or occur twice."""

    def __init__(self, path: Path | MemoryFile, form: FileFormat) -> None:
        self._path = path
        self._layout: Layout = read_layout(path, form)
        layout = self._layout
        self.trim = layout.trim
        self.notes = layout.notes
        self.lines = Unreadable("lines left out, since they cannot be read")
        width = len(layout.names)
        whole = [row for row in layout.rows if len(row) == width] or layout.rows
        cells: list[list[str]] = [
            [row[index].strip() if index < len(row) else "" for row in whole[:SAMPLED_ROWS]]
            for index in range(width)
        ]
        self.columns = Columns(
            path.name, layout.names, cells, decimals=layout.decimals, below=layout.below
        )
        self._swallowed = SwallowedRows(layout.names, cells, layout.delimiter)
        self._texts = [index for index in range(width) if not self.plain(index)]

    def plain(self, index: int) -> bool:
        """Return whether Arrow can read all sampled cells of a column as numbers."""
        decimal = self.columns.decimals.usual
        return self.columns.decimals.sign(index) == decimal and all(
            not cell or (is_number(cell, decimal) and not cell.isalpha())
            for cell in self.columns.cells[index]
        )

    def _odd(self, row: pa.csv.InvalidRow) -> str:
        """Record a line whose number of fields differs from that of the names."""
        number = row.number - self._layout.skip
        names = self._layout.names
        cells = [cell.strip(' "') for cell in row.text.split(self._layout.delimiter)]
        repeated = {*cells} & {name for name in names if not is_number(name)}
        if cells[0] in repeated and cells[0] == names[0] and len(repeated) > 1:
            problem = (
                f"names other columns ({', '.join(cells)[:200]}): a second table begins there:"
                " save it as a file of its own"
            )
        else:
            problem = (
                f"has {row.actual_columns} fields, not {row.expected_columns} (a separator within"
                " a text or a number, a quote that does not close, or a line cut short)"
            )
        error = DatasetError(f"row {number} {problem}")
        for line in range(row.text.count("\n") + 1):  # an open quote swallows the next lines
            self.lines.add(number + line, error)
        return "skip"

    def batches(self, used: Sequence[int], numbers: frozenset[int] = frozenset()) -> Iterator[Any]:
        """Yield batches of the columns ``used``; those in ``numbers`` are parsed as numbers."""
        layout = self._layout
        if not layout.rows:  # Arrow refuses names without an end of the line
            return
        names = [f"c{index}" for index in range(len(layout.names))]
        unseen = [index for index in self._texts if index not in used]
        read = [*used, *unseen]
        types = {f"c{index}": pa.float64() if index in numbers else pa.string() for index in read}
        kept: Callable[[list[str]], list[str]] | None = None
        if layout.annotated:
            kept = AnnotatedTables()
        elif layout.easylog:
            kept = WithoutSerial()
        elif layout.formulas:
            kept = _without_formulas
        text = utf8(self._path, layout.encoding, layout.delimiter == BLANKS, kept)
        with text, pa.csv.open_csv(
            text,
            # one thread is as fast, and a reader thread alive at process exit would abort it
            read_options=pa.csv.ReadOptions(
                block_size=4 << 20, use_threads=False, column_names=names,
                skip_rows=layout.skip,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=layout.delimiter, invalid_row_handler=self._odd,
                newlines_in_values=True,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=types,
                include_columns=[f"c{index}" for index in read],
                decimal_point=layout.decimals.usual,
            ),
        ) as reader:  # fmt: skip
            done = 0
            for batch in reader:
                self._swallowed.check(batch, partial(self._row, done))
                done += batch.num_rows
                yield batch.select([f"c{index}" for index in used])
        self._texts = []  # which are read once, since rows may be lost within them

    def _row(self, done: int, at: int) -> int:
        """Return the number in the file of a row, given the rows before its batch."""
        number = done + at + 1
        for odd in sorted(self.lines.rows):
            number += odd <= number
        return number


def _without_formulas(lines: list[str]) -> list[str]:
    return [without_formulas(line) for line in lines]
