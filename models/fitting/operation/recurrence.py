"""Tell operating modes that recur from faults: the same level each time, in several features.

A machine that was off, idle or in another mode a few times in training stands as far from its usual
readings as a fault does. Two things tell them apart. A mode is reached again at the same level,
while a fault's size differs from time to time. And a mode moves several features out of their
usual range, as an operating condition does, while a broken sensor moves its own. Spikes of single
readings need not: a switch or a pump that runs for one reading at a time moves its own signal.

Events are of one kind if their levels differ no more than usual levels do, or spikes by a tenth of
their size. Events at equal intervals are a cycle. The kind is a mode if it occurred at least three
times, and sizes so alike would be a coincidence among faults: with sizes uniform up to the largest,
less than one in a hundred training sets would have as many. Events close to the usual readings,
whose scatter is large beside their size, must therefore recur more often than events far away. A
single feature has no others that confirm it: there only sizes that the search can find count.
Several features that stand still at the same values each time are a mode whatever the others do: a
machine that is off cools down to the weather. Events at the same time in several streams are one
occurrence.

A fault that reaches the same level in several features each time is taken for a mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Indices
from models.fitting.operation.condition_fit import FOLLOW

_FEWEST: Final = 3  # occurrences of a mode: two may be a fault and its return after a repair
_CHANCE: Final = 0.01  # probability that a training set's faults pass for a mode
_ALIKE: Final = 0.1  # spikes of one kind differ by this share of their size: on, a signal scatters
_TIMES: Final = 5  # fewest events in a cycle
_REGULAR: Final = 0.1  # tolerance of equal intervals, as a share of the median one
_NEAREST: Final = 3  # events to either side that tell whether one is part of a cycle
_SAME_WAY: Final = 0.5  # least cosine between the levels of faults that may be of one kind
#: Deviations between a mode and the usual level of a feature: as between two conditions that hold
#: four fifths of its variance, which is what `condition_fit` asks for.
MOVED: Final = 4.0


@dataclass(slots=True)
class Event:
    """An event far beyond the usual readings.

    Parameters
    ----------
    stream : number of its stream.
    rows, middle : (n,), (m,)
        Its readings, and those at its height.
    span : (2,)
        When it began and ended, on a clock that the streams share.
    level : (d,)
        Median of the decorrelated rows at its height.
    moved : (d',)
        Which of all features are out of their usual range at its height.
    still : (d',)
        The value of each such feature that stands still; NaN for others.
    """

    stream: int
    rows: Indices
    middle: Indices
    span: tuple[float, float]
    level: Floats
    moved: Bools
    still: Floats


def recurring(
    events: Sequence[Event], scatter: float, least: float, alone: bool = False
) -> list[Event]:
    """Return the events of the mode that recurs most clearly; none if no kind of event is a mode.

    Events close to one of them belong to it, too.

    Parameters
    ----------
    events : all events that are candidates for faults.
    scatter : norm of a usual level (as long a median of decorrelated rows), as a deviation.
    least : norm of the smallest level that the search takes for an event.
    alone : whether a mode may move a single feature.
    """
    still = np.array([event.still for event in events])
    for event in events:
        if _enough(~np.isnan(event.still)):
            kind = [events[i] for i in np.flatnonzero(_enough(still == event.still)).tolist()]
            if _occurrences(kind) >= _FEWEST:
                return kind
    levels = np.array([event.level for event in events])
    alike = _ALIKE if alone else 0.0
    close = [_close(levels, event.level, scatter, alike) for event in events]
    best = _CHANCE
    mode = np.zeros(len(events), bool)
    for event, near in zip(events, close, strict=True):
        kind = [events[i] for i in np.flatnonzero(near).tolist()]
        times = _occurrences(kind)
        several = alone or _enough(np.mean([one.moved for one in kind], axis=0) > 0.5)
        if times < _FEWEST or not several:
            continue
        along = levels @ event.level / np.linalg.norm(event.level)
        like = near | (along > _SAME_WAY * np.linalg.norm(levels, axis=1))
        room = along[like].max() - (least if len(event.moved) == 1 else 0.0)
        width = min(float(np.ptp(along[near]) / max(room, 1e-300)), 1.0)
        of = times + int((like & ~near).sum())
        # times the number of kinds that there may be
        chance = _chance(times, of, width) * len(events) / int(like.sum())
        if chance <= best:
            best = chance
            mode = np.any([one for one, member in zip(close, near, strict=True) if member], axis=0)
    return [events[i] for i in np.flatnonzero(mode).tolist()]


def cyclic(starts: Sequence[int]) -> Bools:
    """Return which of the events that start at these rows, in rising order, form a cycle (n,).

    Some of the cycle may be missing, and others in between. There is a cycle if more intervals are
    whole multiples of the median interval than chance explains. An event is part of it if it lies
    at whole multiples of that interval from most of the nearest events.
    """
    from scipy.stats import binom

    none = np.zeros(len(starts), bool)
    if len(starts) < _TIMES:
        return none
    at = np.asarray(starts, np.float64)
    usual = float(np.median(np.diff(at)))
    # the median interval always matches itself, so it does not count
    matched = np.count_nonzero(_whole(np.diff(at) / usual)) - 2
    if binom.sf(matched, len(at) - 2, 2.0 * _REGULAR) > _CHANCE:
        return none
    near, whole = np.zeros(len(at)), np.zeros(len(at))
    for step in range(1, min(_NEAREST, len(at) - 1) + 1):
        regular = _whole((at[step:] - at[:-step]) / usual)
        for side in (slice(None, -step), slice(step, None)):
            near[side] += 1
            whole[side] += regular
    out: Bools = 2 * whole > near
    return out


def _whole(times: Floats) -> Bools:
    """Return which of ``times`` (...) are close to a whole number of at least one."""
    out: Bools = np.abs(times - np.maximum(np.round(times), 1.0)) <= _REGULAR
    return out


def _close(levels: Floats, level: Floats, scatter: float, alike: float) -> Bools:
    """Return which levels (n, d) differ from one (d,) no more than usual ones, or by a share of it.

    These differ by sqrt(2) of their ``scatter``, in one direction by sqrt(2 / d): at most by twice
    as much.
    """
    size = float(np.linalg.norm(level))
    way = level / max(size, 1e-300)
    along = levels @ way
    aside = np.linalg.norm(levels - np.outer(along, way), axis=1)
    reach = np.sqrt(8.0) * scatter
    share = alike * size
    out: Bools = np.abs(along - size) <= max(reach / np.sqrt(len(level)), share)
    out &= aside <= max(reach, share)
    return out


def _enough(which: Bools) -> Bools:
    """Return whether (...) these (..., d) are as many features as an operating condition moves."""
    out: Bools = which.sum(axis=-1) >= 1.0 + FOLLOW * (which.shape[-1] - 1)
    return out


def _chance(times: int, of: int, width: float) -> float:
    """Return a bound on the chance that ``times`` of so many sizes in [0, 1] are within a width."""
    from scipy.special import comb

    return float(comb(of, times)) * times * width ** (times - 1)


def _occurrences(events: Sequence[Event]) -> int:
    """Return the number of events, of which those at the same time count as one.

    So do two that less time separates than the shorter of them lasts: parts of one event.
    """
    count, end, lasted = 0, -np.inf, 0.0
    for start, stop in sorted(event.span for event in events):
        count += start - end > min(lasted, stop - start)
        lasted = stop - start if stop > end else lasted
        end = max(end, stop)
    return count
