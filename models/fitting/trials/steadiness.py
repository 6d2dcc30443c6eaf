"""Judge whether a group's levels are steady, and whether to use the slow magnitude.

An adaptive tail keeps alarms down where levels wander, and a magnitude smoothed over some twenty
readings detects weak lasting faults. Where levels are steady both have a price: the tail also
adapts to faults, and the smoothed magnitude keeps alarming after brief faults. Scoring with and
without the slow magnitude is therefore tried on each stream's later blocks and, with several
streams, on held-out streams. A choice holds if its alarm rate there is at most HOLDS budgets. Of
the choices that hold, the one that detects more small steps is used. If neither holds, the slow
magnitude, which alarms more, is used only if it detects more by BEHIND.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.calibration.calibrate import ewma, smoothing
from models.fitting.trials.distance import fit_distance
from models.fitting.trials.held_out import own_magnitudes
from models.fitting.trials.ways_of_scoring import (
    BEHIND,
    HOLDS,
    Fold,
    Steps,
    later_blocks,
    try_smoothings,
)
from models.scoring.magnitudes.tail import fit_tail
from models.scoring.magnitudes.tail_kernel import CLIP

_LENGTH: Final = 100  # readings that a weak fault lasts, and that the slow magnitude remembers
#: Small steps only: either choice detects large ones.
_FAULTS: Final = Steps((0.5, 1.0, 2.0), (_LENGTH,), count=20, streams=5)
_SWIFTNESS: Final = 0.4  # the slow magnitude must beat a swift average with a half-life of 1.4
_UNITS: Final = 3  # fewest streams for holding some out
_LEAST: Final = 100  # fewest readings of a held-out stream


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Findings about a group's levels.

    Parameters
    ----------
    slow : whether to use the slow magnitude.
    steady : whether levels are steady, so that tails need hardly adapt.
    power : share of the readings in small lasting steps that alarm, without and with ``slow``.
    surplus : alarm rate on held-out readings in budgets, without and with ``slow``.
    """

    slow: bool
    steady: bool
    power: tuple[float, float]
    surplus: tuple[float, float]


def judge_steadiness(
    streams: Sequence[Floats], horizon: int, shrinkage: float, seed: int = 0
) -> Steadiness | None:
    """Try scoring with and without the slow magnitude on held-out readings.

    None if there is too little data.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in own units, varying features only.
    horizon, shrinkage : chosen by :mod:`models.fitting.trials.tolerance`.
    """
    folds = later_blocks(streams)
    if not folds:
        return None
    found = [_try(fold, horizon, shrinkage, [seed, k]) for k, fold in enumerate(folds)]
    power, surplus = np.mean(found, axis=0)
    long = [s for s in streams if len(s) >= _LEAST]
    if len(long) >= _UNITS:
        apart = [
            _try(fold, horizon, shrinkage, [seed, 9, k]) for k, fold in enumerate(_apart(long))
        ]
        surplus = np.maximum(surplus, np.mean(apart, axis=0)[1])
    able = [k for k in (0, 1) if surplus[k] <= HOLDS]
    more = int(power[1] >= power[0] + BEHIND)
    chosen = max(able, key=lambda k: power[k]) if able else more
    return Steadiness(
        chosen == 1, bool(surplus[chosen] <= HOLDS),
        (float(power[0]), float(power[1])), (float(surplus[0]), float(surplus[1])),
    )  # fmt: skip


def _apart(streams: list[Floats]) -> list[Fold]:
    """Return three folds, each holding out every third stream."""
    return [
        ([s for i, s in enumerate(streams) if i % _UNITS != k], streams[k::_UNITS])
        for k in range(_UNITS)
    ]


def _try(fold: Fold, horizon: int, shrinkage: float, seed: list[int]) -> list[Floats]:
    """Return power and surplus on a fold, each without and with the slow magnitude."""
    known, other = fold
    distance, spread = fit_distance(known, horizon, shrinkage)
    (own,) = own_magnitudes(
        known, [distance], lambda some: [fit_distance(some, horizon, shrinkage)[0]]
    )
    tail = fit_tail(own)

    def score(values: Floats) -> Floats:
        return tail.decades(distance(values))

    fast = [tail.decades(magnitudes) for magnitudes in own]
    swift = [ewma(f, f[0], _SWIFTNESS) for f in fast]
    median, shift, gain, _ = smoothing(fast, swift)

    def both(f: Floats) -> Floats:
        swift = ewma(f, median, _SWIFTNESS)
        slow = ewma(np.minimum(f, CLIP), median)
        return np.stack([swift, np.maximum(swift, shift + gain * slow)])

    faulty = _FAULTS.inject(other, spread, np.random.default_rng(seed))
    seen, surplus = try_smoothings(score, both, _LENGTH, fold, faulty, fast)
    return [np.mean([one.mean(axis=1) for one in seen], axis=0), surplus]
