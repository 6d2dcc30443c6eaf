"""Run all methods of the quality benchmark on one series: ours, its parts, and simple ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.measures import hotelling, largest_z
from benchmarks.report import OURS
from benchmarks.scored import Run, run_series
from models.arrays import Bools, Floats, Times
from models.scoring.magnitudes.tail import threshold_of
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy

#: Our ensemble with a fixed threshold: the quantile of its training magnitudes.
FIXED = "ours, fixed quantile"
PLAIN = {"Hotelling T^2": hotelling, "largest z": largest_z}


@dataclass(slots=True)
class Judged:
    """One series: our run, scores on the common scale, and magnitudes of the other methods."""

    run: Run
    scores: dict[str, Floats]
    magnitudes: dict[str, tuple[Floats, Floats]]  # method -> (of training, of the series)

    def alarms(self, budget: float) -> dict[str, Bools]:
        """Return each method's alarms at a budget; simple methods use their training quantile."""
        out: dict[str, Bools] = {m: s >= threshold_of(budget) for m, s in self.scores.items()}
        for method, (known, fresh) in self.magnitudes.items():
            out[method] = fresh > np.quantile(known, 1.0 - budget)
        return out


def judge(
    model_set: ModelSet,
    timestamps: Times,
    values: Floats,
    names: Sequence[str],
    train: Floats,
    *,
    asset: str = "A",
    fixed: bool = True,
) -> Judged:
    """Score (n, d) readings by every method; the simple ones are fitted on ``train`` (m, d)."""
    run = run_series(model_set, timestamps, values, names, asset=asset)
    scores = {OURS: run.score, **run.detectors}
    if fixed:
        still = run_series(model_set, timestamps, values, names, ScoringPolicy(adaptation=False))
        scores[FIXED] = still.score
    moving = train.std(axis=0) > 1e-9 * np.maximum(np.abs(train).max(axis=0), 1e-300)
    magnitudes = {m: f(train[:, moving], values[:, moving]) for m, f in PLAIN.items()}
    return Judged(run, scores, magnitudes)
