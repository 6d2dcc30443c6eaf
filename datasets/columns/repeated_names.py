"""Find lines of names among the readings, as in exports put on end, and the units below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.columns.kinds_of_rows import no_reading
from datasets.sampled_columns import Roles
from datasets.types import Flags
from datasets.values.numbers import is_number
from datasets.values.units import differ
from errors import DatasetError


@dataclass(slots=True)
class RepeatedNames:
    """Find lines of names among the rows of a file, batch by batch.

    Parameters
    ----------
    roles
        The columns' roles.
    below
        What stands below the first line of names, by column: its unit, its type.
    lines
        The number of lines below the first line of names.
    """

    roles: Roles
    below: Mapping[int, Sequence[str]] = field(default_factory=dict)
    lines: int = 0
    #: Rows of earlier batches since the last line of names, if any.
    _since: int | None = None

    def find(self, batch: Any, rows: Any) -> Flags | None:
        """Return which rows (n,) are names again, or the units below them; None if none are.

        Parameters
        ----------
        batch
            The rows; its columns are called c0, c1, ...
        rows
            (n,) their numbers in the file.

        Raises
        ------
        DatasetError
            The names or units are others, so the rows below them are another table's.
        """
        again = self._names(batch)
        named = np.flatnonzero(again).tolist()
        for row in named:
            self._check_names(batch.slice(row, 1), int(rows[row]))
        before = [] if self._since is None else [-self._since]
        for start in [*before, *named]:
            for row in range(max(start, -1) + 1, min(start + 1 + self.lines, batch.num_rows)):
                if no_reading(self._cells(batch, row)):
                    self._check_units(batch, row, int(rows[row]))
                    again[row] = True
        if named or self._since is not None:
            self._since = batch.num_rows - named[-1] if named else self._since + batch.num_rows
        return again if again.any() else None

    def _names(self, batch: Any) -> Flags:
        first = [*zip(self.roles.features[:1], self.roles.names[:1], strict=True)]
        again = np.zeros(batch.num_rows, bool)
        for index, name in [
            *first, *zip(self.roles.times[:1], self.roles.time_names[:1], strict=False),
        ]:  # fmt: skip
            column = batch.column(f"c{index}")
            # a file without names has the numbers of its columns, which are values too
            if name and not is_number(name) and pa.types.is_string(column.type):
                same = pc.equal(pc.utf8_trim_whitespace(column), name)
                again |= pc.fill_null(same, False).to_numpy(zero_copy_only=False)
        return again

    def _cells(self, batch: Any, row: int) -> list[str]:
        columns = [*self.roles.times, *self.roles.features]
        cells = [batch.column(f"c{index}")[row].as_py() for index in columns]
        return ["" if cell is None else str(cell) for cell in cells]

    def _check_names(self, line: Any, row: int) -> None:
        """Refuse a line of names, one row, if it begins a table of other columns."""
        cells = [line.column(f"c{index}")[0].as_py() for index in self.roles.features]
        for cell, name in zip(cells, self.roles.names, strict=True):
            # a name may consist of two lines, or lack the blanks and breaks of the cell
            text = " ".join(cell.split()) if isinstance(cell, str) else ""
            other = not set(text.casefold().split()) <= set(name.casefold().split())
            if other and not is_number(text):
                raise DatasetError(
                    f"row {row} names other columns ({', '.join(map(str, cells))[:200]}), such as"
                    f" {text!r:.80} where {name!r} was: a second table begins there: save it as a"
                    " file of its own",
                    field=name,
                )

    def _check_units(self, batch: Any, row: int, number: int) -> None:
        """Refuse a line of units, one row, if a unit differs from that of the first table."""
        for index, name in zip(self.roles.features, self.roles.names, strict=True):
            text = str(batch.column(f"c{index}")[row].as_py() or "").strip()
            other = [unit for unit in self.below.get(index, ()) if differ(unit, text)]
            if other and text not in self.below[index]:
                raise DatasetError(
                    f"row {number} says that {name!r} is in {text!r} from there on, and in"
                    f" {other[0]!r} before: convert one of them, or --exclude {name!r} leaves the"
                    " column out",
                    field=name,
                )
