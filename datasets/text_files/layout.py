"""Recognise the layout of a text file: separator, line of names, decimal signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets.columns.kinds_of_rows import no_reading
from datasets.format import BLANKS, FileFormat
from datasets.text_files.below_names import lines_below_names
from datasets.text_files.comments import comments_above
from datasets.text_files.counted_columns import below_counts, numbered
from datasets.text_files.easylog import WithoutSerial, is_easylog
from datasets.text_files.first_lines import LINE_END, first_lines
from datasets.text_files.influx import AnnotatedTables, is_annotated
from datasets.text_files.line_of_names import (
    NO_FIELD,
    check_names,
    first_row,
    names_in_comments,
    names_row,
)
from datasets.text_files.separator import MAX_PREAMBLE, delimiter_of, table_of
from datasets.text_files.text import MemoryFile, without_formulas
from datasets.text_files.two_lines_of_names import are_names, joined_names, names_above_an_index
from datasets.text_files.vrm import vrm_names
from datasets.values.decimals import Decimals
from datasets.values.units import bare


@dataclass(slots=True)
class Layout:
    """Recognised layout of a text file.

    Parameters
    ----------
    names : name of each field as in the file; may be empty.
    rows : the first rows, one text per field.
    skip : lines before the first row, including the line of names.
    delimiter, encoding : see :class:`FileFormat`.
    decimals : the decimal sign of each field.
    trim : whether fields begin with a blank that belongs to the separator.
    formulas : whether cells are texts in formulas, such as ``="0012"``.
    below : the lines of units, types and roles below the names.
    easylog : whether it is a Lascar logger's file, without whose serial number it is read.
    annotated : whether it is InfluxDB's annotated CSV, whose annotations do not count as lines.
    notes : findings for the user.
    """

    names: list[str]
    rows: list[list[str]]
    skip: int
    delimiter: str
    decimals: Decimals
    encoding: str
    trim: bool = False
    annotated: bool = False
    notes: list[str] = field(default_factory=list)
    below: list[list[str]] = field(default_factory=list)
    formulas: bool = False
    easylog: bool = False


def read_layout(path: Path | MemoryFile, form: FileFormat) -> Layout:
    """Recognise the layout of a text file from its first lines.

    Raises
    ------
    DatasetError
        The file is empty, is not text, or has no line of names.
    """
    written, encoding = first_lines(path, form)
    lines = [without_formulas(line) for line in written]
    formulas = lines != written
    annotated = is_annotated(lines)
    lines = AnnotatedTables()(lines) if annotated else lines
    notes = []
    easylog = form.header and is_easylog(lines)
    if easylog:
        lines = WithoutSerial()(lines)
        notes.append("the serial number, which only the first row has, is left out")
    if form.encoding is None and not encoding.startswith("utf"):
        notes.append(f"read as {encoding}, since it is not UTF-8 (--encoding names another)")
    if formulas:
        notes.append('cells such as ="0012" are read as the texts in them')
    first, named = 0, None
    if lines[0].strip().strip('"').casefold().startswith("sep=") and len(lines) > 1:
        first, named = 1, lines[0].strip().strip('"')[4:5] or None
    comments = comments_above(lines[first:], MAX_PREAMBLE)
    first += comments
    delimiter = form.delimiter or named or delimiter_of(lines[first:])
    if comments and form.header and (title := names_in_comments(lines, first, delimiter)):
        lines[first - 1] = title
        comments, first = comments - 1, first - 1
    table, ends = table_of(lines[first:], delimiter)
    vrm = vrm_names(table) if form.header else None
    top = 0 if vrm else names_row(table) if form.header else first_row(table)
    before = ends[top - 1] if top else 0
    if before + comments:
        what = "line of names" if form.header else "first row"
        notes.append(f"{before + comments} lines before the {what} are left out")
    if form.header:
        top = below_counts(table, top, notes)
    names, rows, ends = table[top], table[top + 1 :], ends[top:]
    skip = first + ends[0]
    trim = delimiter != BLANKS and _padded(names)
    if not form.header:
        names, rows, skip = [str(i + 1) for i in range(len(names))], table[top:], first + before
    elif vrm:
        names, rows, ends = vrm, rows[1:], ends[1:]
        skip = first + ends[0]
        notes.append(_joined_note(names))
    elif rows and len(rows[0]) < len(names) and {*names[len(rows[0]) :]} <= NO_FIELD:
        names = names[: len(rows[0])]
    elif top and (both := joined_names(table[top - 1], names)):
        names = both
        notes[:] = [*notes[: -1 if before + comments else None], _joined_note(both)]
    elif (found := names_above_an_index(names, rows))[0]:
        both, more = found
        names, rows, ends = both, rows[more:], ends[more:]
        skip = first + ends[0]
        notes.append(_joined_note(both))
    elif (
        rows and not are_names(names) and no_reading(rows[0])
        and (both := joined_names(names, rows[0]))
    ):  # fmt: skip
        names, rows, ends, skip = both, rows[1:], ends[1:], first + ends[1]
        notes.append(_joined_note(both))
    names = [_one_line(name) for name in names]
    if trim or delimiter == BLANKS:
        rows = [[cell.strip() for cell in row] for row in rows]
    above = table[top - 1] if top and len(table[top - 1]) not in (0, 1, len(names)) else []
    check_names(path, names, rows, form, above)
    if rows and len(rows[0]) == len(names) + 1 and not any(row[-1] for row in rows if row):
        names.append("")  # every row ends with a separator, but the line of names does not
    elif rows and len(rows[0]) == len(names) + 1 and numbered(rows):
        names.insert(0, "")  # R gives no name to the numbers of the rows
    if easylog and numbered(rows):
        names[0] = ""  # the logger's
    between: list[list[str]] = []
    if form.header and (below := 1 if vrm else lines_below_names(rows)):
        between = rows[:below]
        shown = " / ".join(", ".join(row) for row in between)[:80]
        which = f"{below} lines below the names (units, types) are"
        notes.append(f"{'the line of units is' if below == 1 else which} left out: {shown}")
        rows, skip = rows[below:], first + ends[below]
    whole = [row for row in rows if len(row) == len(names)] or [[""] * len(names)]
    cells = [bare(column) for column in zip(*whole, strict=True)]
    decimals = Decimals(cells, delimiter, form.decimal)
    return Layout(
        names, rows, skip, delimiter, decimals, encoding, trim, annotated, notes, between, formulas,
        easylog,
    )  # fmt: skip


def _joined_note(names: Sequence[str]) -> str:
    return f"two lines of names are read as one: {', '.join(names)[:80]}"


def _one_line(name: str) -> str:
    """Return a column name without the line breaks that spreadsheets allow within a cell."""
    return " ".join(name.split()) if LINE_END.search(name) else name.strip()


def _padded(names: Sequence[str]) -> bool:
    """Return whether blanks beside names belong to the separator, as in a table set in columns."""
    right, left = ([name for name in some if name] for some in (names[1:], names[:-1]))
    begin = bool(right) and all(name[0] == " " for name in right)
    # a name may be as wide as its column
    return begin or 2 * sum(name[-1] == " " for name in left) > len(left)
