"""Draw a table in which long names stay whole while the terminal is wide enough for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table

#: Characters around a cell: two of padding, and the line before it.
_AROUND = 3


def new_table(title: str, columns: Sequence[str], left: Collection[str] = ()) -> Table:
    """Create an empty table whose columns are right-aligned, except those with text.

    Long names are wrapped at worst, since truncated names could look alike.

    Parameters
    ----------
    title
        Title of the table.
    columns
        Column names.
    left
        Names of the columns with text.
    """
    table = _NamedRows(title=title, title_justify="left")
    for name in columns:
        if name in left:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right")
    return table


class _NamedRows(Table):
    """A table that rather wraps the heads of its figures than a name."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = [_longest(column, words=False) for column in self.columns]
        least = [_longest(column, words=column.overflow != "fold") for column in self.columns]
        if _width(whole) > options.max_width >= _width(least):
            spare = options.max_width - _width(least)
            for column, width, most in zip(self.columns, least, whole, strict=True):
                more = min(spare, most - width)
                column.width, spare = width + more, spare - more
        return super().__rich_console__(console, options)


def _width(columns: Sequence[int]) -> int:
    return sum(columns) + _AROUND * len(columns) + 1


def _longest(column: Column, *, words: bool) -> int:
    """Return the length of a column's longest text, or longest word."""
    texts = [str(column.header), *map(str, column.cells)]
    return max(cell_len(part) for text in texts for part in (text.split() if words else [text]))
