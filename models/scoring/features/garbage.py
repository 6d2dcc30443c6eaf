"""Recognise values that no sensor measured: error codes, all bits set, float limits.

A logger may record a driver's error code, a register with all bits set, or uninitialised memory.
One such value among thousands distorts every mean, range and covariance, so garbage is removed
before anything is fitted. Each column has four rules:

1. **far**: values beyond the column's *body* by ten body widths and by more than the body's largest
   magnitude, in at most 1 % of the readings. The body starts as the middle half of the readings
   and grows to the next value while the gap to it is at most ten widths. Heavy tails thus belong to
   the body, and several kinds of garbage cannot hide one another. The rule does not apply to a
   column that is zero most of the time, because its other values may be bursts of any size.
2. **code**: a value that devices are known to send instead of a measurement (`CODES`, or a
   magnitude near the limits of a float), further outside the body than the body is wide, however
   often it occurs.
3. **wrong sign**: one repeated whole number whose sign no other value has, further from the others
   than they are wide (-200 among 20 to 60), however often it occurs.
4. **shared code**: a value found by rule 2 or 3 in one column is garbage in every other column
   where it lies outside all other values. A failing device sends its code on every channel.

By these rules zero is never garbage: a machine that is off sends it. Neither is a level that lasts
(rule 1 allows 1 %): it is an operating mode or a fault, which is for the detectors to judge. What
else is garbage in a column can only be learned from training (:mod:`models.fitting.garbage`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Bools, Floats, Indices
from models.scoring.stored import Stored

#: Codes that devices and historians send for "no measurement": all bits set and the limits of
#: signed numbers in 16, 24, 32 and 64 bits; runs of nines; the null of well logs.
CODES: Final = np.array(
    sorted(
        # a register with all bits set, possibly scaled by the logger: 327.67
        [code / k for code in (65535.0, 32767.0, -32768.0) for k in (10.0, 100.0, 1000.0)]
        + [float(2**bits - 1) for bits in (16, 24, 31, 32, 63, 64)]
        + [float(2**15 - 1), -float(2**15), -float(2**31), -float(2**63), -999.25, -9999.25]
        + [sign * (10.0**digits - 1) for sign in (1, -1) for digits in (3, 4, 5, 6)]
        + [sign * (10.0**digits - 0.1) for sign in (1, -1) for digits in (3, 4)]
    )
)
#: No physical quantity is this large, or this close to zero; such values are near a float's limits.
HUGE: Final = 1e30
TINY: Final = 1e-30
#: A gap wider than this many body widths separates garbage from the tail. Share of simulated
#: columns of 2,000 readings that lose a valid reading: none for Student's t (3) or a lognormal of
#: sigma 1, 0.3 % for t (2), 1 % for a lognormal of sigma 2, 10 % for a Pareto tail of index 1.
FAR: Final = 10.0
#: Largest share of readings that rule 1 may call garbage; a larger share is a level.
RARE: Final = 0.01
#: Minimum repetitions of a wrong-sign code, and minimum number of distinct values of a body.
_REPEATED: Final = 5
_DISTINCT: Final = 20
_NAMED: Final = 5  # values per column, and row ranges, named in a message, at most


@dataclass(frozen=True, slots=True)
class Garbage(Stored):
    """Garbage values of each of d columns; made by :func:`learn_garbage`.

    Parameters
    ----------
    low, high : (d,)
        Values beyond these bounds are garbage by rule 1; infinite if there is no bound.
    codes : d tuples of float
        Exact values that are garbage by the other rules.
    """

    low: Floats
    high: Floats
    codes: tuple[tuple[float, ...], ...]

    def mask(self, values: Floats) -> Bools:
        """Return which of ``values`` (n, d) are garbage; NaN is not."""
        found: Bools = (
            (values < self.low) | (values > self.high) | (np.abs(values) >= HUGE)
        ) & (values != 0)  # fmt: skip
        for column, codes in enumerate(self.codes):
            if codes:
                found[:, column] |= np.isin(values[:, column], codes)
        return found

    def measured(self, values: Floats) -> Floats:
        """Return ``values`` (n, d) with NaN in place of garbage."""
        out: Floats = np.where(self.mask(values), np.nan, values)
        return out

    def of(self, columns: Sequence[int]) -> Garbage:
        """Return the garbage rules of some columns."""
        chosen = list(columns)
        return Garbage(self.low[chosen], self.high[chosen], tuple(self.codes[j] for j in chosen))

    def to_dict(self) -> dict[str, Any]:
        """Return the rules ready for JSON; None stands for "no bound"."""
        return {
            "low": [float(v) if np.isfinite(v) else None for v in self.low],
            "high": [float(v) if np.isfinite(v) else None for v in self.high],
            "codes": [list(codes) for codes in self.codes],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` returned."""
        return cls(
            np.array([-np.inf if v is None else v for v in data["low"]], np.float64),
            np.array([np.inf if v is None else v for v in data["high"]], np.float64),
            tuple(tuple(codes) for codes in data["codes"]),
        )


def learn_garbage(values: Floats, known: Mapping[int, Collection[float]] | None = None) -> Garbage:
    """Learn the garbage values of each column.

    Parameters
    ----------
    values : (n, d)
        Readings of all streams of a group, in own units; NaN where nothing was measured.
    known
        Codes of single columns that were recognised otherwise, by the column's number.
    """
    known = known or {}
    every = enumerate(np.asarray(values, np.float64).T)
    columns = [_Column.of(column, known.get(j, ())) for j, column in every]
    shared = {code for j, one in enumerate(columns) for code in one.codes - set(known.get(j, ()))}
    for column in columns:
        column.add(shared)
    bounds = [column.bounds() for column in columns]
    return Garbage(
        np.array([low for low, _ in bounds], np.float64),
        np.array([high for _, high in bounds], np.float64),
        tuple(tuple(sorted(column.codes)) for column in columns),
    )


@dataclass(slots=True)
class _Column:
    """The ascending distinct values of a column except its codes, with their counts."""

    distinct: Floats
    counts: Indices
    codes: set[float]

    @classmethod
    def of(cls, values: Floats, known: Collection[float] = ()) -> _Column:
        measured = values[np.isfinite(values) & ~np.isin(values, list(known))]
        found, counts = np.unique(measured, return_counts=True)
        size = np.abs(found)
        suspect = np.isin(found, CODES) | (size >= HUGE) | ((size > 0) & (size <= TINY))
        column = cls(found[~suspect], counts[~suspect], set(known))
        column._wrong_sign()
        for value, n in zip(found[suspect].tolist(), counts[suspect].tolist(), strict=True):
            if column._is_code(value, n):
                column.codes.add(value)
        kept = suspect & ~np.isin(found, list(column.codes))
        if kept.any():  # suspects that are measurements: 999 in a column that reaches 2000
            column.distinct = np.concatenate([column.distinct, found[kept]])
            column.counts = np.concatenate([column.counts, counts[kept]])
            order = np.argsort(column.distinct)
            column.distinct, column.counts = column.distinct[order], column.counts[order]
        return column

    def add(self, shared: set[float]) -> None:
        """Apply rule 4: adopt codes of other columns that lie outside all values of this one."""
        here = [code for code in shared if code in self.distinct]
        rest = ~np.isin(self.distinct, here)
        if not here or rest.sum() < _DISTINCT:
            return
        low, high = self.distinct[rest][0], self.distinct[rest][-1]
        outside = [code for code in here if code < low or code > high]
        keep = ~np.isin(self.distinct, outside)
        self.distinct, self.counts = self.distinct[keep], self.counts[keep]
        self.codes.update(outside)

    def bounds(self) -> tuple[float, float]:
        """Return the bounds of rule 1: beyond them lies garbage."""
        resting = self.counts[self.distinct == 0].sum() > 0.5 * self.counts.sum()
        if len(self.distinct) < 2 or resting:
            return -np.inf, np.inf
        low, high = self.body()
        far = max(FAR * (high - low), abs(low), abs(high))
        lowest, highest = low - far, high + far
        beyond = (self.distinct < lowest) | (self.distinct > highest)
        # a constant has no body to be far from
        if high <= low or self.counts[beyond].sum() > max(1, RARE * self.counts.sum()):
            return -np.inf, np.inf
        return lowest, highest

    def body(self) -> tuple[float, float]:
        """Return the ends of the body: the middle half, extended up to the first wide gaps."""
        x = self.distinct
        ends = np.cumsum(self.counts)
        first = int(np.searchsorted(ends, 0.25 * ends[-1]))
        last = int(np.searchsorted(ends, 0.75 * ends[-1]))
        if first == last and len(x) > 1:  # mostly one value: take in its nearest neighbour
            gaps = np.diff(x)
            below = gaps[first - 1] if first else np.inf
            above = gaps[first] if first < len(gaps) else np.inf
            first, last = (first - 1, last) if below < above else (first, last + 1)
        while True:
            upper = last + _reach(x[last:] - x[first])
            lower = first - _reach(x[upper] - x[first::-1])
            if (lower, upper) == (first, last):
                return float(x[first]), float(x[last])
            first, last = lower, upper

    def _wrong_sign(self) -> None:
        for end, rest in ((0, slice(1, None)), (-1, slice(None, -1))):
            if len(self.distinct) <= _DISTINCT or self.counts[end] < _REPEATED:
                continue
            value, others = float(self.distinct[end]), self.distinct[rest]
            width = others[-1] - others[0]
            apart = others[0] - value if end == 0 else value - others[-1]
            opposite = others[0] >= 0 > value if end == 0 else others[-1] <= 0 < value
            if opposite and value == round(value) and apart > width:
                self.codes.add(value)
                self.distinct, self.counts = others, self.counts[rest]
                return

    def _is_code(self, value: float, n: int) -> bool:
        """Return whether a suspect is a code: outside the body, or of a sign no other value has."""
        if not len(self.distinct):
            return abs(value) >= HUGE
        if len(self.distinct) == 1 and n > 0.1 * self.counts[0]:
            return abs(value) >= HUGE  # two levels, either of which may be the normal one
        low, high = self.body()
        apart = max(low - value, value - high)
        if abs(value) <= TINY:
            return apart > 0
        if value < 0 <= low:
            return True
        return bool(apart > max(high - low, 0.5 * abs(low), 0.5 * abs(high)))


def _reach(widths: Floats) -> int:
    """Return how many values a body gains on one side, from its width with each further value."""
    gaps = np.diff(widths)
    wide = np.flatnonzero(gaps > FAR * np.maximum(widths[:-1], np.finfo(float).tiny))
    return int(wide[0]) if len(wide) else len(gaps)


def row_ranges(rows: Sequence[int] | NDArray[Any], of: NDArray[Any] | None = None) -> str:
    """Format row numbers for people: ``3, 17-28 and 40 more``.

    Parameters
    ----------
    rows
        The rows to name.
    of
        All rows of their stream, among which a range is without gaps: rows of several streams may
        alternate in a file. None: every row.
    """
    at = np.unique(np.asarray(rows, np.int64))
    place = at if of is None else np.searchsorted(np.unique(of), at)
    parts = np.split(at, np.flatnonzero(np.diff(place) > 1) + 1)
    shown = [str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts[:_NAMED]]
    left = sum(map(len, parts[_NAMED:]))
    return ", ".join(shown) + (f" and {left} more" if left else "")


def describe(
    values: Floats, mask: Bools, names: Sequence[str], place: Callable[[Bools], str] | None = None
) -> list[str]:
    """Describe each column's garbage values in sentences: value, count and where.

    Parameters
    ----------
    values, mask : (n, d)
        Readings, and which of their values are garbage.
    names : d names
    place
        Says where the readings of a mask (n,) are; None: by rows.
    """
    out = []
    for column, name in enumerate(names):
        here = values[mask[:, column], column]
        found, counts = np.unique(here, return_counts=True)
        for value in found[np.argsort(-counts, kind="stable")][:_NAMED]:
            own = mask[:, column] & (values[:, column] == value)
            where = (place or _rows)(own)
            out.append(f"{name}: {named(value)} is no measurement ({_readings(own)}, {where})")
        if len(found) > _NAMED:
            out.append(f"{name}: {len(found) - _NAMED:,} further values are no measurement")
    return out


def named(value: float) -> str:
    """Return a value as the file has it, for ``--null``; short, if it has more than ten digits."""
    whole = f"{value:.10g}"
    return whole if float(whole) == value else f"{value:.6g}"


def _rows(mask: Bools) -> str:
    rows = np.flatnonzero(mask) + 1
    return f"row{'s' if len(rows) > 1 else ''} {row_ranges(rows)}"


def _readings(mask: Bools) -> str:
    count = int(mask.sum())
    return f"{count:,} reading{'s' if count > 1 else ''}"
