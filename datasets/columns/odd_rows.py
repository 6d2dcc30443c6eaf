"""Find rows among the readings that are none: subtotals of a day, and titles of tables.

Both are told by the times around them: a subtotal's bare date steps back to the midnight of its
day, and below the title of another machine's table the times begin again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from datasets.sampled_columns import Roles
from datasets.types import Flags, Times
from errors import DatasetError

_NO_TIME: Final = np.timedelta64(0, "us")


def bare_dates(column: Any, times: Times) -> Flags:
    """Return which texts (n,) are dates alone among times of day; they are read as midnight.

    Parameters
    ----------
    column : the texts (pyarrow), or times of another type, which are whole.
    times : (n,) what is read of them.
    """
    if not pa.types.is_string(column.type) or not len(times):
        return np.zeros(len(times), bool)
    clock = pc.fill_null(pc.match_substring(column, ":"), True).to_numpy(zero_copy_only=False)
    if 2 * clock.sum() < len(clock):
        return np.zeros(len(times), bool)
    bare: Flags = ~clock & (times == times.astype("datetime64[D]"))
    return bare


def subtotals(bare: Flags, times: Times, key: npt.NDArray[np.intp]) -> Flags:
    """Return which bare dates (n,) step back, though the times of their stream run on.

    Parameters
    ----------
    bare : (n,) which readings have a date alone.
    times, key : (n,) the times, and the number of the stream of each.
    """
    odd = np.zeros(len(times), bool)
    for number in np.unique(key[bare]):
        rows = np.flatnonzero(key == number)
        steps = np.diff(times[rows])
        if (steps > _NO_TIME).sum() >= (steps < _NO_TIME).sum():
            back = np.append(False, steps < _NO_TIME)
        else:  # newest first
            back = np.append(steps > _NO_TIME, False)
        odd[rows] = back & bare[rows]
    return odd


def title_of(row: Any, roles: Roles) -> str | None:
    """Return the text of a row (one, pyarrow) that has a single cell, if it is a text."""
    columns = [row.column(f"c{index}") for index in roles.used()]
    if not all(pa.types.is_string(column.type) or column.null_count for column in columns):
        return None
    filled = [text for c in columns if (text := (c[0].as_py() or "").strip())]
    alone = len(filled) == 1 and len(columns) > 1
    return filled[0] if alone and any(map(str.isalpha, filled[0])) else None


def a_title(row: int, text: str) -> DatasetError:
    """Return the error for a row of a single text."""
    return DatasetError(
        f"row {row} holds only {text!r:.80}, a title or a remark: delete the row, or write the"
        " asset that it names into a column",
        field="timestamp",
    )


@dataclass(slots=True)
class Titles:
    """Rows of a single text among the readings of a file.

    Parameters
    ----------
    texts : the text of each such row.
    """

    texts: dict[int, str] = field(default_factory=dict)
    _last: np.datetime64 | None = None
    _passed: int = 0

    def check(self, rows: npt.NDArray[np.int64], times: Times) -> None:
        """Refuse a file in which the times begin again below a title.

        Parameters
        ----------
        rows, times : (n,)
            The numbers and times of the next readings of the file, without titles.

        Raises
        ------
        DatasetError
            Names the row of the title.
        """
        if not len(times):
            return
        known = times if self._last is None else np.concatenate([[self._last], times])
        shift = len(known) - len(times)
        falls = (np.diff(known) < _NO_TIME).sum()
        for row, text in sorted(self.texts.items()):
            at = int(np.searchsorted(rows, row)) + shift
            if row <= self._passed or not 0 < at < len(known) or 2 * falls > len(known):
                continue
            if known[at] <= known[at - 1]:
                raise DatasetError(
                    f"row {row} holds only {text!r:.80}, and the times begin again below it, as"
                    " those of another asset's table: save each as a file of its own, or write the"
                    " asset into a column (if all are of one asset, delete the row)",
                    field="asset_id",
                )
        self._last, self._passed = times[-1], int(rows[-1])
