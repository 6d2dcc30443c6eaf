"""Look through a whole file for what its first rows do not show.

Exports are sorted in many ways. All rows of one sensor or machine may come before those of the
next, a sensor may be installed after a month, and the first fault may be in the last week.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Times whose rows are collected: the first ones of the file, and as many of its first batch, since
#: machines may begin at different times.
_TIMES: Final = 300
#: Rows collected at most, if many share their times.
_ROWS: Final = 50_000
#: Cells per column and batch (of at most 4 MB) that are spread over the file.
_SPREAD: Final = 1000
_SEPARATED: Final = r"\d[.,]\d"


@dataclass(slots=True)
class Survey:
    """What a file holds in some of its columns, by their indices.

    Parameters
    ----------
    at_first_times : column -> cells of all rows that have one of some times, in order: the file's
        first, and others of its first batch.
    spread : column -> cells of some rows, spread over the file, in order.
    separated : column -> texts of digits with a comma or a point between.
    """

    at_first_times: dict[int, list[str]] = field(default_factory=dict)
    spread: dict[int, list[str]] = field(default_factory=dict)
    separated: dict[int, set[str]] = field(default_factory=dict)


def survey(
    batches: Iterable[Any], keys: Sequence[int], times: Sequence[int], others: Sequence[int]
) -> Survey:
    """Look through a file.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        All rows of the columns, which are called c0, c1, ...
    keys : sequence of int
        The columns of the asset and the sensor.
    times : sequence of int
        The columns of the time; may be empty.
    others : sequence of int
        The columns to look at.
    """
    columns = [*keys, *times, *others]
    found = Survey(
        {index: [] for index in columns},
        {index: [] for index in columns},
        {index: set() for index in others},
    )
    first: Any = None
    rows = 0
    try:
        for batch in batches:
            cells = {index: batch.column(f"c{index}") for index in columns}
            _take(cells, _some(batch.num_rows), found.spread)
            if times:
                moments = _moments([cells[index] for index in times])
                first = _sampled(pc.unique(moments)) if first is None else first
                at = np.flatnonzero(pc.is_in(moments, first).to_numpy(zero_copy_only=False))
                at = at[: _ROWS - rows]
                rows += len(at)
                _take(cells, at, found.at_first_times)
            for index in others:
                _collect(cells[index], found.separated[index])
    except pa.ArrowException:
        pass  # damage is reported when the rows are read
    return found


def _sampled(times: Any) -> Any:
    """Return the first of the times (n,), and some of the others, evenly."""
    step = max(1, len(times) // _TIMES)
    rows = np.union1d(np.arange(min(_TIMES, len(times))), np.arange(0, len(times), step))
    return times.take(pa.array(rows))


def _some(n: int) -> Any:
    """Return rows spread over ``n``, the same at each call, but not every so-manieth."""
    if n <= _SPREAD:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _SPREAD, replace=False))


def _moments(times: Sequence[Any]) -> Any:
    if len(times) == 1:
        return times[0]
    return pc.binary_join_element_wise(*(column.cast(pa.string()) for column in times), " ")


def _take(cells: dict[int, Any], at: Any, into: dict[int, list[str]]) -> None:
    for index, column in cells.items():
        values = column.take(pa.array(at)).to_pylist()
        into[index] += ["" if value is None else str(value).strip() for value in values]


def _collect(column: Any, into: set[str]) -> None:
    if pa.types.is_string(column.type) and len(into) < _SPREAD:
        found = column.filter(pc.match_substring_regex(column, _SEPARATED))
        into.update(cell.strip() for cell in pc.unique(found)[:_SPREAD].to_pylist())
