"""Average streams' readings by period (day or week) and point of time within it.

All features are averaged over the same readings with the same weights. What is subtracted then is a
linear function of the readings, so that relations between features stay as they are: of twice one
feature less another, exactly what is usual of that difference is subtracted. Trimming each feature
by itself would leave a trace of the season wherever features follow one another closely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Indices

_COMPLETE: Final = 0.8  # least share of the points with readings in a complete period, or ...
_PARTS: Final = 4  # ... in each quarter of it ...
_OF_A_PART: Final = 0.5  # ... this share: then it has no long gap, which would bias its level
_MOST: Final = 400  # periods of all streams that are averaged, at most: bounds the time
#: A cell beside all others at its point is averaged if no feature is farther than this many robust
#: deviations from their middle, and so is the nearest three quarters: faults may last a quarter.
_FAR: Final = 5.0
_NEAREST: Final = 0.75
_ONE_DEVIATION: Final = 0.68  # share of a normal distribution within one standard deviation


@dataclass(frozen=True, slots=True)
class Grid:
    """The points that divide a period evenly.

    Attributes
    ----------
    period : in seconds.
    points : their number.
    first : phase of the first in steps between points, -0.5 to 0.5: where readings usually lie.
    """

    period: float
    points: int
    first: float

    @classmethod
    def of(cls, seconds: Sequence[Floats], period: float, points: int) -> Grid:
        """Return a grid whose points lie where most readings do.

        Parameters
        ----------
        seconds : list of (n_i,), local times in seconds.
        period : in seconds.
        points : their number.
        """
        phases = np.concatenate(seconds) * (points / period)
        angle = np.angle(np.exp(2j * np.pi * phases).mean()) / (2.0 * np.pi)
        return cls(period, points, float((angle + 0.5) % 1.0 - 0.5))

    def cells(self, at: Floats) -> tuple[Indices, Indices, Indices]:
        """Return the periods (p,), each reading's cell (n,), and readings by period and point."""
        which, number = np.unique((at // self.period).astype(np.int64), return_inverse=True)
        phase = (at % self.period) * (self.points / self.period) - self.first
        cell = number * self.points + np.round(phase).astype(np.int64) % self.points
        count = np.bincount(cell, minlength=len(which) * self.points)
        return which, cell, count.reshape(-1, self.points)

    def complete(self, at: Floats) -> Indices:
        """Return the periods (p,) with readings at most points, or scattered over all of it."""
        which, _, count = self.cells(at)
        there = count > 0
        parts = [part.mean(axis=1) for part in np.array_split(there, _PARTS, axis=1)]
        scattered = np.min(parts, axis=0) >= _OF_A_PART
        out: Indices = which[scattered | (there.mean(axis=1) >= _COMPLETE)]
        return out


@dataclass(slots=True)
class Periods:
    """The complete periods of all streams.

    Attributes
    ----------
    index : (p,) which period each is, counted from 1970; streams may share one.
    values : (p, k, d) means of the readings around each point, less the level there.
    usual : (p, k) whether they are near those of other periods, so that no fault is averaged.
    noise : (d,) variance of the readings around these means.
    """

    index: Indices
    values: Floats
    usual: Bools
    noise: Floats

    def middle(self, which: Bools) -> Floats:
        """Return the mean (k, d) of some of the periods (p,), without faults; NaN in gaps."""
        return _shared_mean(self.values[which], self.usual[which])


def average_periods(streams: Sequence[Floats], seconds: Sequence[Floats], grid: Grid) -> Periods:
    """Average each stream's readings by period and point, for some of the complete periods.

    Parameters
    ----------
    streams : list of (n_i, d), own units.
    seconds : list of (n_i,), local times in seconds.
    grid : the points of a period.
    """
    whole = [grid.complete(at) for at in seconds]
    every = np.concatenate(whole)
    if not len(every):
        width = streams[0].shape[1]
        none = np.zeros((0, grid.points, width))
        return Periods(every, none, np.asarray(none.any(axis=2)), np.zeros(width))
    keep = np.split(_some(every), np.cumsum([len(one) for one in whole])[:-1])
    index: list[Indices] = []
    cubes: list[Floats] = []
    squares, readings = np.zeros(streams[0].shape[1]), 0
    for values, at, which in zip(
        streams, seconds, (one[kept] for one, kept in zip(whole, keep, strict=True)), strict=True
    ):
        mine = np.isin((at // grid.period).astype(np.int64), which)
        if not mine.any():
            continue
        _, cell, count = grid.cells(at[mine])
        sums = [
            np.bincount(cell, column, count.size).reshape(count.shape) for column in values[mine].T
        ]
        here = count[:, :, None]
        cube = np.where(here > 0, np.stack(sums, axis=2) / np.maximum(here, 1), np.nan)
        around = values[mine] - cube.reshape(-1, cube.shape[2])[cell]
        squares += (around**2).sum(axis=0)
        readings += len(cell) - int(np.count_nonzero(count))
        index.append(which)
        cubes.append(cube - _levels(cube, which, grid.first))
    values = np.concatenate(cubes)
    return Periods(np.concatenate(index), values, _usual(values), squares / max(readings, 1))


def _levels(cube: Floats, which: Indices, first: float) -> Floats:
    """Return the level (p, k, d) at each point, between the middles of neighbouring periods.

    Of a steady trend nothing is left: relative to each period's own middle it would be a season.

    Parameters
    ----------
    cube : (p, k, d)
        Values of the periods of one stream.
    which : (p,)
        Their numbers, ascending.
    first
        Phase of the first point, in steps between points.
    """
    points = cube.shape[1]
    at = (which[:, None] + (np.arange(points) + first) / points).ravel()

    def between(middles: Floats) -> Floats:
        columns = [np.interp(at, which + 0.5, middle) for middle in middles.T]
        return np.stack(columns, axis=1).reshape(cube.shape)

    each = trimmed_mean(cube.transpose(1, 0, 2))
    rough = cube - between(each)
    usual = _usual(rough)
    rest = cube - np.nan_to_num(_shared_mean(rough, usual))
    middles = _shared_mean(rest.transpose(1, 0, 2), usual.T)
    return between(np.where(np.isnan(middles), each, middles))


def _usual(values: Floats) -> Bools:
    """Return which cells (p, k) of periods (p, k, d) are near those of other periods."""
    away = np.abs(values - trimmed_mean(values))
    unit = np.nanquantile(away.reshape(-1, away.shape[2]), _ONE_DEVIATION, axis=0)
    unit[unit == 0.0] = np.inf  # a feature that hardly ever moves has no say
    there = ~np.isnan(values).any(axis=2)
    farthest = np.nan_to_num(away / unit).max(axis=2)
    order = np.where(there, farthest, np.inf).argsort(axis=0)  # gaps last: they are not the nearest
    nearest = order.argsort(axis=0) < _NEAREST * there.sum(axis=0)
    usual: Bools = ((farthest <= _FAR) | nearest) & there
    return usual


def _shared_mean(values: Floats, usual: Bools) -> Floats:
    """Return the mean (k, d) of the usual cells (p, k) of periods (p, k, d); NaN in gaps."""
    count = usual.sum(axis=0)[:, None]
    total = np.where(usual[:, :, None], values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _some(every: Indices) -> Bools:
    """Choose about _MOST of the streams' periods (p,) or fewer, of as many dates as possible."""
    dates, of = np.unique(every, return_inverse=True)
    apart = -(-len(dates) // _MOST)
    each = max(_MOST // len(dates), 1)  # streams per date
    keep = np.zeros(len(every), bool)
    for date in range(len(dates) - 1, -1, -apart):
        there = np.flatnonzero(of == date)
        keep[np.roll(there, date)[:each]] = True  # not of the same streams on each date
    return keep


def trimmed_mean(values: Floats) -> Floats:
    """Return the mean of the middle half over the first axis, (n, ...), without NaN.

    It withstands as many faults as a quarter, and varies less than the median.
    """
    ordered = np.sort(values, axis=0)  # NaN last
    count = len(values) - np.isnan(values).sum(axis=0)
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.nancumsum(ordered, axis=0)])
    first = count // 4
    between = [np.take_along_axis(sums, at[None], axis=0)[0] for at in (first, count - first)]
    inside = np.maximum(count - 2 * first, 1)
    return np.where(count > 0, (between[1] - between[0]) / inside, np.nan)


def smooth(profile: Floats, width: int) -> Floats:
    """Return a profile (k, d) averaged over ``width`` neighbours on either side; gaps are 0."""
    there = (~np.isnan(profile)).astype(np.float64)
    total, count = np.nan_to_num(profile), there
    for by in range(1, width + 1):
        for way in (by, -by):
            total = total + np.roll(np.nan_to_num(profile), way, axis=0)
            count = count + np.roll(there, way, axis=0)
    return total / np.maximum(count, 1.0)
