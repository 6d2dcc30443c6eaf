"""Describe a file's columns before its rows are read: names, first cells, roles found so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from datasets.format import names_in
from datasets.survey import Survey
from datasets.values.decimals import Decimals
from datasets.values.numbers import missing
from datasets.values.units import bare
from errors import DatasetError

#: First rows whose cells show the columns' roles.
SAMPLED_ROWS: Final = 300
#: A number that is not whole.
_FRACTION: Final = re.compile(r"[+-]?\d*[.,]\d*[1-9]\d*(?:[eE][+-]?\d+)?")


@dataclass(slots=True)
class Roles:
    """Indices of a file's columns by role.

    ``names`` are the names of ``features``. ``asset_name`` is the asset id if there is no column of
    assets. ``units`` holds the units of features whose cells include them. ``time_kinds`` is what
    numbers in the second of two ``times`` may mean, the most likely first; empty for texts.
    ``dates_only`` is set if the times are dates that the caller did not name. ``qualities`` has the
    features that a column of qualities judges; in those of ``one_is_good``, 1 is good.
    ``time_names`` are the names of ``times``. ``unit`` is the column of the units of a long table's
    values, ``unit_name`` its name.
    """

    asset: int | None = None
    asset_name: str = ""
    sensor: int | None = None
    times: tuple[int, ...] = ()
    label: int | None = None
    group: int | None = None
    features: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    excluded: set[int] = field(default_factory=set)
    time_kinds: list[str] = field(default_factory=list)
    dates_only: bool = False
    qualities: dict[int, list[int]] = field(default_factory=dict)
    one_is_good: set[int] = field(default_factory=set)
    time_names: list[str] = field(default_factory=list)
    unit: int | None = None
    unit_name: str = ""

    @property
    def time_kind(self) -> str:
        """Return what the numbers of a column of times of day mean; empty for texts."""
        return self.time_kinds[0] if self.time_kinds else ""

    def keys(self) -> list[int]:
        """Return the indices of the columns that name the stream."""
        return given(self.asset, self.sensor)

    def used(self) -> list[int]:
        """Return the indices of all columns to read, in the file's order."""
        beside = given(self.label, self.group, self.unit)
        return sorted({*self.keys(), *beside, *self.times, *self.features, *self.qualities})


@dataclass(slots=True)
class Columns:
    """A file's columns before its rows are read.

    Parameters
    ----------
    file : the file's name, for messages.
    names : column names as in the file; may be empty.
    cells : the first cells of each column, stripped.
    timed : indices of columns with a time type (Parquet).
    decimals : the columns' decimal signs.
    nested : indices of columns of lists, structures or bytes (Parquet).
    nulls : the caller's texts for "not measured", in lower case.
    below : the lines of units and the like below the names, if any.
    look : looks through the whole file, given the columns of the stream, the time and others.
    """

    file: str
    names: list[str]
    cells: list[list[str]]
    timed: frozenset[int] = frozenset()
    decimals: Decimals = field(default_factory=Decimals)
    nested: frozenset[int] = frozenset()
    nulls: frozenset[str] = frozenset()
    below: list[list[str]] = field(default_factory=list)
    look: Callable[[Sequence[int], Sequence[int], Sequence[int]], Survey] | None = None
    seen: Survey = field(default_factory=Survey)

    def filled(self, index: int, everywhere: bool = False) -> list[str]:
        """Return the cells of a column that are not missing: the first, or from everywhere."""
        cells = [*self.cells[index], *(self.seen.spread.get(index, ()) if everywhere else ())]
        return [cell for cell in cells if not missing(cell) and cell.casefold() not in self.nulls]

    def texts(self, index: int) -> list[str]:
        """Return the cells of a column from everywhere, also Fault, which may mean no value."""
        return [cell for cell in (*self.cells[index], *self.seen.spread.get(index, ())) if cell]

    def look_through(self, streams: Sequence[int], times: Sequence[int], others: set[int]) -> None:
        """Look through the whole file for what its first rows do not show.

        Parameters
        ----------
        streams, times
            The columns of asset and sensor, and of the time.
        others
            Columns of other roles, which need not be looked at.
        """
        open_ = [
            index for index in range(len(self.names))
            if index not in {*streams, *times, *others, *self.nested, *self.timed}
            and not any(map(_FRACTION.fullmatch, self.cells[index]))
        ]  # fmt: skip
        if not open_:
            return
        if self.look is not None:
            self.seen = self.look(streams, times, open_)
            self.decimals.add({i: bare(list(cells)) for i, cells in self.seen.separated.items()})
        else:
            first = {index: self.cells[index] for index in (*streams, *times, *open_)}
            self.seen = Survey(first, first)

    def below_name(self, index: int) -> list[str]:
        """Return what stands between a column's name and its first reading: its unit, its type."""
        cells = (row[index].strip() for row in self.below if index < len(row))
        return [cell for cell in cells if cell]

    def index(self, name: str, option: str = "") -> int:
        """Return the index of the column with a name, which must occur once."""
        names_in([name], self.names, option)
        if self.names.count(name) > 1:
            # without the column that has a role nothing can be read, so leaving it out is no help
            raise DatasetError(
                f"column {name!r} appears twice: rename one of the two in the file", field=name
            )
        return self.names.index(name)

    def once(self, name: str) -> None:
        """Raise an error if several columns have this name."""
        if self.names.count(name) > 1:
            raise DatasetError(
                f"column {name!r} appears twice: --exclude {name!r} leaves both out", field=name
            )

    def like(self, known: frozenset[str]) -> list[int]:
        """Return the columns whose names, in lower case without punctuation, are in ``known``."""
        return [i for i, name in enumerate(self.names) if plain_name(name) in known]


def given(*found: int | None) -> list[int]:
    """Return the indices that are not None."""
    return [index for index in found if index is not None]


def rows_of(cells: Mapping[int, list[str]], columns: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the cells of some columns by row; empty rows if there are no such columns."""
    if not columns:
        return [()] * len(next(iter(cells.values()), ()))
    return list(zip(*(cells.get(index, []) for index in columns), strict=True))


def plain_name(name: str) -> str:
    """Return a column's name in lower case without punctuation."""
    return re.sub(r"[\W_]+", "", name).casefold()
