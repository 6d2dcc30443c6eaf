"""Decide whether features that nearly always rest are scored by frequency instead of distance.

A command, a counter of rare events or a switch keeps one value in nearly all readings. Measured in
its own standard deviations, each move is far: ten of them if it moves in one reading of a hundred.
Such moves are part of normal operation, so they raise the distance at which anything is an alarm,
and hide deviations of all other features. Their frequency shows how unusual they are
(:mod:`models.scoring.features.standing`), and leaves the distance to the others. Where moves are
the faults, the distance shows more: how far they go.

Both ways are therefore tried on later blocks, as in :mod:`models.fitting.trials.tolerance`, with
steps injected into the other features. Frequency is used where it shows clearly more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.scaling import SHRINKAGE
from models.fitting.trials.distance import fit_distance
from models.fitting.trials.tolerance import seen_by
from models.fitting.trials.ways_of_scoring import BEHIND, WITHIN, Changed, Fold, Steps, later_blocks

#: Least share of the readings that have the usual value.
RESTS: Final = 0.95
_STEPS: Final = Steps((3.0, 6.0), (1, 5, WITHIN), count=10, streams=5)


@dataclass(frozen=True, slots=True)
class Resting:
    """Features that nearly always rest, and how many steps in the others are detected.

    Parameters
    ----------
    columns : indices of the features.
    by_distance, by_frequency : share of injected steps detected.
    """

    columns: tuple[int, ...]
    by_distance: float
    by_frequency: float

    @property
    def counted(self) -> bool:
        """Whether they are scored by frequency."""
        return self.by_frequency >= self.by_distance + BEHIND / 2.0


def judge_resting(streams: Sequence[Floats], seed: int = 0) -> Resting | None:
    """Try both ways; None if no feature rests, if all do, or if there is too little data.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in own units, varying features only.
    seed
        Seed of the injected faults.
    """
    rests = _rests(np.concatenate(streams))
    folds = later_blocks(streams) if rests.any() and not rests.all() else []
    if not folds:
        return None
    seen = [
        one
        for number, fold in enumerate(folds)
        for one in _on_fold(fold, ~rests, np.random.default_rng([seed, number]))
    ]
    by_distance, by_frequency = np.mean(seen, axis=0).tolist()
    return Resting(tuple(np.flatnonzero(rests).tolist()), by_distance, by_frequency)


def _rests(pooled: Floats) -> Bools:
    out: Bools = (pooled == np.median(pooled, axis=0)).mean(axis=0) >= RESTS
    return out


def _on_fold(fold: Fold, others: Bools, rng: np.random.Generator) -> list[tuple[bool, bool]]:
    """Return for each step whether it is detected beside the resting features, and without."""
    without: Fold = ([s[:, others] for s in fold[0]], [s[:, others] for s in fold[1]])
    score, spread = fit_distance(without[0], 0, SHRINKAGE)
    faulty = _STEPS.inject(without[1], spread, rng)
    alone, _ = seen_by(score, None, without, faulty)
    score, _ = fit_distance(fold[0], 0, SHRINKAGE)
    beside, _ = seen_by(
        score, None, fold, [_whole(*one, others) for one in zip(fold[1], faulty, strict=False)]
    )
    return list(zip(beside, alone, strict=True))


def _whole(stream: Floats, changed: Changed, others: Bools) -> Changed:
    """Return changed readings with the resting features, too: (k, d) each."""
    out = []
    for fault, part in changed:
        rows = stream[fault.start : fault.end].copy()
        rows[:, others] = part
        out.append((fault, rows))
    return out
