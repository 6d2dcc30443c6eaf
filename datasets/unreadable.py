"""Keep the little that cannot be read from stopping the rest: it is left out, and named.

A line cut short, a line of totals, a row without a time, a value that is no number: in at most one
row of a hundred they are somebody's accident, and the file is read without them. More of them
mean that the file is not what it is taken for, and it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from errors import DatasetError

_ONE_OF: Final = 100
_SHOWN: Final = 3


@dataclass(slots=True)
class Unreadable:
    """What could not be read, by the number of its row, and why.

    Parameters
    ----------
    what : what becomes of them, as "rows left out, since they cannot be read".
    rows : the error of each.
    """

    what: str
    rows: dict[int, DatasetError] = field(default_factory=dict)

    def add(self, row: int, error: DatasetError) -> None:
        """Note a row; the first error of one counts.

        Raises
        ------
        DatasetError
            At once where the text has several lines: a quote that does not close took rows with it.
        """
        if r"\n" in error.message:
            raise error
        self.rows.setdefault(row, error)

    def check(self, read: int) -> None:
        """Raise the first row's error where there are too many among the ``read`` rows so far.

        Raises
        ------
        DatasetError
            As noted.
        """
        if _ONE_OF * len(self.rows) > read:
            raise self.rows[min(self.rows)]

    def notes(self) -> list[str]:
        """Return a note on them, if there are any."""
        if not self.rows:
            return []
        shown = "; ".join(self.rows[row].message for row in sorted(self.rows)[:_SHOWN])
        more = f"; and {len(self.rows) - _SHOWN:,} more" if len(self.rows) > _SHOWN else ""
        return [f"{self.what} ({len(self.rows):,}): {shown}{more}"]
