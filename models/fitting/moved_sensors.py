"""Move a sensor's readings to one level where it was replaced, adjusted or began to fail.

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

A sensor that was scaled anew looks like this, too: its earlier readings are multiplied instead of
moved if that leaves less (:mod:`models.fitting.changed_gain`).

A fault that still lasts when training ends looks like this as well. Where the other streams of a
group read as this one did before (:mod:`models.fitting.other_streams`), its later readings are moved
back instead: else the fault would be normal, and the sensor watched in no stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.changed_gain import gain_between
from models.fitting.other_streams import read_as_before
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
    """A feature of one stream is higher by ``size`` from reading ``at`` on.

    If ``factor`` is not None, it is higher by ``size`` only on average: each reading is
    ``factor`` times as high.
    """

    feature: int
    at: int
    size: float
    factor: float | None = None


def realigned(
    streams: Sequence[Floats], names: Sequence[str], places: Places | None = None
) -> tuple[list[Floats], list[str]]:
    """Return streams (n_i, d) with the readings before, or after, a shift moved by it, and notes.

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
        others = [other for k, other in enumerate(streams) if k != number]
        for shift in shifts_of(values):
            back = read_as_before(others, values, shift.feature, shift.at)
            moved = _moved_back(moved, shift) if back else _moved(moved, shift)
            at = places.of_one(number, shift.at, lengths)
            notes.append(_note(names[shift.feature], shift, at, back))
        out.append(moved)
    return out, notes


def _note(name: str, shift: Shift, at: str, back: bool) -> str:
    """Return what is told of a shift at a place, and of what was moved."""
    factor = shift.factor
    what = f"shifts by {shift.size:+.4g}" if factor is None else f"reads {factor:.4g} times as much"
    begin = f"{name}: {what} for good at {at}, and no other feature with it"
    if back:
        done = "moved back" if factor is None else f"divided by {factor:.4g}"
        return (
            f"{begin}, while the other streams read as it did before: a fault that lasts, or"
            f" a sensor that reads otherwise now. The readings since were {done}, so live they are"
            " judged by the level before (--trim 0 leaves them)"
        )
    done = "moved to its new level" if factor is None else f"multiplied by {factor:.4g}"
    return (
        f"{begin}: a sensor that was replaced or adjusted. The readings before were {done}"
        " (--trim 0 leaves them)"
    )


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
    if shift.factor is None:
        out[: shift.at, shift.feature] += shift.size
    else:
        out[: shift.at, shift.feature] *= shift.factor
    return out


def _moved_back(values: Floats, shift: Shift) -> Floats:
    """Return readings of a stream (n, d), those after the shift at the level before it."""
    out = values.copy()
    if shift.factor is None:
        out[shift.at :, shift.feature] -= shift.size
    else:
        out[shift.at :, shift.feature] /= shift.factor
    return out


def _shift(values: Floats) -> Shift | None:
    """Return the clearest shift of a stream (n, d), if it is one."""
    n, d = values.shape
    length = n // BLOCKS
    if d < 2 or length < _LEAST or n < _PER_FEATURE * d:
        return None
    feature, near, rest = _stepwise(values, length)
    alike = np.ones(n)
    at = _break(rest, alike, near, length)
    if min(at, n - at) < _EACH * length:
        return None
    own, size = values[:, feature], float(rest[at:].mean() - rest[:at].mean())
    if not _alone(values, feature, at, length) or _stayed(own, at, size, length):
        return None
    gain = gain_between(values, feature, at, length)
    if gain is None:
        for_good = _for_good(rest, alike, at, length, [length // 6])
        return Shift(feature, at, size) if for_good else None
    level, weights = own * gain.expected, gain.expected**2
    at = _break(level, weights, near, length)
    for_good = _for_good(level, weights, at, length, [length // 6, length // 3])
    return Shift(feature, at, size, gain.factor) if for_good else None


def _alone(values: Floats, feature: int, at: int, length: int) -> bool:
    """Return whether a feature measures something, and no other has a gap at reading ``at``."""
    if min(len(np.unique(part)) for part in np.split(values[:, feature], [at])) < _DISTINCT:
        return False
    for other in np.delete(values, feature, axis=1).T:
        low, high, _ = _gap(other, np.ones(len(other)), at, length)
        if high > low:
            return False
    return True


def _for_good(x: Floats, weights: Floats, at: int, length: int, within: Sequence[int]) -> bool:
    """Return whether averages of ``x`` per weight move at once at reading ``at``, and stay.

    At once is ``within`` any of these numbers of readings: a factor shows little while a feature
    is low.
    """
    low, high, spread = _gap(x, weights, at, length)
    if high - low < spread:
        return False

    def move(begin: int, end: int) -> float:
        return _average(x[at:end], weights[at:end]) - _average(x[begin:at], weights[begin:at])

    moves = [move(at - short, at + short) for short in (max(one, 5) for one in within)]
    return max(one / move(0, len(x)) for one in moves) >= _AT_ONCE


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


def _break(x: Floats, weights: Floats, near: int, length: int) -> int:
    """Return where averages of ``x`` per weight change within ``length`` of ``near``.

    By least squares.
    """
    window = slice(near - length, near + length)
    x, weights = x[window], weights[window]
    sums = np.cumsum(x - weights * _average(x, weights))[:-1]
    before = np.cumsum(weights)[:-1]
    after = weights.sum() - before
    return near - length + 1 + int(np.argmax(sums**2 * (1.0 / before + 1.0 / after)))


def _stayed(x: Floats, at: int, size: float, length: int) -> bool:
    """Return whether a feature's own average surely moved by less than most of a shift."""
    before, after = np.split(x, [at])
    blocks = [_averages(part, np.ones(len(part)), length) for part in (before, after)]
    error = np.sqrt(np.sum([part.var(ddof=1) / len(part) for part in blocks]))
    moved = float(after.mean() - before.mean()) * np.sign(size)
    return bool(_OWN * abs(size) - moved > _SURE * error)


def _gap(x: Floats, weights: Floats, at: int, length: int) -> tuple[float, float, float]:
    """Return the ends of the gap between averages before and after ``at``, and their spread.

    The first end is above the second if there is no gap. The averages are over ``length`` readings.
    """
    parts = [_averages(x[:at], weights[:at], length), _averages(x[at:], weights[at:], length)]
    below, above = sorted(parts, key=np.mean)
    return float(below.max()), float(above.min()), float(max(map(np.ptp, parts)))


def _averages(x: Floats, weights: Floats, length: int) -> Floats:
    count = max(len(x) // length, 1)
    parts = zip(np.array_split(x, count), np.array_split(weights, count), strict=True)
    return np.array([_average(*part) for part in parts])


def _average(x: Floats, weights: Floats) -> float:
    return float(x.sum() / max(weights.sum(), np.finfo(float).tiny))
