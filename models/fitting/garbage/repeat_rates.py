"""Count how often features repeat values in training (:mod:`models.scoring.features.repeats`).

A run as long as one of the ``n`` training readings belonged to is normal. The probability that a
reading ends a longer one is estimated as ``(1/2) / (n + 1)``, as for features that stood still
(:mod:`models.scoring.features.standing`). Each further reading is as probable as the longest runs
went on, and at least HALF: even a value that never repeated in training might repeat for a reason,
but not again and again. The probability is multiplied by the number of features that are watched,
since any of them may repeat.

A feature may rest at its most frequent value, as where a machine is off: where it kept that value
more often than not, in RECURS runs or more, or for LENGTH readings together with most others,
readings there do not count, in training and live. Nor do live readings at training's lowest or
highest value, where sensors saturate. Of the others, a feature that repeats its value in more than
RARELY of its readings is rounded, or stands still for long, and is not watched: how often it
repeats depends on how much it moves, and quieter times than training's come. One run of LENGTH or
more would hide all stuck sensors. Runs more than twice as long as all others, of this feature alone
and each at another value, are faults that nobody labelled, and do not count; other runs are normal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Indices
from models.scoring.features.repeats import FEWEST, LENGTH, Repeats

HALF: Final = 0.5
#: Largest share of readings that repeat the value before, for a feature to be watched.
RARELY: Final = 0.1
#: Runs at the most frequent value from which on the feature may rest there.
RECURS: Final = 3


def fit_repeats(streams: Sequence[Floats]) -> Repeats | None:
    """Return the rarity of repeated values; None if no feature can be watched.

    Parameters
    ----------
    streams : list of (n_i, d)
        Training readings as received, in own units.
    """
    runs = _runs_of(streams)
    rarity, rests = np.stack([_rarity(one) for one in runs]), np.array([one.rests for one in runs])
    watched = np.count_nonzero(rarity.any(axis=1))
    if not watched:
        return None
    rarity = np.maximum(rarity - np.log10(watched), 0.0)
    rarity[:, : FEWEST - 1] = 0.0
    low = np.min([s.min(axis=0) for s in streams], axis=0)
    high = np.max([s.max(axis=0) for s in streams], axis=0)
    return Repeats(rarity.round(4), np.stack([low, high, np.where(np.isnan(rests), low, rests)]))


def stuck_readings(streams: Sequence[Floats]) -> list[Bools]:
    """Return which features (n_i, d) repeat their value as stuck sensors, by reading.

    A machine that is off sends 0, and a sensor saturates at its lowest or highest value: neither is
    stuck.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings as received, in own units; NaN is missing, and ends a run.
    """
    pooled = np.concatenate(streams)
    out = np.zeros(pooled.shape, bool)
    for j, runs in enumerate(_runs_of(streams)):
        if not runs.stuck.any():
            continue
        usual = [0.0, np.nanmin(pooled[:, j]), np.nanmax(pooled[:, j])]
        for begin, length in zip(runs.starts[runs.stuck], runs.lengths[runs.stuck], strict=True):
            if pooled[begin, j] not in usual:
                out[begin + 1 : begin + length, j] = True  # the first is what was measured
    return np.split(out, np.cumsum([len(s) for s in streams])[:-1])


@dataclass(slots=True)
class _Runs:
    """Runs of equal values of one feature, where it does not rest.

    Attributes
    ----------
    starts, lengths : (n,) first reading and number of readings, the longest run last.
    stuck : (n,) which are a stuck sensor's.
    rests : the value that the feature rests at; NaN if it does not.
    rarely : whether the feature seldom repeats its value.
    """

    starts: Indices
    lengths: Indices
    stuck: Bools
    rests: float
    rarely: bool


def _runs_of(streams: Sequence[Floats]) -> list[_Runs]:
    """Return the runs of each feature in all streams (n_i, d), one after the other."""
    stands = np.concatenate([_most_stand(s) for s in streams])
    begins = np.zeros(len(stands), bool)
    begins[np.cumsum([0, *map(len, streams[:-1])])] = True
    columns = (np.concatenate([s[:, j] for s in streams]) for j in range(streams[0].shape[1]))
    return [_runs(values, begins, stands) for values in columns]


def _most_stand(values: Floats) -> Bools:
    """Return in which readings (n,) of a stream (n, d) most features have the value before."""
    same = (values[1:] == values[:-1]).mean(axis=1) > HALF
    return np.append([False], same)


def _runs(values: Floats, begins: Bools, stands: Bools) -> _Runs:
    """Return the runs of one feature.

    Parameters
    ----------
    values : (n,)
        The feature in all streams, one after the other.
    begins, stands : (n,)
        Which readings begin a stream, and what :func:`_most_stand` returned.
    """
    starts = np.flatnonzero(begins | np.append(True, values[1:] != values[:-1]))
    lengths, at = np.diff(starts, append=len(values)), values[starts]
    shared = np.add.reduceat(stands, starts, dtype=int) > HALF * lengths
    rests = _rests(lengths, at, shared)
    away = np.flatnonzero(at != rests)
    order = away[np.argsort(lengths[away], kind="stable")]
    starts, lengths, at, shared = starts[order], lengths[order], at[order], shared[order]
    readings = int(lengths.sum())
    stuck = np.zeros(len(lengths), bool)
    longer = np.flatnonzero(lengths[1:] > 2 * lengths[:-1]) + 1
    for first in longer[lengths[longer] >= LENGTH]:
        long = slice(first, None)
        if not shared[long].any() and len(np.unique(at[long])) == len(at[long]):
            stuck[long] = True
            break
    rarely = bool(readings) and readings - len(lengths) <= RARELY * readings
    return _Runs(starts, lengths, stuck & rarely, rests, rarely)


def _rarity(runs: _Runs) -> Floats:
    """Return the rarity (LENGTH,) of runs of one feature; 0 if it repeats too often to tell."""
    lengths = runs.lengths[~runs.stuck]
    if not runs.rarely or not len(lengths):
        return np.zeros(LENGTH)
    beyond = np.arange(1, LENGTH + 1) - int(lengths[-1])
    decades = -np.log10(0.5 / (int(lengths.sum()) + 1.0))
    rarity: Floats = decades - (beyond - 1) * np.log10(goes_on(lengths))
    return np.where(beyond > 0, rarity, 0.0)


def _rests(lengths: Indices, at: Floats, shared: Bools) -> float:
    """Return the value that a feature rests at; NaN if it does not.

    Parameters
    ----------
    lengths, at, shared : (n,)
        Length and value of its runs, and whether most features stand in them.
    """
    values, kind, runs = np.unique(at, return_inverse=True, return_counts=True)
    readings = np.bincount(kind, weights=lengths)
    most = int(np.argmax(readings))
    off = readings[most] >= LENGTH and bool(shared[kind == most].all())
    keeps = runs[most] < HALF * readings[most]
    return float(values[most]) if keeps and (off or runs[most] >= RECURS) else math.nan


def goes_on(lengths: Indices) -> float:
    """Return the probability that one of the longer runs goes on by another reading."""
    reached = int(lengths[-1]) // 2 + 1
    further = lengths[lengths >= reached] - reached
    return max(float(further.sum() / (further.sum() + len(further))), HALF)
