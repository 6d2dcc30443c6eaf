"""Find where a sensor of a stream moves alone, for good or for a while.

A shift is looked for by a linear model of every feature by all others and a step, or a stay at
another level, at each of several moments. The feature and moment count whose partial correlation
with it is the largest: the other features explain what a changed load moves. It is a sensor's shift
where

- all averages over a BLOCKS-th of the stream at the other level lie on one side of all the rest, by
  a gap at least as wide as either of them spreads: levels that wander or drift have no such gap;
- most of it happens at once, and so does the return; the feature's own average moves, as far as it
  can tell, by most of it: where two of three sensors move, the third seems to;
- no other feature has such a gap, nor shifts at the same moment: a change of operation moves
  several.

Averages of half, a quarter and an eighth of that length show what does not last as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats, Indices
from models.fitting.faults.changed_gain import gain_between

#: Averages of a stream that are compared, and fewest of them at either level.
BLOCKS: Final = 24
_EACH: Final = 3
#: So many shorter averages show what does not last as long.
_FINER: Final = (BLOCKS, 2 * BLOCKS, 4 * BLOCKS, 8 * BLOCKS)
#: Fewest readings of an average, and per feature.
_LEAST: Final = 20
_PER_FEATURE: Final = 10
#: Fewest different values at either level: a setpoint, switch or step of a scale is no sensor.
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
    """A feature of one stream is higher by ``size`` from reading ``begin`` to before ``end``.

    If ``factor`` is not None, it is higher by ``size`` only on average: each reading is
    ``factor`` times as high.
    """

    feature: int
    begin: int
    end: int
    size: float
    factor: float | None = None

    def is_late(self, n: int) -> bool:
        """Return whether it lasts to the end of a stream of ``n``, too short to be called usual."""
        return self.end == n and n - self.begin < _EACH * (n // BLOCKS)

    def moved(self, values: Floats, *, inside: bool) -> Floats:
        """Return readings (n, d), those inside the shift or all others at the other level."""
        at = np.zeros(len(values), bool)
        at[self.begin : self.end] = True
        at = at if inside else ~at
        out = values.copy()
        if self.factor is None:
            out[at, self.feature] += -self.size if inside else self.size
        else:
            out[at, self.feature] *= 1.0 / self.factor if inside else self.factor
        return out


@dataclass(frozen=True, slots=True)
class _Stay:
    """Readings at one level, ``begin`` to ``end``, among ``n``, in averages of ``length``."""

    begin: int
    end: int
    n: int
    length: int

    def apart(self, x: Floats) -> tuple[Floats, Floats]:
        """Return readings (n,) inside and outside."""
        return x[self.begin : self.end], np.concatenate([x[: self.begin], x[self.end :]])

    def averages(self, x: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Return averages of ``x`` per weight, over ``length`` readings each, in and outside."""
        weights = np.ones(len(x)) if weights is None else weights
        before, after = slice(0, self.begin), slice(self.end, self.n)
        inside = _averages(x, weights, slice(self.begin, self.end), self.length)
        outside = [_averages(x, weights, part, self.length) for part in (before, after)]
        return inside, np.concatenate(outside)

    def gap(self, x: Floats, weights: Floats | None = None) -> tuple[float, float]:
        """Return the gap between averages inside and outside, below 0 if none, and their spread."""
        parts = self.averages(x, weights)
        below, above = sorted(parts, key=np.mean)
        return float(above.min() - below.max()), float(max(map(np.ptp, parts)))


def shifts_of(values: Floats) -> list[Shift]:
    """Return the shifts of a stream (n, d) in which a sensor moved alone, one per feature."""
    found: list[Shift] = []
    while (shift := _clearest_shift(values)) and shift.feature not in {
        one.feature for one in found
    }:
        found.append(shift)
        values = shift.moved(values, inside=shift.end < len(values))
    near = len(values) // BLOCKS
    return [
        one for one in found
        if all(_apart(one, other, near, len(values)) for other in found if other is not one)
    ]  # fmt: skip


def _clearest_shift(values: Floats) -> Shift | None:
    if shift := _lasting(values):
        return shift
    each = (_passing(values, blocks) for blocks in _FINER)
    return next((shift for shift in each if shift), None)


def _apart(one: Shift, other: Shift, near: int, n: int) -> bool:
    """Return whether two shifts begin and end at different moments."""
    ends = [{shift.begin, shift.end} - {n} for shift in (one, other)]
    return all(abs(a - b) > near for a in ends[0] for b in ends[1])


def _lasting(values: Floats) -> Shift | None:
    """Return the clearest shift for good of a stream (n, d), if it is one."""
    n = len(values)
    length = _length(values, BLOCKS)
    if not length:
        return None
    edges = _edges(n, BLOCKS)[_EACH:-_EACH]
    feature, number, rest = _clearest(values, np.stack([0 * edges, edges], axis=1))
    near = int(edges[number])
    at = _break(rest, np.ones(n), near, length)
    if min(at, n - at) < _EACH * length:
        return None
    stay = _Stay(at, n, n, length)
    size = _size(rest, stay)
    if _stayed(values[:, feature], size, stay) or not _alone(values, feature, stay):
        return None
    gain = gain_between(values, feature, at, length)
    if gain is None:
        found = _at_once(rest, np.ones(n), stay, [length // 6])
        return Shift(feature, at, n, size) if found else None
    level, weights = values[:, feature] * gain.expected, gain.expected**2
    stay = _Stay(_break(level, weights, near, length), n, n, length)
    found = _at_once(level, weights, stay, [length // 6, length // 3])
    return Shift(feature, stay.begin, n, size, gain.factor) if found else None


def _passing(values: Floats, blocks: int) -> Shift | None:
    """Return the clearest shift of a stream (n, d) that ends again, or is early or late, if any."""
    n = len(values)
    length = _length(values, blocks)
    if not length:
        return None
    spans = _edges(n, blocks)[[
        (begin, end)
        for begin in range(blocks)
        for end in range(begin + _EACH, min(begin + BLOCKS // 2, blocks) + 1)
    ]]  # fmt: skip
    feature, number, rest = _clearest(values, spans)
    even = np.ones(n)
    begin, end = (
        at if at in (0, n) else _break(rest, even, at, length) for at in spans[number].tolist()
    )
    if end - begin < _EACH * length:
        return None
    stay = _Stay(begin, end, n, length)
    size = _size(rest, stay)
    if (
        _at_once(rest, even, stay, [length // 6])
        and not _stayed(values[:, feature], size, stay)
        and _alone(values, feature, stay)
    ):
        return Shift(feature, begin, end, size) if begin else Shift(feature, end, n, -size)
    return None


def _length(values: Floats, blocks: int) -> int:
    """Return the readings of each of so many averages of a stream (n, d), 0 if it is too short."""
    n, d = values.shape
    length = n // blocks
    return length if d >= 2 and length >= _LEAST and n >= _PER_FEATURE * d else 0


def _edges(n: int, blocks: int) -> Indices:
    """Return where so many blocks of about the same length begin and end, (blocks + 1,)."""
    return np.arange(blocks + 1) * n // blocks


def _clearest(values: Floats, spans: Indices) -> tuple[int, int, Floats]:
    """Return the feature that a level within a span explains best, which span, and the rest.

    Parameters
    ----------
    values : (n, d)
    spans : (k, 2), the readings at which each begins and before which it ends.

    Returns
    -------
    The feature, the span's number, and what the other features leave of the feature (n,).
    """
    n = len(values)
    spread = values.std(axis=0)
    still = spread == 0
    z = (values - values.mean(axis=0)) / np.where(still, 1.0, spread)
    z -= z.mean(axis=0)  # what rounding leaves of a mean of 1e15
    precision = np.linalg.inv(z.T @ z / n + np.diag(_RIDGE + still))
    edges, numbers = np.unique(spans, return_inverse=True)
    blocks = np.add.reduceat(z, edges[edges < n]).cumsum(axis=0)
    sums = np.concatenate([np.zeros((1, z.shape[1])), blocks])
    begun, ended = sums[numbers.reshape(spans.shape)].swapaxes(0, 1)
    share = (spans[:, 1] - spans[:, 0]) / n
    with_level = (ended - begun) / n / np.sqrt(share * (1 - share))[:, None]
    # the level is one more column of the matrix, whose inverse follows from the others' inverse
    told = with_level @ precision
    left = 1.0 + _RIDGE - (told * with_level).sum(axis=1)
    own = precision.diagonal() + told**2 / left[:, None]
    partial = np.where(still, 0.0, np.abs(told) / np.sqrt(left[:, None] * own))
    number, feature = np.unravel_index(int(partial.argmax()), partial.shape)
    row = precision[feature] + told[number, feature] * told[number] / left[number]
    rest = spread[feature] * (z @ (row / own[number, feature]))
    return int(feature), int(number), rest


def _size(rest: Floats, stay: _Stay) -> float:
    inside, outside = stay.apart(rest)
    return float(inside.mean() - outside.mean())


def _alone(values: Floats, feature: int, stay: _Stay) -> bool:
    """Return whether a feature measures something, and no other has a gap."""
    if min(len(np.unique(part)) for part in stay.apart(values[:, feature])) < _DISTINCT:
        return False
    others = np.delete(values, feature, axis=1).T
    return all(stay.gap(other)[0] <= 0.0 for other in others)


def _at_once(x: Floats, weights: Floats, stay: _Stay, within: Sequence[int]) -> bool:
    """Return whether averages of ``x`` per weight are apart, and move at once there and back.

    At once is ``within`` any of these numbers of readings: a factor shows little while a feature
    is low.
    """
    gap, spread = stay.gap(x, weights)
    if gap < spread:
        return False
    (inside, outside), (own, other) = stay.apart(x), stay.apart(weights)
    whole = _average(inside, own) - _average(outside, other)

    def most(at: int, sign: float) -> bool:
        moves = []
        for short in (max(one, 5) for one in within):
            before, after = slice(at - short, at), slice(at, at + short)
            moves.append(_average(x[after], weights[after]) - _average(x[before], weights[before]))
        return max(sign * move / whole for move in moves) >= _AT_ONCE

    there = stay.begin == 0 or most(stay.begin, 1.0)
    return there and (stay.end == stay.n or most(stay.end, -1.0))


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


def _stayed(x: Floats, size: float, stay: _Stay) -> bool:
    """Return whether a feature's own average surely moved by less than most of a shift."""
    error = np.sqrt(np.sum([part.var(ddof=1) / len(part) for part in stay.averages(x)]))
    moved = _size(x, stay) * np.sign(size)
    return bool(_OWN * abs(size) - moved > _SURE * error)


def _averages(x: Floats, weights: Floats, part: slice, length: int) -> Floats:
    x, weights = x[part], weights[part]
    if not len(x):
        return np.zeros(0)
    count = max(len(x) // length, 1)
    parts = zip(np.array_split(x, count), np.array_split(weights, count), strict=True)
    return np.array([_average(*part) for part in parts])


def _average(x: Floats, weights: Floats) -> float:
    return float(x.sum() / max(weights.sum(), np.finfo(float).tiny))
