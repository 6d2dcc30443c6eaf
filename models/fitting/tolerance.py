"""How much drift is tolerated: decided on the group's own data, by what it costs and brings.

An allowance for drift widens the scale: ``sqrt(spread^2 + (drift * horizon)^2)``. Where levels
wander it keeps the alarms of normal operation down; where they do not, it hides faults for
nothing. So two things are measured for each allowance of a ladder, of which none is the first:
scales and a threshold are fitted on the first blocks of each stream, and the block after them is
scored as it is (its alarm rate, in multiples of the budget) and with steps injected into it (the
share that is seen by a threshold that holds the budget THERE). Of the allowances that see about as
much as the best one, the smallest is taken whose later alarms are within HOLDS budgets. Where
none is, levels wander further than any of them allows for, and the largest is taken. A cycle that
the earlier blocks held is no drift by this measure, and an allowance that keeps quiet by being
blind is not taken.

How much the correlation is shrunk before features are decorrelated is decided the same way, on
smaller steps: less shrinkage sees what breaks a close likeness, as long as the likeness lasts.

What is scored is the distance of :mod:`models.fitting.distance`, smoothed over a few readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.calibrate import ewma
from models.fitting.distance import Scoring, distance, fit_rows
from models.fitting.scaling import SHRINKAGE
from models.fitting.trials import (
    BEHIND,
    HOLDS,
    WITHIN,
    Changed,
    Fold,
    Steps,
    later_blocks,
    try_smoothings,
)

#: Readings over which drift seen in training is carried on.
LADDER: Final = (0, 50, 100, 200, 400, 800)
#: Shares of the identity in the correlation, and the steps that distinguish them.
SHRINKAGES: Final = (0.1, 0.03, 0.01)
_LARGE: Final = Steps((3.0, 6.0), (WITHIN,), count=20, streams=5)
SMALL: Final = Steps((0.5, 1.0, 2.0), (WITHIN,), count=20, streams=5)
_WEIGHT: Final = 1.0 - 0.5 ** (1.0 / 5.0)
_MEMORY: Final = 60  # readings that an average of this weight remembers


@dataclass(frozen=True, slots=True)
class Trial:
    """What one allowance comes to on later blocks.

    Parameters
    ----------
    horizon : readings over which drift is carried on.
    power : share of the injected steps seen, at a threshold that holds the budget on the block.
    surplus : alarm rate on the block at the earlier blocks' threshold, in budgets.
    """

    horizon: int
    power: float
    surplus: float


def choose_horizon(streams: Sequence[Floats], seed: int = 0) -> tuple[int, list[Trial]]:
    """Return the smallest allowance that keeps later alarms down without costing faults.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in their own units, features that vary only.

    Returns
    -------
    (horizon, trials) : 0 and no trials where there is too little data to judge.
    """
    folds = later_blocks(streams)
    if not folds:
        return 0, []
    trials = _trials(folds, [(horizon, SHRINKAGE) for horizon in LADDER], _LARGE, seed)
    return _chosen(trials).horizon, trials


def choose_shrinkage(streams: Sequence[Floats], horizon: int, seed: int = 0) -> float:
    """Return the largest shrinkage of the correlation that costs no faults.

    The first if unknown.

    Parameters
    ----------
    streams : list of (n_i, d)
    horizon
        Readings that tolerated drift is carried on for.
    seed
        Of the faults injected.
    """
    folds = later_blocks(streams)
    if not folds:
        return SHRINKAGES[0]
    trials = _trials(folds, [(horizon, s) for s in SHRINKAGES], SMALL, seed)
    best = max(trial.power for trial in trials)
    return next(
        s for s, t in zip(SHRINKAGES, trials, strict=True) if t.power >= best - BEHIND / 2.0
    )


def _chosen(trials: Sequence[Trial]) -> Trial:
    best = max(trial.power for trial in trials)
    able = [trial for trial in trials if trial.power >= best - BEHIND]
    return next((trial for trial in able if trial.surplus <= HOLDS), able[-1])


def _trials(
    folds: list[Fold], ways: Sequence[tuple[int, float]], steps: Steps, seed: int
) -> list[Trial]:
    """Try each way, an allowance and a shrinkage, on the same steps in all folds."""
    found = [
        _on_fold(fold, ways, steps, np.random.default_rng([seed, number]))
        for number, fold in enumerate(folds)
    ]
    out = []
    for (horizon, _), results in zip(ways, zip(*found, strict=True), strict=True):
        seen = [one for result in results for one in result[0]]
        out.append(Trial(horizon, float(np.mean(seen)), float(np.mean([r[1] for r in results]))))
    return out


def _on_fold(
    fold: Fold, ways: Sequence[tuple[int, float]], steps: Steps, rng: np.random.Generator
) -> list[tuple[list[bool], float]]:
    """Which steps each way sees on a fold, and its surplus there."""
    rows_of, spread = fit_rows(fold[0])
    faulty = steps.inject(fold[1], spread, rng)
    return [seen_by(distance(rows_of(*way)), fold, faulty) for way in ways]


def seen_by(score: Scoring, fold: Fold, faulty: Sequence[Changed]) -> tuple[list[bool], float]:
    """Return which steps a score sees, and its alarm rate on the later readings, in budgets.

    Parameters
    ----------
    score
        Of readings (n, d), (n,).
    fold
        Readings that it was fitted on, and those to try it on.
    faulty
        Steps in the latter.
    """
    seen, surplus = try_smoothings(score, _smoothed, _MEMORY, fold, faulty)
    return [bool(one.any()) for one in seen], float(surplus[0])


def _smoothed(values: Floats) -> Floats:
    return ewma(values, float(np.median(values)), _WEIGHT)[None]
