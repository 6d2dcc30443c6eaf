"""Recognise the layout of a text file: separator, line of names, decimal signs."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from datasets.comments import comments_above
from datasets.decimals import Decimals
from datasets.format import BLANKS, FileFormat
from datasets.influx import AnnotatedTables, is_annotated
from datasets.numbers import is_number, missing
from datasets.roles import is_known_name
from datasets.text import MemoryFile, encoding_of, sample, without_formulas
from datasets.time_formats import is_time, is_time_of_day
from datasets.two_lines_of_names import are_names, joined_names
from datasets.units import bare
from errors import DatasetError

#: Tried in this order: a comma may be a decimal sign, and a blank part of a text.
_DELIMITERS: Final = (";", "\t", "|", ",", BLANKS)
#: Characters that never occur in text, but do in bytes decoded by mistake.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\ufeff\ufffe\uffff]")
#: A block of zeros within a file, left by a logger that lost power while it wrote.
_LOST_BLOCK: Final = re.compile(r"\x00{4,}")
#: How web pages begin, which some programs save under the name of a workbook, and XML.
_MARKUP: Final = re.compile(r"\s*<(?:!doctype|html|head|body|meta|table|\?xml)\b", re.IGNORECASE)
#: How files of Weka and sktime begin, below their comments.
_ATTRIBUTES: Final = re.compile(r"(?:\s*[%#].*\n)*\s*@(?:relation|problemname)\b", re.IGNORECASE)
_LINE_END: Final = re.compile(r"\r\n?|\n")
#: Names without fields: of separators at the end, and of comments that LabVIEW leaves out.
_NO_FIELD: Final = frozenset(("", "Comment"))
#: Lines above the names: loggers describe themselves, and each of their channels.
_MAX_PREAMBLE: Final = 100
#: Numbers 0, 1, 2, ... of so many columns are no reading.
_SURELY_COUNTED: Final = 5
#: Lines of units, types and roles that programs write between the names and the readings.
_MOST_BELOW_NAMES: Final = 3
#: Rows whose cells are compared with a line of names, which may be a reading instead.
_COMPARED: Final = 20


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


def read_layout(path: Path | MemoryFile, form: FileFormat) -> Layout:
    """Recognise the layout of a text file from its first lines.

    Raises
    ------
    DatasetError
        The file is empty, is not text, or has no line of names.
    """
    written, encoding = _lines(path, form)
    lines = [without_formulas(line) for line in written]
    formulas = lines != written
    annotated = is_annotated(lines)
    lines = AnnotatedTables()(lines) if annotated else lines
    notes = []
    if form.encoding is None and not encoding.startswith("utf"):
        notes.append(f"read as {encoding}, since it is not UTF-8 (--encoding names another)")
    if formulas:
        notes.append('cells such as ="0012" are read as the texts in them')
    first, named = 0, None
    if lines[0].strip().strip('"').casefold().startswith("sep=") and len(lines) > 1:
        first, named = 1, lines[0].strip().strip('"')[4:5] or None
    comments = comments_above(lines[first:], _MAX_PREAMBLE)
    first += comments
    delimiter = form.delimiter or named or _delimiter(lines[first:])
    if comments and form.header and (title := _names_in_comment(lines[first - 1 :], delimiter)):
        lines[first - 1] = title
        comments, first = comments - 1, first - 1
    table, ends = _table(lines[first:], delimiter)
    top = _names_row(table) if form.header else _first_row(table)
    before = ends[top - 1] if top else 0
    if before + comments:
        what = "line of names" if form.header else "first row"
        notes.append(f"{before + comments} lines before the {what} are left out")
    if form.header:
        top = _below_counts(table, top, notes)
    names, rows, ends = table[top], table[top + 1 :], ends[top:]
    skip = first + ends[0]
    trim = delimiter != BLANKS and _padded(names)
    if not form.header:
        names, rows, skip = [str(i + 1) for i in range(len(names))], table[top:], first + before
    elif rows and len(rows[0]) < len(names) and {*names[len(rows[0]) :]} <= _NO_FIELD:
        names = names[: len(rows[0])]
    elif top and (both := joined_names(table[top - 1], names)):
        names = both
        notes[:] = [*notes[: -1 if before + comments else None], _joined_note(both)]
    elif (
        rows and not are_names(names) and _no_reading(rows[0])
        and (both := joined_names(names, rows[0]))
    ):  # fmt: skip
        names, rows, ends, skip = both, rows[1:], ends[1:], first + ends[1]
        notes.append(_joined_note(both))
    names = [_one_line(name) for name in names]
    if trim or delimiter == BLANKS:
        rows = [[cell.strip() for cell in row] for row in rows]
    above = table[top - 1] if top and len(table[top - 1]) not in (0, 1, len(names)) else []
    _check_names(path, names, rows, form, above)
    if rows and len(rows[0]) == len(names) + 1 and not any(row[-1] for row in rows if row):
        names.append("")  # every row ends with a separator, but the line of names does not
    elif rows and len(rows[0]) == len(names) + 1 and _numbered(rows):
        names.insert(0, "")  # R gives no name to the numbers of the rows
    between: list[list[str]] = []
    if form.header and (below := _lines_below_names(rows)):
        between = rows[:below]
        shown = " / ".join(", ".join(row) for row in between)[:80]
        which = f"{below} lines below the names (units, types) are"
        notes.append(f"{'the line of units is' if below == 1 else which} left out: {shown}")
        rows, skip = rows[below:], first + ends[below]
    whole = [row for row in rows if len(row) == len(names)] or [[""] * len(names)]
    cells = [bare(column) for column in zip(*whole, strict=True)]
    decimals = Decimals(cells, delimiter, form.decimal)
    return Layout(
        names, rows, skip, delimiter, decimals, encoding, trim, annotated, notes, between, formulas
    )


def _joined_note(names: Sequence[str]) -> str:
    return f"two lines of names are read as one: {', '.join(names)[:80]}"


def _below_counts(table: list[list[str]], top: int, notes: list[str]) -> int:
    """Return the index of the names: ``top``, or the next if that line counts the columns."""
    if not _counts_columns(table[top]):
        return top
    counts = f"line that counts the columns ({', '.join(table[top])[:20]})"
    if _names_below(table[top + 1 :]):
        notes.append(f"the {counts} is left out")
        return top + 1
    if not table[top][0] or len(table[top]) >= _SURELY_COUNTED:
        notes.append(f"the {counts} is taken as the line of names")
    return top


def _lines(path: Path | MemoryFile, form: FileFormat) -> tuple[list[str], str]:
    """Return the first lines of a text file, and its encoding."""
    start, whole = sample(path, lines=_COMPARED)
    if start.startswith(bytes(4)):
        start = start.lstrip(b"\0")
    encoding = form.encoding or encoding_of(start)
    try:
        text = start.decode(encoding, errors="strict" if whole else "ignore").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path.name}: is not {encoding} ({error.reason} at byte {error.start}): --encoding"
            " gives the encoding",
            field="encoding",
        ) from None
    text = text.rstrip("\0\x1a")  # left by a logger that lost power, or DOS's end of file
    text = _LOST_BLOCK.sub("", text)
    if not text.strip():
        raise DatasetError(f"{path.name}: is empty")
    if (odd := _CONTROL.search(text)) is not None:
        line = len(_LINE_END.findall(text[: odd.start()])) + 1
        raise DatasetError(
            f"{path.name}: line {line} holds the character {odd[0]!r}, so it is damaged or is not"
            f" text in {encoding}: --encoding gives another"
        )
    if _MARKUP.match(text):
        raise DatasetError(
            f"{path.name}: is a web page or XML, not a table: open it in a spreadsheet program and"
            " save it as .xlsx or CSV"
        )
    if _ATTRIBUTES.match(text):
        raise DatasetError(
            f"{path.name}: is an .arff or .ts file, whose columns are not named by a line above"
            " them: save it as CSV with a line of names"
        )
    lines = _LINE_END.split(text)
    if not lines[-1] or not whole:  # the sample cuts the last line
        lines = lines[:-1] or lines
    return lines, encoding


def _one_line(name: str) -> str:
    """Return a column name without the line breaks that spreadsheets allow within a cell."""
    return " ".join(name.split()) if _LINE_END.search(name) else name.strip()


def _delimiter(lines: Sequence[str]) -> str:
    found = ""
    for delimiter in _DELIMITERS:
        if delimiter == BLANKS and (found or _separated(lines)):
            continue
        widths = [len(row) for row in _table(lines, delimiter)[0] if any(row)]
        usual, often = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if (
            usual > 1
            and often >= 0.9 * (len(widths) - _MAX_PREAMBLE)
            and often > 1
            and _regular(widths, usual)
        ):
            if (not found and widths[0] > 1) or {*widths[:_COMPARED]} == {usual}:
                return delimiter
            found = found or delimiter  # unless another sign separates the first lines as well
    if found:
        return found
    if len(lines) == 1 or not any(lines[1:]):
        return max(_DELIMITERS[:-1], key=lines[0].count)
    return max(",;\t", key=lines[0].count)


def _separated(lines: Sequence[str]) -> bool:
    """Return whether another sign than blanks separates as many names as the rows have, or fewer.

    Then the blanks stand within times, and the rows are uneven for another reason.
    """
    filled = [line for line in lines if line.strip()][:_COMPARED]
    counts = [[line.count(sign) for line in filled] for sign in ",;\t|"]
    return (
        len(filled) > 1
        and len(filled[0].split()) == 1
        and any(found[0] > 0 and min(found) >= found[0] for found in counts)
    )


def _regular(widths: Sequence[int], usual: int) -> bool:
    """Return whether all lines except a few at the top (titles, comments) have the same width."""
    start = widths.index(usual)
    odd = sum(width not in (usual, usual - 1) for width in widths[start:])
    return start <= _MAX_PREAMBLE and odd <= 0.02 * len(widths)


def _table(lines: Sequence[str], delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Return the rows, and the number of lines up to the end of each: a cell may have several."""
    if delimiter == BLANKS:
        lines = [" ".join(line.split()) for line in lines]
    rows: list[list[str]] = []
    ends: list[int] = []
    reader = csv.reader(io.StringIO("\n".join(lines) + "\n"), delimiter=delimiter)
    try:
        for row in reader:
            rows.append(row)
            ends.append(reader.line_num)
    except csv.Error:
        pass  # a quote that does not close, which is reported when the rows are read
    return rows or [[]], ends or [1]


def _first_row(table: Sequence[Sequence[str]]) -> int:
    """Return the index of the table's first line; lines before it are blank or too short."""
    widths = Counter(len(row) for row in table if any(row))
    if not widths:
        return 0
    usual = widths.most_common(1)[0][0]
    for number, row in enumerate(table[: _MAX_PREAMBLE + 1]):
        fields = usual if len(row) > usual and {*row[usual:]} <= _NO_FIELD else len(row)
        if usual > 1 and fields in (usual, usual - 1) and any(row):
            return _below_titles(table, number, usual)
    return 0


def _below_titles(table: Sequence[Sequence[str]], first: int, usual: int) -> int:
    """Return the index of a table's first line, below lines that nearly have its width by chance.

    Loggers write lines of settings (``SENSOR NAME,HT1``) above the table, or a table of channels.
    """
    if len(table[first]) != usual - 1:
        return first
    for number in range(first + 1, min(len(table), _MAX_PREAMBLE + 1)):
        row = table[number]
        if len(row) == usual:
            names = all(cell.strip() for cell in row) and _names_below(table[number:])
            return number if names else first
        if not any(_kind(cell) == "text" for cell in row if not missing(cell)):
            return first
    return first


def _names_in_comment(lines: Sequence[str], delimiter: str) -> str | None:
    """Return a comment as a line of names, if it has a name for each column of the rows below it.

    Parameters
    ----------
    lines : the comment, and the lines below it.
    delimiter : the separator of the lines below it.
    """
    title = lines[0].lstrip()
    title = title if title[0] in title[1:] else title[1:].lstrip(" ")  # #1 Pump is a name
    (names, *rows), _ = _table([title, *lines[1:]], delimiter)
    top = rows[_first_row(rows)]
    if len(names) < 2 or len(names) != len(top) or any(is_number(name) for name in names):
        return None
    named = not any(_kind(cell) != "text" for cell in top if not missing(cell))
    return None if named else title


def _names_row(table: Sequence[Sequence[str]]) -> int:
    """Return the index of the line of names.

    Spreadsheets save lines of titles with as many fields as the rows, most of them empty. Or names
    and values of the site, a small table, stand above the names of the sensors.
    """
    top = _first_row(table)
    filled = [sum(bool(cell.strip()) for cell in row) for row in table]
    usual = sorted(filled[top:])[len(filled[top:]) // 2]
    near = range(top, min(len(table), _MAX_PREAMBLE + 1))
    top = next((n for n in near if 2 * filled[n] >= usual), top)
    for number in near:
        between = table[top + 1 : number]
        if (
            between
            and filled[number] > 1
            and 2 * filled[number] >= usual
            and table[number] != table[top]
            and len({*table[number]} - {""}) == filled[number]
            and _names_below(table[number:])
            and not any(_no_reading(row) or _is_reading(row, table[number + 1 :])
                        for row in between)
            and (any(map(is_known_name, table[number]))
                 or not any(_describes(table[n:]) for n in range(top + 1, number)))
        ):  # fmt: skip
            top = number
    return top


def _check_names(
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
    counted = _counts_columns(names) and (not names[0] or len(names) >= _SURELY_COUNTED)
    if not form.header or not names or named or counted:
        return
    if all(is_number(name) or is_number(name, ",") for name in names):
        what = "numbers"
    elif _is_reading(names, rows):
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


def _is_reading(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether each name is a number, a time or a text if its column holds such."""
    kinds = [_kind(name) for name in names if not missing(name)]
    if not {"number", "time"} & set(kinds):
        return False
    for index, name in enumerate(names):
        cells = [row[index].strip() for row in rows[:_COMPARED] if index < len(row)]
        filled = Counter(_kind(cell) for cell in cells if not missing(cell))
        if not missing(name) and filled and filled.most_common(1)[0][0] != _kind(name):
            return False
    return len(rows) > 0


@lru_cache(maxsize=4096)
def _kind(cell: str) -> str:
    if not re.search(r"\d", cell):  # No is a name
        return "text"
    if is_number(cell) or is_number(cell, ","):
        return "number"
    return "time" if is_time([cell]) or is_time_of_day([cell]) else "text"


def _counts_columns(row: Sequence[str]) -> bool:
    """Return whether a row holds 0, 1, 2, ... or 1, 2, 3, ..., as programs count columns.

    The first of three or more cells may be empty, above a column of row numbers.
    """
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    counted = cells[1:] if cells and not cells[0] else cells
    if cells == ["", "0"]:  # one column beside row numbers
        return True
    return len(counted) > 1 and any(
        counted == [str(i) for i in range(start, start + len(counted))] for start in (0, 1)
    )


def _numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first cells of the first rows are 1, 2, 3, ..."""
    return all(row[0] == str(i) for i, row in enumerate(rows[:_COMPARED], start=1) if row)


def _names_below(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of these rows names columns: texts above numbers or times."""
    cells = [cell.strip() for cell in rows[0]] if rows else []
    filled = [cell for cell in cells if cell]
    if not filled or any(_kind(cell) != "text" for cell in filled):
        return False
    return any(
        _kind(row[index]) != "text"
        for row in rows[1:_COMPARED]
        for index in range(min(len(row), len(cells)))
        if cells[index] and not missing(row[index])
    )


def _padded(names: Sequence[str]) -> bool:
    """Return whether blanks beside names belong to the separator, as in a table set in columns."""
    right, left = ([name for name in some if name] for some in (names[1:], names[:-1]))
    begin = bool(right) and all(name[0] == " " for name in right)
    # a name may be as wide as its column
    return begin or 2 * sum(name[-1] == " " for name in left) > len(left)


def _lines_below_names(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of lines of units, types or roles above the first reading."""
    if not rows or len([cell for cell in rows[0] if cell.strip()]) < 2:
        return 0
    count = next(
        (n for n, row in enumerate(rows) if not (_no_reading(row) or _describes(rows[n:]))),
        len(rows),
    )
    return count if count <= _MOST_BELOW_NAMES and count < len(rows) else 0


def _describes(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has texts above numbers and times, such as 12 Hour Sine Wave."""
    first, *others = rows[: _MOST_BELOW_NAMES + _COMPARED]
    filled = [(index, cell) for index, cell in enumerate(first) if not missing(cell)]
    if len(filled) < 2 or any(_kind(cell) != "text" for _, cell in filled):
        return False
    above = 0
    for index, _ in filled:
        cells = [row[index].strip() for row in others if index < len(row)]
        kinds = Counter(_kind(cell) for cell in cells if not missing(cell))
        above += bool(kinds) and kinds.most_common(1)[0][0] != "text"
    return 2 * above > len(filled)


def _no_reading(row: Sequence[str]) -> bool:
    """Return whether a row has no numbers, as a line of units; a reading has numbers."""
    cells = [cell.strip() for cell in row if cell.strip()]
    figures = any(is_number(cell) or re.search(r"\d\d", cell) for cell in cells)
    return not figures and not all(missing(cell) for cell in cells)
