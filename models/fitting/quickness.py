"""How a tail follows its stream where the usual way does not hold the budget.

A season goes further than what was fitted on. A tail that follows its stream quickly keeps up with
it, and may not need an allowance for drift, which hides faults. So the usual way is tried on
readings far from those fitted on (:mod:`models.fitting.following`), at the budget of criticality
medium. Where it alarms at more than HOLDS of it, by more than chance, quicker ones are tried, with
the allowance and without: of those that hold, the slowest with each, the one is taken whose alarms
show more of what is injected. Where none holds, all stays as it is.

By the stretch it asks of a fault to go further by as many times as the stream scatters more, six
times at most; by the offset to go as far as ever from where the stream is. So with the allowance
chosen the same paces are tried with more of the following done by the offset. Of those that hold
the one is taken that sees most faults within the time in which a fault is to be seen; of those that
see as many, but for chance, the one that alarms least.

Far out the detectors part: the one-class SVM goes further than the distance that stands for them
elsewhere, so it is fitted here.
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
from models.fitting.distance import fit_rows
from models.fitting.following import MEDIUM, SURE, Tried, far_folds, far_trial
from models.fitting.trials import HOLDS, WITHIN, Fold
from models.scoring.adaptation import AdaptationParams

#: Times the usual pace.
PACES: Final = (1.0, 2.0, 4.0, 8.0)
USUAL: Final = AdaptationParams()
#: Less by the stretch, more by the offset.
BY_OFFSET: Final = replace(USUAL, pace=4.0 * USUAL.pace, max_stretch=0.5 * USUAL.max_stretch)
_BUDGET: Final = float(10.0**MEDIUM)
_ROWS: Final = 1_000  # that the SVM is fitted on

#: What tries a way on one fold.
_Trial = Callable[[AdaptationParams], Tried]


@dataclass(frozen=True, slots=True)
class Basis:
    """What a way to score is fitted with: by :mod:`tolerance` and :mod:`steadiness`."""

    horizon: int
    shrinkage: float
    slow: bool


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A way to follow, and what came of it far from what was fitted on.

    Parameters
    ----------
    basis
        What is scored.
    how
        Parameters of the tail.
    power
        Share of the readings of injected faults that alarm.
    seen
        Which of these faults (n,) alarm in time.
    alarms, readings
        Of the readings without them, how many alarm.
    """

    basis: Basis
    how: AdaptationParams
    power: float
    seen: Bools
    alarms: int
    readings: int

    @property
    def surplus(self) -> float:
        """Return the alarms on readings without faults, in budgets."""
        return self.alarms / (self.readings * _BUDGET)

    @property
    def holds(self) -> bool:
        """Return whether it alarms no more than what is as good as the budget."""
        return self.surplus <= HOLDS

    @property
    def fails(self) -> bool:
        """Return whether it alarms more than chance makes so of a way that holds the budget."""
        return self.surplus * (1.0 - SURE / math.sqrt(max(self.alarms, 1))) > HOLDS

    def sees_as_many(self, other: Way) -> bool:
        """Return whether it sees as many faults as another, but for chance."""
        behind = other.seen.astype(float) - self.seen
        return bool(behind.mean() <= SURE * behind.std() / math.sqrt(len(behind)))


def choose_pace(
    streams: Sequence[Floats], usual: Basis, bare: Callable[[], Basis] | None, seed: int = 0
) -> tuple[Way, Way] | None:
    """Choose how to follow, and an allowance; return what came of the usual way and of the chosen.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in their own units, features that vary only.
    usual
        As decided without following.
    bare
        Decides the same without an allowance for drift; None: there is none, or it was asked for.
    seed
        Of faults and detectors.
    """
    folds = far_folds(streams)
    if not folds:
        return None

    def trial(basis: Basis) -> Callable[[AdaptationParams], Way]:
        each = [_far_trial(fold, basis, seed, k) for k, fold in enumerate(folds)]
        return cache(lambda how: _try(each, basis, how))  # the usual pace is asked for twice

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
    return first, _least_alarming([best, *map(trials[best.basis], _paces(BY_OFFSET))])


def _paces(how: AdaptationParams) -> list[AdaptationParams]:
    return [replace(how, rate=times * how.rate) for times in PACES]


def _least_alarming(ways: Sequence[Way]) -> Way:
    """Return, of the ways that hold and see as many faults as any, the one that alarms least."""
    able = [way for way in ways if way.holds]
    best = max(able, key=lambda way: int(way.seen.sum()))
    return min((way for way in able if way.sees_as_many(best)), key=lambda way: way.alarms)


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
