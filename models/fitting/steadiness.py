"""Whether the levels of a group hold: what its tails may follow, and what is smoothed.

A tail that follows its stream keeps the alarms of wandering levels down, and a magnitude smoothed
over some twenty readings sees weak faults that last. Where levels hold both only cost: what a tail
follows is partly faults, and the smoothed magnitude rings on after what was brief. So both are
tried on readings other than those fitted on: each stream's later blocks, and, where there are
several streams, streams held out. A choice holds if it alarms there at no more than HOLDS budgets;
of those that hold the one is taken that sees more of small steps. Where none holds, the smoothed
magnitude, which alarms more, is taken if it sees more by BEHIND.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import RobustCovariance
from models.detectors.forecast import fit_forecast, forecast
from models.fitting.calibrate import ewma, smoothing
from models.fitting.distance import fit_distance, fit_rows
from models.fitting.trials import BEHIND, BUDGET, HOLDS, Fold, Steps, later_blocks, try_smoothings
from models.scoring.adaptation import CLIP
from models.scoring.tail import fit_tail

_LENGTH: Final = 100  # readings a weak fault lasts, and the smoothed magnitude remembers
#: What a large step brings out says nothing.
_FAULTS: Final = Steps((0.5, 1.0, 2.0), (_LENGTH,), count=20, streams=5)
_SWIFTNESS: Final = 0.4  # the slow magnitude is to see more than an average over some 1.4 readings
_CLIP: Final = 10.0  # as the detector's
_UNITS: Final = 3  # streams from which on some are held out
_LEAST: Final = 100  # readings a held-out stream needs


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What was found about a group's levels.

    Parameters
    ----------
    slow : whether the smoothed magnitude has a say.
    steady : whether levels hold, so that tails need hardly follow.
    power : share of the readings of small lasting steps that alarm, without and with it.
    surplus : alarm rate on other readings in budgets, without and with it.
    """

    slow: bool
    steady: bool
    power: tuple[float, float]
    surplus: tuple[float, float]


def judge_steadiness(
    streams: Sequence[Floats], horizon: int, shrinkage: float, seed: int = 0
) -> Steadiness | None:
    """Try both smoothings on readings not fitted on; None where there is too little data.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in their own units, features that vary only.
    horizon, shrinkage : as decided by :mod:`models.fitting.tolerance`.
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


def forecast_surplus(streams: Sequence[Floats], shrinkage: float, lags: int) -> float | None:
    """Alarm rate, in budgets, of a forecast's errors on later blocks; None with too little data.

    Far above one where what follows a reading is not what followed it before: the forecast then
    knows its training data and nothing else.

    Parameters
    ----------
    streams : list of (n_i, d)
    shrinkage
        Of the correlation, see :func:`models.fitting.distance.fit_rows`.
    lags
        Readings that a forecast looks back.
    """
    folds = later_blocks(streams)
    if not folds:
        return None
    found = []
    for known, later in folds:
        rows_of = fit_rows(known)[0](0, shrinkage)
        rows = [rows_of(s) for s in known]
        weights = fit_forecast(rows, lags, _CLIP)
        errors = [_errors(r, weights) for r in rows]
        pooled = np.concatenate(errors)
        normal = RobustCovariance.of(pooled, np.zeros(pooled.shape[1]), centred=True)
        line = np.quantile((normal.whiten(pooled) ** 2).sum(axis=1), 1.0 - BUDGET)
        fresh = np.concatenate([_errors(rows_of(s), weights) for s in later])
        found.append(float(np.mean((normal.whiten(fresh) ** 2).sum(axis=1) > line)) / BUDGET)
    return float(np.mean(found))


def _errors(rows: Floats, weights: Floats) -> Floats:
    lags = len(weights)
    out: Floats = rows[lags:] - forecast(rows, np.arange(lags, len(rows)), weights)
    return out


def _apart(streams: list[Floats]) -> list[Fold]:
    """Set some streams against the others, each once at most; three ways."""
    return [
        ([s for i, s in enumerate(streams) if i % _UNITS != k], streams[k::_UNITS])
        for k in range(_UNITS)
    ]


def _try(fold: Fold, horizon: int, shrinkage: float, seed: list[int]) -> list[Floats]:
    """Power and surplus, each without and with the smoothed magnitude."""
    known, other = fold
    distance, spread = fit_distance(known, horizon, shrinkage)
    tail = fit_tail([distance(s) for s in known])

    def score(values: Floats) -> Floats:
        return tail.decades(distance(values))

    fast = [score(s) for s in known]
    swift = [ewma(f, f[0], _SWIFTNESS) for f in fast]
    median, shift, gain, _ = smoothing(fast, swift)

    def both(f: Floats) -> Floats:
        swift = ewma(f, median, _SWIFTNESS)
        slow = ewma(np.minimum(f, CLIP), median)
        return np.stack([swift, np.maximum(swift, shift + gain * slow)])

    faulty = _FAULTS.inject(other, spread, np.random.default_rng(seed))
    seen, surplus = try_smoothings(score, both, _LENGTH, fold, faulty)
    return [np.mean([one.mean(axis=1) for one in seen], axis=0), surplus]
