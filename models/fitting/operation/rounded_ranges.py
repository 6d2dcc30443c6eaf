"""Tell the values of a coarsely rounded measurement from levels at which a machine runs.

A temperature in whole degrees and a speed of 1000, 1500 or 2000 both take few values, evenly
spaced. But what the temperature rounds goes on between two values, and so do features that follow
it; a machine leaves out what lies between two set points, and so do features that follow them.
Neighbouring values are therefore set points only if other features leave a gap between them as
well. Of all combinations of features the one counts that best separates the two; it is fitted on
every other block of the readings and judged on those between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import winsorised_std
from models.fitting.scaling import shrinkage_of

_LEAST: Final = 3  # fewest values that show a step
_GRID: Final = 1e-6  # largest error of a multiple of the smallest step, in steps
_BLOCKS: Final = 10  # blocks of the readings at a value, every other one held out
_CLIP: Final = 4.0  # deviations at which a feature is clipped
#: Highest density of readings half-way between two set points, as a share of that around both. Two
#: normal distributions four standard deviations apart have less, what is evenly spread has 1.
_GAP: Final = 0.5


def without_rounding(each: Sequence[Floats], values: Floats) -> list[Floats]:
    """Return the ranges of features, neighbours joined that only a feature's rounding separates.

    Parameters
    ----------
    each : (d,), the ranges (k, 2) of each feature's values, separated by holes.
    values : the readings, (n, d).
    """
    rounded = np.array([_grid(ranges) for ranges in each], bool)
    return [
        _joined(each[j], values[:, j], np.delete(values, rounded, axis=1)) if rounded[j]
        else each[j]
        for j in range(len(each))
    ]  # fmt: skip


def _grid(ranges: Floats) -> bool:
    """Return whether ranges (k, 2) are three values or more, multiples of one step apart."""
    if len(ranges) < _LEAST or (ranges[:, 0] < ranges[:, 1]).any():
        return False
    steps = np.diff(ranges[:, 0])
    steps = steps / steps.min()
    return bool((np.abs(steps - np.round(steps)) <= _GRID * steps).all())


def _joined(ranges: Floats, column: Floats, others: Floats) -> Floats:
    """Return ranges (k, 2) of a ``column`` (n,), joined where no ``others`` (n, d) leave a gap."""
    if not others.shape[1]:  # nothing is measured finely enough to tell
        return ranges
    levels = [others[(column >= low) & (column <= high)] for low, high in ranges]
    joined = [ranges[0]]
    for one, below, above in zip(ranges[1:], levels[:-1], levels[1:], strict=True):
        if _gap(below, above):
            joined.append(one)
        else:
            joined[-1] = np.array([joined[-1][0], one[1]])
    return np.array(joined)


def _gap(below: Floats, above: Floats) -> bool:
    """Return whether the readings (n, d) and (m, d) at two values leave a gap between them."""
    parts = np.array_split(below, _BLOCKS), np.array_split(above, _BLOCKS)
    middle = around = 0
    for held_out in (0, 1):
        fitted = [np.concatenate(part[1 - held_out :: 2]) for part in parts]
        fresh = [np.concatenate(part[held_out::2]) for part in parts]
        weights = _separating(*fitted)
        low, high = (one @ weights for one in fresh)
        start, end = float(np.median(low)), float(np.median(high))
        if start == end:
            return False
        place = (np.concatenate([low, high]) - start) / (end - start)
        middle += int((np.abs(place - 0.5) < 0.25).sum())
        around += int((np.minimum(np.abs(place), np.abs(place - 1.0)) < 0.25).sum())
    return middle < _GAP * around / 2.0  # around lies both of them


def _separating(below: Floats, above: Floats) -> Floats:
    """Return the weights (d,) of the features that best separate two sets of readings."""
    centers = np.median(below, axis=0), np.median(above, axis=0)
    rest = np.concatenate([below - centers[0], above - centers[1]])
    apart = centers[1] - centers[0]
    spread = winsorised_std(rest)
    # what is constant at both separates them by itself
    spread = np.where(spread > 0.0, spread, np.where(apart == 0.0, 1.0, 1e-6 * np.abs(apart)))
    rows = np.clip(rest / spread, -_CLIP, _CLIP)
    correlation = rows.T @ rows / len(rows)
    correlation += shrinkage_of(rows) * np.eye(len(spread))
    weights: Floats = np.linalg.solve(correlation, apart / spread) / spread
    return weights
