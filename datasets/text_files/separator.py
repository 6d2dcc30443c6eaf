"""Choose the sign that separates the fields of a text file, and split its lines at it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Final

from datasets.columns.kinds_of_rows import COMPARED
from datasets.format import BLANKS

#: Tried in this order: a comma may be a decimal sign, and a blank part of a text.
_DELIMITERS: Final = (";", "\t", "|", ",", BLANKS)
#: Lines above the names: loggers describe themselves, and each of their channels.
MAX_PREAMBLE: Final = 100


def delimiter_of(lines: Sequence[str]) -> str:
    """Return the separator that gives nearly all lines equally many fields; else the likeliest."""
    found = ""
    for delimiter in _DELIMITERS:
        if delimiter == BLANKS and (found or _separated(lines)):
            continue
        widths = [len(row) for row in table_of(lines, delimiter)[0] if any(row)]
        usual, often = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if (
            usual > 1
            and often >= 0.9 * (len(widths) - MAX_PREAMBLE)
            and often > 1
            and _regular(widths, usual)
        ):
            if (not found and widths[0] > 1) or {*widths[:COMPARED]} == {usual}:
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
    filled = [line for line in lines if line.strip()][:COMPARED]
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
    return start <= MAX_PREAMBLE and odd <= 0.02 * len(widths)


def table_of(lines: Sequence[str], delimiter: str) -> tuple[list[list[str]], list[int]]:
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
