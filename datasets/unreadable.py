"""Leave out a few unreadable rows or values, with a note, and reject a file with many.

Truncated lines, lines of totals, rows without a time, values that are not numbers: in at most one
row of a hundred they are accidents, and the file is read without them. If there are more, the
file's format was misjudged, and the file is rejected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from errors import DatasetError

ONE_OF: Final = 100  # a file with more damage than one row in so many is rejected
_SHOWN: Final = 5  # kinds of errors in a note
_MORE_ROWS: Final = 3  # further rows named for each
_ROW: Final = re.compile(r"^row \d+: ")


@dataclass(slots=True)
class Unreadable:
    """Unreadable rows or values, by row number.

    Parameters
    ----------
    what : how they are treated, such as "rows left out, since they cannot be read".
    rows : the error of each row.
    """

    what: str
    rows: dict[int, DatasetError] = field(default_factory=dict)

    def add(self, row: int, error: DatasetError) -> None:
        """Record a row's error, unless it has one already.

        Raises
        ------
        DatasetError
            The text has several lines: an unclosed quote swallowed rows, so ``error`` is raised.
        """
        if r"\n" in error.message:
            raise error
        self.rows.setdefault(row, error)

    def check(self, read: int) -> None:
        """Check that the errors are few among the first ``read`` rows, whichever are known so far.

        Raises
        ------
        DatasetError
            There are too many; the first row's error.
        """
        if ONE_OF * len(self.rows) > read and ONE_OF * sum(r <= read for r in self.rows) > read:
            raise self.rows[min(self.rows)]

    def notes(self) -> list[str]:
        """Return a note with the commonest errors, if there are any; alike ones are named once."""
        if not self.rows:
            return []
        alike: dict[str, list[int]] = {}
        for row in sorted(self.rows):
            alike.setdefault(_ROW.sub("", self.rows[row].message), []).append(row)
        kinds = sorted(alike.values(), key=len, reverse=True)
        shown = "; ".join(self.rows[rows[0]].message + _also(rows[1:]) for rows in kinds[:_SHOWN])
        rest = sum(map(len, kinds[_SHOWN:]))
        more = f"; and {rest:,} others" if rest else ""
        return [f"{self.what} ({len(self.rows):,}): {shown}{more}"]


def _also(rows: list[int]) -> str:
    """Name further rows of the same error."""
    if not rows:
        return ""
    more = f" and {len(rows) - _MORE_ROWS:,} more" if len(rows) > _MORE_ROWS else ""
    listed = ", ".join(map(str, rows[:_MORE_ROWS]))
    return f" (also row{'s' if rows[1:] else ''} {listed}{more})"
