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

What is scored here is the squared distance of the decorrelated row, smoothed over a few readings,
and not the detectors: they see the same rows, and this costs a hundredth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.fitting.injection import Fault, steps, with_step
from models.fitting.scaling import (
    SHRINKAGE,
    decorrelation,
    drift_per_reading,
    robust_spread,
    step_correlation,
)

Floats = NDArray[np.float64]

#: Readings over which drift seen in training is carried on.
LADDER: Final = (0, 50, 100, 200, 400, 800)
#: Share of the faults seen that an allowance may fall behind the best and still be taken.
BEHIND: Final = 0.1
#: Alarm rate on later readings, in budgets, that is as good as the budget: blocks differ.
HOLDS: Final = 3.0
#: Alarms per reading that are judged by: rarer ones could not be counted in a block.
BUDGET: Final = 1e-2
_BLOCKS: Final = 5
_SIZES: Final = (3.0, 6.0)
#: Shares of the identity in the correlation, and the steps that distinguish them.
SHRINKAGES: Final = (0.1, 0.03, 0.01)
SMALL: Final = (0.5, 1.0, 2.0)
_STREAMS: Final = 5  # streams that steps are injected into
_STEPS: Final = 20  # injected of each size in each block
_SEEN: Final = 30  # readings within which a fault is to be seen
_WEIGHT: Final = 1.0 - 0.5 ** (1.0 / 5.0)
_FURTHEST: Final = 1e6  # scales; as in preprocessing
_LEAST: Final = 40  # readings a block needs
_MOST: Final = 5_000  # ... and is cut down to


#: What turns readings (n, d) into rows (n, d) or magnitudes (n,).
Scoring = Callable[[Floats], Floats]
#: (streams to fit on, streams to try it on)
Fold = tuple[list[Floats], list[Floats]]
#: faults in a stream, each with the readings (k, d) that it changes
Steps = list[tuple[Fault, Floats]]


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
    trials = _trials(folds, [(horizon, SHRINKAGE) for horizon in LADDER], _SIZES, seed)
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


def later_blocks(streams: Sequence[Floats]) -> list[Fold]:
    """(earlier, next block) of all streams that are long enough, for each block but the first."""
    out = []
    long = [s for s in streams if len(s) >= _BLOCKS * _LEAST]
    for b in range(1, _BLOCKS):
        earlier, later = [], []
        for stream in long:
            edges = np.linspace(0, len(stream), _BLOCKS + 1).astype(int)
            earlier.append(stream[: edges[b]])
            later.append(stream[edges[b] : edges[b + 1]][:_MOST])
        if later:
            out.append((earlier, later))
    return out


def _trials(
    folds: list[Fold], ways: Sequence[tuple[int, float]], sizes: Sequence[float], seed: int
) -> list[Trial]:
    """Try each way, an allowance and a shrinkage, on the same steps of ``sizes`` in all folds."""
    found = [
        _on_fold(fold, ways, sizes, np.random.default_rng([seed, number]))
        for number, fold in enumerate(folds)
    ]
    out = []
    for (horizon, _), results in zip(ways, zip(*found, strict=True), strict=True):
        seen = [one for result in results for one in result[0]]
        out.append(Trial(horizon, float(np.mean(seen)), float(np.mean([r[1] for r in results]))))
    return out


def _on_fold(
    fold: Fold,
    ways: Sequence[tuple[int, float]],
    sizes: Sequence[float],
    rng: np.random.Generator,
) -> list[tuple[list[bool], float]]:
    """Which steps each way sees on a fold, and its surplus there."""
    fit, spread = _learn_rows(fold[0])
    faulty = with_steps(fold[1], sizes, spread, rng)
    return [seen_by(_distance(fit(*way)), fold, faulty) for way in ways]


def with_steps(
    streams: list[Floats], sizes: Sequence[float], spread: Floats, rng: np.random.Generator
) -> list[Steps]:
    """Return steps of each size in the first streams, and the readings that they change.

    Parameters
    ----------
    streams : list of (n_i, d)
    sizes
        Of the steps, in ``spread``.
    spread : (d,)
    rng
    """
    out = []
    for stream in streams[:_STREAMS]:
        faults = list(steps(len(stream), stream.shape[1], sizes, _STEPS, _SEEN, rng))
        out.append([(fault, with_step(stream, fault, spread, rng)) for fault in faults])
    return out


def seen_by(score: Scoring, fold: Fold, faulty: list[Steps]) -> tuple[list[bool], float]:
    """Return which steps a score sees, and its alarm rate on the later readings, in budgets.

    Parameters
    ----------
    score
        Of readings (n, d), (n,).
    fold
        Readings that it was fitted on, and those to try it on.
    faulty
        Steps in the latter, by :func:`with_steps`.
    """
    known = np.concatenate([_smoothed(score(s)) for s in fold[0]])
    raw = [score(s) for s in fold[1]]
    smooth = [_smoothed(values) for values in raw]
    usual = float(np.quantile(known, 1.0 - BUDGET))
    line = float(np.quantile(np.concatenate(smooth), 1.0 - BUDGET))
    surplus = float(np.mean(np.concatenate(smooth) > usual)) / BUDGET
    seen = []
    for own, before, changed in zip(raw, smooth, faulty, strict=False):
        for fault, part in changed:
            risen = _smoothed(np.concatenate([own[: fault.start][-60:], score(part)]))
            usually = np.maximum(before[fault.start : fault.end], line)
            seen.append(bool((risen[-len(part) :] > usually).any()))
    return seen, surplus


def fit_rows(streams: list[Floats], horizon: int, shrinkage: float) -> tuple[Scoring, Floats]:
    """Return what turns readings (n, d) into decorrelated rows; and each feature's spread (d,).

    Parameters
    ----------
    streams : list of (n_i, d)
    horizon
        Readings that drift is tolerated for: widens the scales.
    shrinkage
        Share of the identity in the correlation.
    """
    fit, spread = _learn_rows(streams)
    return fit(horizon, shrinkage), spread


def _learn_rows(streams: list[Floats]) -> tuple[Callable[[int, float], Scoring], Floats]:
    """Return :func:`fit_rows` by horizon and shrinkage: what both leave alone is learnt once."""
    pooled = np.concatenate(streams)
    spread = robust_spread(pooled)
    # a feature may stand still in all blocks but those it is tried on
    spread = np.maximum(spread, 1e-3 * pooled.std(axis=0) + 1e-12)
    centre = np.median(pooled, axis=0)
    drift = drift_per_reading(streams)
    together = step_correlation(streams)

    def fit(horizon: int, shrinkage: float) -> Scoring:
        scale = np.hypot(spread, drift * horizon)
        scaled = np.concatenate([(s - centre) / scale for s in streams])
        mix = decorrelation(scaled, spread / scale, together, shrinkage)

        def rows(values: Floats) -> Floats:
            out: Floats = np.clip((values - centre) / scale, -_FURTHEST, _FURTHEST)
            return out if mix is None else out @ mix

        return rows

    return fit, spread


def fit_distance(streams: list[Floats], horizon: int, shrinkage: float) -> tuple[Scoring, Floats]:
    """Squared distance of decorrelated readings, as a logarithm; and each feature's spread (d,).

    Parameters
    ----------
    streams, horizon, shrinkage
        As of :func:`fit_rows`.
    """
    rows, spread = fit_rows(streams, horizon, shrinkage)
    return _distance(rows), spread


def _distance(rows: Scoring) -> Scoring:
    def score(values: Floats) -> Floats:
        out: Floats = np.log1p((rows(values) ** 2).mean(axis=1))
        return out

    return score


def _smoothed(values: Floats) -> Floats:
    from scipy.signal import lfilter

    start = [(1.0 - _WEIGHT) * float(np.median(values))]
    out: Floats = lfilter([_WEIGHT], [1.0, _WEIGHT - 1.0], values, zi=start)[0]
    return out
