"""Find the line of names above a table, and check that it is no reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from datasets.columns.kinds_of_rows import is_reading, kind_of, names_columns, no_reading
from datasets.columns.roles import is_known_name
from datasets.format import FileFormat
from datasets.text_files.below_names import describes
from datasets.text_files.counted_columns import SURELY_COUNTED, counts_columns
from datasets.text_files.separator import MAX_PREAMBLE, table_of
from datasets.text_files.text import MemoryFile
from datasets.values.numbers import is_number, missing
from errors import DatasetError

#: Names without fields: of separators at the end, and of comments that LabVIEW leaves out.
NO_FIELD: Final = frozenset(("", "Comment"))


def names_row(table: Sequence[Sequence[str]]) -> int:
    """Return the index of the line of names.

    Spreadsheets save lines of titles with as many fields as the rows, most of them empty. Or names
    and values of the site, a small table, stand above the names of the sensors.
    """
    top = _below_channels(table, first_row(table))
    filled = [sum(bool(cell.strip()) for cell in row) for row in table]
    usual = sorted(filled[top:])[len(filled[top:]) // 2]
    near = range(top, min(len(table), MAX_PREAMBLE + 1))
    top = next((n for n in near if 2 * filled[n] >= usual), top)
    for number in near:
        between = table[top + 1 : number]
        if (
            between
            and filled[number] > 1
            and 2 * filled[number] >= usual
            and table[number] != table[top]
            and len({*table[number]} - {""}) == filled[number]
            and names_columns(table[number:])
            and not any(no_reading(row) or is_reading(row, table[number + 1 :])
                        for row in between)
            and (any(map(is_known_name, table[number]))
                 or not any(describes(table[n:]) for n in range(top + 1, number)))
        ):  # fmt: skip
            top = number
    return top


def first_row(table: Sequence[Sequence[str]]) -> int:
    """Return the index of the table's first line; lines before it are blank or too short."""
    widths = Counter(len(row) for row in table if any(row))
    if not widths:
        return 0
    usual = widths.most_common(1)[0][0]
    for number, row in enumerate(table[: MAX_PREAMBLE + 1]):
        fields = usual if len(row) > usual and {*row[usual:]} <= NO_FIELD else len(row)
        if usual > 1 and fields in (usual, usual - 1) and any(row):
            return _below_titles(table, number, usual)
    return 0


def _below_titles(table: Sequence[Sequence[str]], first: int, usual: int) -> int:
    """Return the index of a table's first line, below lines that nearly have its width by chance.

    Loggers write lines of settings (``SENSOR NAME,HT1``) above the table, or a table of channels.
    """
    if len(table[first]) != usual - 1:
        return first
    for number in range(first + 1, min(len(table), MAX_PREAMBLE + 1)):
        row = table[number]
        if len(row) == usual:
            names = all(cell.strip() for cell in row) and names_columns(table[number:])
            return number if names else first
        if not any(kind_of(cell) == "text" for cell in row if not missing(cell)):
            return first
    return first


def _below_channels(table: Sequence[Sequence[str]], first: int) -> int:
    """Return the index of the names of readings below a table of channels, which has no times.

    Loggers (GRAPHTEC, Keysight, Yokogawa) describe their channels in a table that may be as wide as
    the readings. Another line, blank or of another width, ends it.
    """
    wide = (len(table[first]), len(table[first]) + 1, len(table[first]) - 1)
    for number in range(first + 2, min(len(table), MAX_PREAMBLE + 1)):
        row, before = table[number], table[number - 1]
        if any("time" in map(kind_of, one) for one in table[first:number]):
            return first
        cells = [cell for cell in row if cell.strip()]
        if (
            len(row) in wide
            and 2 < len(cells) == len(set(cells))
            and (len(before) not in wide or not any(before))
            and names_columns(table[number:])
            and any("time" in map(kind_of, one) for one in table[number + 1 : number + 5])
        ):
            return number
    return first


def names_in_comments(lines: Sequence[str], first: int, delimiter: str) -> str | None:
    """Return the comment above a table that holds its names; see :func:`names_in_comment`.

    That is the last one, or the one before where the last holds units, of which some are equal.

    Parameters
    ----------
    lines : the comments, and the table below them.
    first : the index of the table's first line.
    delimiter : the separator of the table.
    """
    title = names_in_comment(lines[first - 1 :], delimiter)
    if title is None or first < 2:
        return title
    ((names,), _) = table_of([title], delimiter)
    if len(set(names)) == len(names):
        return title
    return names_in_comment([lines[first - 2], *lines[first:]], delimiter) or title


def names_in_comment(lines: Sequence[str], delimiter: str) -> str | None:
    """Return a comment as a line of names, if it has a name for each column of the rows below it.

    Parameters
    ----------
    lines : the comment, and the lines below it.
    delimiter : the separator of the lines below it.
    """
    title = lines[0].lstrip()
    title = title if title[0] in title[1:] else title[1:].lstrip(" ")  # #1 Pump is a name
    (names, *rows), _ = table_of([title, *lines[1:]], delimiter)
    top = rows[first_row(rows)]
    if len(names) < 2 or len(names) != len(top) or any(is_number(name) for name in names):
        return None
    named = not any(kind_of(cell) != "text" for cell in top if not missing(cell))
    return None if named else title


def check_names(
    path: Path | MemoryFile,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    form: FileFormat,
    above: Sequence[str],
) -> None:
    """Reject a line of names that is a reading: all numbers, or of the same kinds as the rows.

    Parameters
    ----------
    path
        The file, for messages.
    names
        Cells of the line of names.
    rows
        The rows below it.
    form
        Format options given by the caller.
    above
        Cells of the line above it, which has another number of fields.
    """
    given = {*form.columns.values(), form.label}
    named = any(is_known_name(name) or name in given for name in names)
    counted = counts_columns(names) and (not names[0] or len(names) >= SURELY_COUNTED)
    if not form.header or not names or named or counted:
        return
    if all(is_number(name) or is_number(name, ",") for name in names):
        what = "numbers"
    elif is_reading(names, rows):
        what = f"a reading ({', '.join(names)[:80]})"
    else:
        return
    hint = "--no-header calls the columns 1, 2, ..."
    if above:
        hint = (
            f"the line above it ({', '.join(above)[:80]}) has {len(above)} fields instead of"
            f" {len(names)}: correct it, or {hint}"
        )
    raise DatasetError(
        f"{path.name}: its first line holds {what}, not column names: {hint}", field="header"
    )
