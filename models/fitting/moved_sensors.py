"""Move a sensor's earlier readings to its newest level where it was replaced or adjusted.

Such a sensor shifts once and for good, and nothing else moves with it. Left as it is, one shift in
one stream makes levels seem to wander: everything then adapts widely, and faults of other sensors
are missed, too. Live, the product settles at a level that lasts (:mod:`models.scoring.settling`),
so training does the same.

A shift is looked for in each stream by a linear model of every feature by all others and a step at
each of several moments. The feature and moment count whose partial correlation with the step is the
largest: the other features explain what a changed load moves. It is a sensor's shift where

- all of its BLOCKS averages before lie on one side of all those after, by a gap at least as wide as
  either of them spreads: levels that wander, drift or come back have no such gap;
- most of it happens at once, and the feature's own average moves, as far as it can tell, by most of
  it: where two of three sensors move, the third seems to;
- no other feature has all its averages on one side before and on the other after, nor shifts at the
  same moment in this way: a change of operation moves several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats, Indices
from models.fitting.places import Places

#: Averages of a stream that are compared, and fewest of them before and after a shift.
BLOCKS: Final = 24
_EACH: Final = 3
#: Fewest readings of an average, and per feature.
_LEAST: Final = 20
_PER_FEATURE: Final = 10
#: Fewest different values before and after: a setpoint, switch or step of a scale is no sensor.
_DISTINCT: Final = 20
#: Least share of a shift that happens at once.
_AT_ONCE: Final = 0.75
#: Least share of a shift that the feature's average moves by.
_OWN: Final = 0.5
#: Standard errors by which it must fall short of this to rule the shift out.
_SURE: Final = 2.0
_RIDGE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Shift:
    """A feature of one stream is higher by ``size`` from reading ``at`` on."""

    feature: int
    at: int
    size: float


def realigned(
    streams: Sequence[Floats], names: Sequence[str], places: Places | None = None
) -> tuple[list[Floats], list[str]]:
    """Return streams (n_i, d) with the readings before a shift moved by it, and notes.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order, without missing values.
    names : (d,)
        Feature names.
    places
        Says where readings are, for the notes.
    """
    out, notes = [], []
    places, lengths = places or Places(), [len(stream) for stream in streams]
    for number, values in enumerate(streams):
        moved = values
        for shift in shifts_of(values):
            moved = _moved(moved, shift)
            at = places.of_one(number, shift.at, lengths)
            notes.append(
                f"{names[shift.feature]}: shifts by {shift.size:+.4g} for good at {at}, and no"
                " other feature with it: a sensor that was replaced or adjusted. The readings"
                " before were moved to its new level (--trim 0 leaves them)"
            )
        out.append(moved)
    return out, notes


def shifts_of(values: Floats) -> list[Shift]:
    """Return the shifts of a stream (n, d) in which a sensor moved alone, one per feature."""
    found: list[Shift] = []
    while (shift := _shift(values)) and shift.feature not in {one.feature for one in found}:
        found.append(shift)
        values = _moved(values, shift)
    near = len(values) // BLOCKS
    return [
        one for one in found
        if all(abs(one.at - other.at) > near for other in found if other is not one)
    ]  # fmt: skip


def _moved(values: Floats, shift: Shift) -> Floats:
    """Return readings of a stream (n, d), those before the shift at the level after it."""
    out = values.copy()
    out[: shift.at, shift.feature] += shift.size
    return out


def _shift(values: Floats) -> Shift | None:
    """Return the clearest shift of a stream (n, d), if it is one."""
    n, d = values.shape
    length = n // BLOCKS
    if d < 2 or length < _LEAST or n < _PER_FEATURE * d:
        return None
    feature, near, rest = _stepwise(values, length)
    at = near - length + _break(rest[near - length : near + length])
    if min(at, n - at) < _EACH * length:
        return None
    before, after = rest[:at], rest[at:]
    few = min(len(np.unique(part)) for part in np.split(values[:, feature], [at]))
    low, high, spread = _gap(before, after, length)
    if few < _DISTINCT or high - low < spread:
        return None
    for other in values.T[np.arange(values.shape[1]) != feature]:
        low, high, _ = _gap(other[:at], other[at:], length)
        if high > low:
            return None
    size = float(after.mean() - before.mean())
    short = max(length // 6, 5)
    at_once = after[:short].mean() - before[-short:].mean()
    stayed = _stayed(values[:at, feature], values[at:, feature], size, length)
    return None if stayed or at_once / size < _AT_ONCE else Shift(feature, at, size)


def _stepwise(values: Floats, length: int) -> tuple[int, int, Floats]:
    """Return the feature that a step explains best, when, and what the others leave of it (n,)."""
    n, d = values.shape
    spread = values.std(axis=0)
    still = spread == 0
    z = (values - values.mean(axis=0)) / np.where(still, 1.0, spread)
    both = np.eye(d + 1)
    both[:d, :d] = z.T @ z / n
    both[np.diag_indices(d)] += _RIDGE + still
    sums = np.add.reduceat(z, np.arange(0, n, length)).cumsum(axis=0)
    best = (-1.0, 0, 0, z[:, 0])
    for blocks in range(_EACH, BLOCKS - _EACH + 1):
        share = blocks * length / n
        both[d, :d] = both[:d, d] = -sums[blocks - 1] / n / np.sqrt(share * (1.0 - share))
        precision = np.linalg.inv(both)
        own = precision.diagonal()
        partial = np.where(still, 0.0, np.abs(precision[d, :d]) / np.sqrt(own[:d] * own[d]))
        j = int(partial.argmax())
        if partial[j] > best[0]:
            best = (float(partial[j]), j, blocks * length, precision[j, :d] / own[j])
    _, feature, near, weights = best
    return feature, near, spread[feature] * (z @ weights)


def _break(x: Floats) -> int:
    """Return where (n,) values change level, by least squares."""
    before: Indices = np.arange(1, len(x))
    sums = np.cumsum(x - x.mean())[:-1]
    return 1 + int(np.argmax(sums**2 * (1.0 / before + 1.0 / (len(x) - before))))


def _stayed(before: Floats, after: Floats, size: float, length: int) -> bool:
    """Return whether a feature's own average surely moved by less than most of a shift."""
    blocks = [_averages(part, length) for part in (before, after)]
    error = np.sqrt(np.sum([part.var(ddof=1) / len(part) for part in blocks]))
    moved = float(after.mean() - before.mean()) * np.sign(size)
    return bool(_OWN * abs(size) - moved > _SURE * error)


def _gap(before: Floats, after: Floats, length: int) -> tuple[float, float, float]:
    """Return the ends of the gap between averages over ``length`` readings, and their spread.

    The first end is above the second if there is no gap.
    """
    parts = [_averages(before, length), _averages(after, length)]
    below, above = sorted(parts, key=np.mean)
    return float(below.max()), float(above.min()), float(max(map(np.ptp, parts)))


def _averages(x: Floats, length: int) -> Floats:
    return np.array([part.mean() for part in np.array_split(x, max(len(x) // length, 1))])
