"""Choose how much drift to tolerate and how much to shrink the correlation, on the group's data.

A drift allowance widens the scale: ``sqrt(spread^2 + (drift * horizon)^2)``. It keeps false alarms
down where levels wander, and only hides faults where they do not. Each allowance of a ladder, 0
first, is therefore tried: scales and a threshold are fitted on the first blocks of each stream and
applied to the next block. Two figures are measured there: the alarm rate in multiples of the budget
(surplus), and the share of injected steps detected at a threshold that holds the budget on that
block (power). Among the allowances with a power close to the best, the smallest with a surplus
within HOLDS is chosen. If none holds, levels wander further than any of them allows for, and the
largest is chosen; the smallest if the surplus of the largest exceeds that of no allowance by more
than HOLDS. A cycle that the first blocks contain does not count as drift here, and an allowance
that is quiet only because it is blind has too little power to be chosen.

The shrinkage of the correlation is chosen in the same way, on smaller steps. Less shrinkage detects
faults that break a strong correlation, provided that the correlation persists. Shares below a
hundredth are taken only if they detect more by BEHIND and alarm hardly more. Where readings are
scarce (:func:`models.detectors.covariance.scarce`), correlations are mostly chance: there no
decorrelation, and very little, are tried too, and also on large steps, since small ones in a few of
many features are seldom detected by any.

The score is the distance of :mod:`models.fitting.trials.distance`, smoothed over a few readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import scarce
from models.fitting.calibration.calibrate import ewma
from models.fitting.scaling import LEAST_SHRINKAGE, SHRINKAGE
from models.fitting.trials.distance import Scoring, distance, fit_rows
from models.fitting.trials.held_out import own_magnitudes
from models.fitting.trials.ways_of_scoring import (
    BEHIND,
    HOLDS,
    WITHIN,
    Changed,
    Fold,
    Steps,
    later_blocks,
    try_smoothings,
)

#: Candidate horizons: readings over which training's drift is extrapolated.
LADDER: Final = (0, 50, 100, 200, 400, 800)
#: Candidate shares of the identity in the correlation, the largest first.
SHRINKAGES: Final = (SHRINKAGE, 0.03, LEAST_SHRINKAGE)
#: Smaller ones, for relations that are closer still; the largest first.
CLOSER: Final = (0.003, 0.001)
#: Larger ones where readings are scarce; 1 leaves no correlation.
STRONG: Final = (1.0, 0.3)
_LARGE: Final = Steps((3.0, 6.0), (WITHIN,), count=20, streams=5)
_SMALL: Final = Steps((0.5, 1.0, 2.0), (WITHIN,), count=20, streams=5)
OF_ALL_SIZES: Final = replace(_SMALL, sizes=(*_SMALL.sizes, *_LARGE.sizes))
_WEIGHT: Final = 1.0 - 0.5 ** (1.0 / 5.0)
_MEMORY: Final = 60  # readings that an average with this weight remembers


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of one allowance on later blocks.

    Parameters
    ----------
    horizon : readings over which drift is tolerated.
    power : share of injected steps detected, at a threshold that holds the budget on the block.
    surplus : alarm rate on the block at the earlier blocks' threshold, in budgets.
    """

    horizon: int
    power: float
    surplus: float


def choose_horizon(streams: Sequence[Floats], seed: int = 0) -> tuple[int, list[Trial]]:
    """Return the smallest allowance that keeps later alarms down without missing more faults.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in own units, varying features only.

    Returns
    -------
    (horizon, trials) : 0 and no trials if there is too little data to judge.
    """
    folds = later_blocks(streams)
    if not folds:
        return 0, []
    trials = _trials(folds, [(horizon, SHRINKAGE) for horizon in LADDER], _LARGE, seed)
    return _chosen(trials).horizon, trials


def choose_shrinkage(streams: Sequence[Floats], horizon: int, seed: int = 0) -> float:
    """Return the largest shrinkage of the correlation that misses no more faults.

    SHRINKAGES[0] if there is too little data. Stronger ones are tried where readings are scarce.

    Parameters
    ----------
    streams : list of (n_i, d)
    horizon
        Readings over which drift is tolerated.
    seed
        Seed of the injected faults.
    """
    folds = later_blocks(streams)
    if not folds:
        return SHRINKAGES[0]
    few = scarce(np.concatenate(streams))
    shares = (*STRONG, *SHRINKAGES) if few else SHRINKAGES
    steps = OF_ALL_SIZES if few else _SMALL
    ways = (*shares, *CLOSER)
    trials = _trials(folds, [(horizon, share) for share in ways], steps, seed)
    power = {way: trial.power for way, trial in zip(ways, trials, strict=True)}
    surplus = {way: trial.surplus for way, trial in zip(ways, trials, strict=True)}
    usual = _largest(shares, power)
    quiet = [share for share in CLOSER if surplus[share] <= surplus[usual] + HOLDS]
    sees_more = any(power[share] >= power[usual] + BEHIND for share in quiet)
    return _largest(quiet, power) if sees_more else usual


def _largest(shares: Sequence[float], power: Mapping[float, float]) -> float:
    """Return the largest share of the identity that costs hardly any power, of some shares."""
    least = max(power[share] for share in shares) - BEHIND / 2.0
    return max(share for share in shares if power[share] >= least)


def _chosen(trials: Sequence[Trial]) -> Trial:
    best = max(trial.power for trial in trials)
    able = [trial for trial in trials if trial.power >= best - BEHIND]
    # a wider scale also changes the weights of the features, and may bring out those that wander
    harms = able[-1].surplus > trials[0].surplus + HOLDS
    last = able[0] if harms else able[-1]
    return next((trial for trial in able if trial.surplus <= HOLDS), last)


def _trials(
    folds: list[Fold], ways: Sequence[tuple[int, float]], steps: Steps, seed: int
) -> list[Trial]:
    """Try each way (an allowance and a shrinkage) on the same steps in all folds."""
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
    """Return which steps each way detects on a fold, and its surplus there."""
    known, later = fold

    def fit(streams: list[Floats]) -> tuple[list[Scoring], Floats]:
        rows_of, spread = fit_rows(streams)
        return [distance(rows_of(*way)) for way in ways], spread

    scores, spread = fit(known)
    faulty = steps.inject(later, spread, rng)
    own = own_magnitudes(known, scores, lambda pieces: fit(pieces)[0])
    return [seen_by(*one, fold, faulty) for one in zip(scores, own, strict=True)]


def seen_by(
    score: Scoring, own: Sequence[Floats] | None, fold: Fold, faulty: Sequence[Changed]
) -> tuple[list[bool], float]:
    """Return which steps a score detects, and its alarm rate on held-out readings in budgets.

    Parameters
    ----------
    score
        Maps readings (n, d) to magnitudes (n,).
    own
        Magnitudes of the readings that the score was fitted on, as if they had been held out; None:
        those of the score.
    fold
        Readings that the score was fitted on, and held-out readings.
    faulty
        Steps injected into the held-out readings.
    """
    seen, surplus = try_smoothings(score, _smoothed, _MEMORY, fold, faulty, own)
    return [bool(one.any()) for one in seen], float(surplus[0])


def _smoothed(values: Floats) -> Floats:
    return ewma(values, np.median(values, axis=-1), _WEIGHT)[None]
