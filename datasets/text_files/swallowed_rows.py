"""Find rows that a quote has swallowed: it opens a text, and closes rows later or never.

Columns of texts are mostly left out, so that nobody would miss the rows. Texts of several lines are
no rows, and few of them look like some.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from errors import DatasetError

_LINE_END: Final = re.compile(r"\r\n?|\n")
#: Columns with more kinds of texts than this do not tell a row from a text.
_MOST_SHAPES: Final = 12


class SwallowedRows:
    """Tell texts that hold rows from texts of several lines.

    Parameters
    ----------
    names : column names.
    cells : the first cells of each column.
    delimiter : what separates the columns.
    """

    def __init__(
        self, names: Sequence[str], cells: Sequence[Sequence[str]], delimiter: str
    ) -> None:
        self._names = names
        self._cells = cells
        self._delimiter = delimiter

    def check(self, batch: Any, row_of: Callable[[int], int]) -> None:
        """Check the texts of a batch of rows, whose columns are called c0, c1, ...

        Parameters
        ----------
        batch
            The rows (pyarrow).
        row_of
            Returns the number in the file of a row of the batch.

        Raises
        ------
        DatasetError
            A text holds rows; names its row.
        """
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not pa.types.is_string(column.type):
                continue
            lines = pc.fill_null(pc.match_substring_regex(column, "[\r\n]"), False)
            if not pc.any(lines).as_py():
                continue
            for at in pc.indices_nonzero(lines).to_pylist():
                index = int(name[1:])
                if self._holds_rows(column[at].as_py(), index):
                    raise DatasetError(
                        f"row {row_of(at)}: column {self._names[index]!r} has a quote that does not"
                        " close before the next row, which would be lost within its text: correct"
                        " the quote in the file"
                    )

    def _holds_rows(self, text: str, index: int) -> bool:
        """Return whether a text of column ``index`` holds the end of its row, and others.

        The first line goes on to the last column; the last one begins with the first column.
        """
        lines = [line.split(self._delimiter) for line in _LINE_END.split(text.rstrip("\r\n"))]
        first, last, width = lines[0], lines[-1], len(self._names)
        if any(len(line) == width and self._fit(line, 0) for line in lines[1:-1]):
            return True
        return (
            len(lines) > 1
            and len(first) == width - index
            and len(last) == index + 1
            and self._fit(first[1:], index + 1)
            and self._fit(last[:index], 0)
        )

    def _fit(self, fields: Sequence[str], start: int) -> bool:
        """Return whether fields look like cells of the columns from ``start`` on."""
        known = zip(fields, self._shapes[start:], strict=False)
        return all(shapes is None or _shape(cell) in shapes for cell, shapes in known)

    @cached_property
    def _shapes(self) -> list[set[str] | None]:
        """What the cells of each column look like; None if they are too different to say."""
        shapes = [{"", *map(_shape, column)} for column in self._cells]
        return [found if len(found) <= _MOST_SHAPES else None for found in shapes]


def _shape(cell: str) -> str:
    """Return a cell with one 0 for each number, and one a for each word."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", cell.strip()))
