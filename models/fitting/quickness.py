"""How quickly a tail follows its stream, where the usual pace does not hold the budget.

A season goes further than what was fitted on. A tail that follows its stream quickly keeps up with
it, and may not need an allowance for drift, which hides faults. So the usual way is tried on
readings far from those fitted on (:mod:`models.fitting.following`), at the budget of criticality
medium. Where it alarms at more than HOLDS of it, by more than chance, quicker ones are tried, with
the allowance and without: of those that hold, the slowest with each, the one is taken that sees
more of what is injected. Where none holds, all stays as it is.

Far out the detectors part: the one-class SVM goes further than the distance that stands for them
elsewhere, so it is fitted here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats
from models.detectors.one_class_svm import OneClassSVM
from models.fitting.distance import Scoring, fit_rows
from models.fitting.following import MEDIUM, SURE, far_folds, try_far
from models.fitting.trials import HOLDS, Fold
from models.scoring.adaptation import AdaptationParams

#: Times the usual pace.
PACES: Final = (2.0, 4.0, 8.0)
_BUDGET: Final = float(10.0**MEDIUM)
_ROWS: Final = 1_000  # that the SVM is fitted on


@dataclass(frozen=True, slots=True)
class Basis:
    """What a way to score is fitted with: by :mod:`tolerance` and :mod:`steadiness`."""

    horizon: int
    shrinkage: float
    slow: bool


@dataclass(frozen=True, slots=True)
class Way:
    """A way to follow, and what came of it far from what was fitted on.

    Parameters
    ----------
    basis
        What is scored.
    times
        The pace, in usual ones.
    power
        Share of the readings of injected faults that alarm.
    alarms, readings
        Of the readings without them, how many alarm.
    """

    basis: Basis
    times: float
    power: float
    alarms: int
    readings: int

    @property
    def surplus(self) -> float:
        """Return the alarms on readings without faults, in budgets."""
        return self.alarms / (self.readings * _BUDGET)

    @property
    def fails(self) -> bool:
        """Return whether it alarms more than chance makes so of a way that holds the budget."""
        return self.surplus * (1.0 - SURE / math.sqrt(max(self.alarms, 1))) > HOLDS


def choose_pace(
    streams: Sequence[Floats], usual: Basis, bare: Callable[[], Basis] | None, seed: int = 0
) -> tuple[Way, Way] | None:
    """Choose a pace and an allowance; return what came of the usual way, and of the one chosen.

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
    first = _try(folds, usual, 1.0, seed)
    if not first.fails:
        return first, first
    able = []
    for basis in (usual,) if bare is None else (usual, bare()):
        for times in PACES if basis is usual else (1.0, *PACES):
            way = _try(folds, basis, times, seed)
            if way.surplus <= HOLDS:
                able.append(way)
                break
    return first, max(able, key=lambda way: way.power, default=first)


def _try(folds: Sequence[Fold], basis: Basis, times: float, seed: int) -> Way:
    how = [AdaptationParams(times * AdaptationParams().rate)]
    alarms, readings, shares = 0, 0, []
    for k, fold in enumerate(folds):
        score, spread = _fit_svm(fold[0], basis, seed)
        seen, counts, n = try_far(fold, (score, spread), how, basis.slow, [seed, 6, k], MEDIUM)
        shares.append(seen[0])
        alarms, readings = alarms + counts[0], readings + n
    power = float(np.mean(np.concatenate(shares)))
    return Way(basis, times, power, alarms, readings)


def _fit_svm(known: list[Floats], basis: Basis, seed: int) -> tuple[Scoring, Floats]:
    rows_of, spread = fit_rows(known)
    rows = rows_of(basis.horizon, basis.shrinkage)
    detector = OneClassSVM(seed=seed, max_rows=_ROWS).fit([rows(s) for s in known])
    return (lambda values: detector.score(rows(values))), spread
