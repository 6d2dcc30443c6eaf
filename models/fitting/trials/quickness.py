"""Choose how fast a tail adapts, where the usual pace does not hold the budget.

A season may take levels beyond the training data. A tail that adapts quickly keeps up with it, and
may need no drift allowance, which hides faults. The usual pace is tried on readings far from the
fitted ones (:mod:`models.fitting.trials.following`), at the budget of criticality medium. If its
alarm rate is significantly above HOLDS budgets, faster paces are tried, with and without the
allowance. Of the slowest pace that holds with each, the one that detects more of the injected
faults is chosen. If none holds, the usual pace and allowance stay.

Adaptation by the stretch demands that a fault be larger by the factor by which the stream's scatter
grew, up to 6. Adaptation by the offset only moves the level, so the same distance from it still
alarms. With the chosen allowance, the paces are therefore also tried with more adaptation by the
offset. Of those that do not fail, and detect as many faults in time within the standard error, the
one with the fewest alarms is chosen.

Far from the training data the detectors diverge: the one-class SVM's magnitude grows beyond the
distance that stands in for the detectors elsewhere. The SVM itself is therefore fitted here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.detectors.one_class_svm import OneClassSVM
from models.fitting.trials.distance import fit_rows
from models.fitting.trials.following import MEDIUM, SURE, Tried, far_folds, far_trial
from models.fitting.trials.ways_of_scoring import HOLDS, WITHIN, Fold
from models.scoring.magnitudes.adaptation import AdaptationParams

#: Candidate paces, as multiples of the usual one.
PACES: Final = (1.0, 2.0, 4.0, 8.0)
USUAL: Final = AdaptationParams()
#: Adaptation less by the stretch and more by the offset.
BY_OFFSET: Final = replace(USUAL, pace=4.0 * USUAL.pace, max_stretch=0.5 * USUAL.max_stretch)
_BUDGET: Final = float(10.0**MEDIUM)
_ROWS: Final = 1_000  # rows to fit the SVM on, at most

#: Tries adaptation parameters on one fold.
_Trial = Callable[[AdaptationParams], Tried]


@dataclass(frozen=True, slots=True)
class Basis:
    """Options of the score, chosen by :mod:`tolerance` and :mod:`steadiness`."""

    horizon: int
    shrinkage: float
    slow: bool


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A way to adapt, and its results on readings far from the fitted ones.

    Parameters
    ----------
    basis
        Options of the score.
    how
        Parameters of the adaptive tail.
    power
        Detected share of the injected faults' readings.
    seen
        Which of the faults (n,) are detected in time.
    alarms, readings
        Number of alarms on fault-free readings, and of these readings.
    """

    basis: Basis
    how: AdaptationParams
    power: float
    seen: Bools
    alarms: int
    readings: int

    @property
    def surplus(self) -> float:
        """Return the alarm rate on fault-free readings, in budgets."""
        return self.alarms / (self.readings * _BUDGET)

    @property
    def holds(self) -> bool:
        """Return whether the alarm rate is at most HOLDS budgets."""
        return self.surplus <= HOLDS

    @property
    def fails(self) -> bool:
        """Return whether the alarm rate is significantly above HOLDS budgets."""
        return self.surplus * (1.0 - SURE / math.sqrt(max(self.alarms, 1))) > HOLDS

    def sees_as_many(self, other: Way) -> bool:
        """Return whether it detects as many faults as another way, within the standard error."""
        behind = other.seen.astype(float) - self.seen
        return bool(behind.mean() <= SURE * behind.std() / math.sqrt(len(behind)))


def choose_pace(
    streams: Sequence[Floats], usual: Basis, bare: Callable[[], Basis] | None, seed: int = 0
) -> tuple[Way, Way] | None:
    """Choose a way to adapt and a drift allowance; return the results of the usual and chosen way.

    None if there is too little data.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in own units, varying features only.
    usual
        Options of the score with the drift allowance chosen before.
    bare
        Returns the options without a drift allowance; None if there is none, or the user set it.
    seed
        Seed of faults and detectors.
    """
    folds = far_folds(streams)
    if not folds:
        return None

    def trial(basis: Basis) -> Callable[[AdaptationParams], Way]:
        each = [_far_trial(fold, basis, seed, k) for k, fold in enumerate(folds)]
        return cache(lambda how: _try(each, basis, how))  # the usual pace is needed twice

    trials = {usual: trial(usual)}
    first = trials[usual](USUAL)
    if not first.fails:
        return first, first
    if bare is not None:
        basis = bare()
        trials[basis] = trial(basis)
    slowest = (
        next((w for w in map(one, _paces(USUAL)) if w.holds), None) for one in trials.values()
    )
    able = [way for way in slowest if way is not None]
    if not able:
        return first, first
    best = max(able, key=lambda way: way.power)
    return first, _by_offset(best, list(map(trials[best.basis], _paces(BY_OFFSET))))


def _paces(how: AdaptationParams) -> list[AdaptationParams]:
    return [replace(how, rate=times * how.rate) for times in PACES]


def _by_offset(usual: Way, others: Sequence[Way]) -> Way:
    """Return the calmest way by the offset that holds and sees as much; else the usual way."""
    able = [way for way in others if not way.fails and way.sees_as_many(usual)]
    return min(able, key=lambda way: way.alarms, default=usual)


def _try(trials: Sequence[_Trial], basis: Basis, how: AdaptationParams) -> Way:
    alarms, readings = 0, 0
    faults: list[Bools] = []
    for trial in trials:
        found, count, n = trial(how)
        faults += found
        alarms, readings = alarms + count, readings + n
    seen = np.array([one[:WITHIN].any() for one in faults])
    return Way(basis, how, float(np.mean([one.mean() for one in faults])), seen, alarms, readings)


def _far_trial(fold: Fold, basis: Basis, seed: int, k: int) -> _Trial:
    known, _ = fold
    rows_of, spread = fit_rows(known)
    rows = rows_of(basis.horizon, basis.shrinkage)
    detector = OneClassSVM(seed=seed, max_rows=_ROWS).fit([rows(s) for s in known])
    fitted = (lambda values: detector.score(rows(values))), spread
    return far_trial(fold, fitted, basis.slow, [seed, 6, k], MEDIUM)
