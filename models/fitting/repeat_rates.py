"""Count how often features repeat their value in training (see :mod:`models.scoring.repeats`).

A run as long as one of the ``n`` training readings belonged to is normal. The probability that a
reading ends a longer one is estimated as ``(1/2) / (n + 1)``, as for features that stood still
(:mod:`models.scoring.standing`). Each further reading is as probable as the longest runs went on,
and at least HALF: even a value that never repeated in training might repeat for a reason, but not
again and again. The probability is multiplied by the number of features that are watched, since any
of them may repeat.

A feature may rest at its most frequent value, as where a machine is off: where it kept that value
more often than not, in RECURS runs or more, readings there do not count, in training and live. Of
the others, a feature that repeats its value in more than RARELY of its readings is rounded, and not
watched: how often it repeats depends on how much it moves, and quieter times than training's come.
One run more than twice as long as all others may be a fault that nobody labelled, and is left out;
other runs are normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Floats, Indices
from models.scoring.repeats import FEWEST, LENGTH, Repeats

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
    found = [_rarity([s[:, j] for s in streams]) for j in range(streams[0].shape[1])]
    rarity = np.stack([of for of, _ in found])
    watched = np.count_nonzero(rarity.any(axis=1))
    if not watched:
        return None
    rarity = np.maximum(rarity - np.log10(watched), 0.0)
    rarity[:, : FEWEST - 1] = 0.0
    return Repeats(rarity.round(4), tuple(rests for _, rests in found))


def _rarity(values: Sequence[Floats]) -> tuple[Floats, float | None]:
    """Return the rarity (LENGTH,) of runs of one feature, and the value that it rests at, if any.

    ``values`` are (n_i,) per stream.
    """
    lengths, at = map(np.concatenate, zip(*map(_runs, values), strict=True))
    rests = _rests(lengths, at)
    lengths = np.sort(lengths if rests is None else lengths[at != rests])
    if len(lengths) > 1 and lengths[-1] > 2 * lengths[-2]:
        lengths = lengths[:-1]
    readings = int(lengths.sum())
    if readings - len(lengths) > RARELY * readings or not readings:
        return np.zeros(LENGTH), rests
    beyond = np.arange(1, LENGTH + 1) - int(lengths[-1])
    rarity = -np.log10(0.5 / (readings + 1.0)) - (beyond - 1) * np.log10(_goes_on(lengths))
    return np.where(beyond > 0, rarity, 0.0), rests


def _runs(values: Floats) -> tuple[Indices, Floats]:
    """Return length and value of all runs of equal values (n,)."""
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return np.diff(starts, append=len(values)), values[starts]


def _rests(lengths: Indices, at: Floats) -> float | None:
    """Return the value that a feature rests at, given length (n,) and value (n,) of its runs."""
    values, kind, runs = np.unique(at, return_inverse=True, return_counts=True)
    readings = np.bincount(kind, weights=lengths)
    most = int(np.argmax(readings))
    rests = runs[most] >= RECURS and runs[most] < HALF * readings[most]
    return float(values[most]) if rests else None


def _goes_on(lengths: Indices) -> float:
    """Return the probability that one of the longer runs goes on by another reading."""
    reached = int(lengths[-1]) // 2 + 1
    further = lengths[lengths >= reached] - reached
    return max(float(further.sum() / (further.sum() + len(further))), HALF)
