"""Measure the detection power of a model set: the share of injected faults that alarm.

A model set that never alarms keeps every budget. Each training therefore injects faults of several
kinds and sizes into held-out normal readings, one feature at a time, and scores them through the
service's code. A fault is detected at a budget if, within SEEN readings of its start, a reading
reaches the budget's threshold that would not reach it without the fault. Sizes are in robust
standard deviations of the feature within the stream. A feature is *not watched* if less than half
of its 6-sd steps are detected at criticality medium. A feature that stood still in training has no
deviation, so it is moved by a tenth of its value instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np

from models.detectors.base import Progress
from models.scoring.stored import Stored
from training.evaluation.measures import Scored
from training.fitting.injection_trials import MOVES, SEEN, TRIALS, WATCH, Experiment, trial_name
from training.fitting.stream_scores import HeldOut, InjectionPoint, score_streams

#: Injected faults per kind, size and feature.
INJECTIONS: Final = 20
#: Minimum share of WATCH that is detected of a watched feature.
HALF: Final = 0.5
#: A feature is lost if its share of detected faults falls below a half, and by at least this much:
#: two counts out of 20 differ by two or three by chance.
LOST: Final = 0.2
#: Maximum number of features with all trials; to save time, the others only have WATCH.
MAX_FEATURES: Final = 64
_CANDIDATES = 3 * INJECTIONS  # points recorded, of which the calmest are used
_MAX_STARTS = 10_000  # possible starts per stream, at most


@dataclass(slots=True)
class Power(Stored):
    """Detection power by feature and fault.

    Parameters
    ----------
    budgets : names of the budgets, in the order of the shares.
    shares : by feature and trial (:func:`trial_name`), the share detected at each budget.
    injected : injected faults per feature and trial.
    not_used : features that no detector uses.
    still : features that stood still in the held-out readings, so they were not measured.
    lost : features that the model set that serves does not watch, although the one measured does,
        with the likely cause (:mod:`training.fitting.serving_check`).
    """

    KEYS: ClassVar = ("budgets", "shares", "injected", "not_used", "still", "lost")

    budgets: list[str] = field(default_factory=lambda: ["medium"])
    shares: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    injected: int = 0
    not_used: list[str] = field(default_factory=list)
    still: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)

    def watch(self, feature: str) -> float:
        """Return the share, at criticality medium, that decides whether a feature is watched."""
        share = self.share(feature, WATCH)
        return self.share(feature, MOVES) if math.isnan(share) else share

    def share(self, feature: str, trial: tuple[str, float], budget: str = "medium") -> float:
        """Return the share detected; NaN if it was not measured.

        Parameters
        ----------
        feature
            Name of the feature.
        trial : (kind, size)
            Kind of fault and its size in standard deviations, see TRIALS.
        budget
            A criticality.
        """
        found = self.shares.get(feature, {}).get(trial_name(trial))
        return math.nan if found is None else found[self.budgets.index(budget)]

    @property
    def not_watched(self) -> list[str]:
        """Features with less than half of their 6-sd steps detected, those lost and not used."""
        blind = [f for f in self.shares if self.watch(f) < HALF or f in self.lost]
        return [*blind, *self.not_used]

    def mean(self, trial: tuple[str, float], budget: str = "medium") -> float:
        """Return the mean detected share over all features with this trial; NaN without any."""
        shares = [self.share(feature, trial, budget) for feature in self.shares]
        known = [share for share in shares if not math.isnan(share)]
        return float(np.mean(known)) if known else math.nan

    def flat(self) -> dict[str, float]:
        """Return the figures by name, as metrics."""
        out = {
            f"power_{trial_name(trial).replace(' ', '_')}.{budget}": self.mean(trial, budget)
            for trial in TRIALS
            for budget in self.budgets
        }
        out["features_not_watched"] = float(len(self.not_watched))
        return {name: value for name, value in out.items() if not math.isnan(value)}

    def to_dict(self) -> dict[str, Any]:
        """Return the power ready for JSON, with the derived ``not_watched``."""
        return {**Stored.to_dict(self), "not_watched": self.not_watched}


def score_with_points(held: HeldOut, **how: Any) -> tuple[list[Scored], list[InjectionPoint]]:
    """Score the held-out readings, and record points where faults can begin.

    ``how`` is passed to :func:`training.fitting.stream_scores.score_streams`.
    """
    return score_streams(held, _candidates(held), **how)


def _candidates(held: HeldOut) -> list[list[int]]:
    """Draw random start indices that SEEN readings without a labelled fault follow."""
    free = []
    for i, (stream, past) in enumerate(zip(held.streams, held.skip, strict=True)):
        starts = np.arange(past, len(stream.timestamps) - SEEN + 1)
        if stream.labels is not None and len(starts):
            faulty = np.concatenate([[0], np.cumsum(stream.labels == 1)])
            starts = starts[faulty[starts + SEEN] == faulty[starts]]
        thinned = starts[:: max(1, len(starts) // _MAX_STARTS)]
        free += [(i, int(at)) for at in thinned]
    rng = np.random.default_rng([held.seed, len(free)])
    chosen = rng.permutation(len(free))[:_CANDIDATES]
    out: list[list[int]] = [[] for _ in held.streams]
    for k in sorted(chosen.tolist()):
        out[free[k][0]].append(free[k][1])
    return out


def measure_power(
    held: HeldOut,
    scored: Sequence[Scored],
    points: Sequence[InjectionPoint],
    *,
    trials: Sequence[tuple[str, float]] = TRIALS,
    progress: Progress | None = None,
    stage: str = "injected faults",
) -> Power | None:
    """Inject faults at ``points`` and count those detected; None without usable points.

    Parameters
    ----------
    held
        Held-out readings and their model sets.
    scored, points
        Result of :func:`score_with_points`.
    trials
        Kinds and sizes of faults.
    progress, stage
        Receives the number of features done.
    """
    calm = calm_points(held, scored, points)
    if not calm:
        return None
    experiment = Experiment(held, scored, calm)
    power = Power(list(held.policy.budgets), injected=len(calm))
    sets, names = held.sets, held.names
    used = {name for one in sets for name in one.feature_names}
    standing = {n for one in sets if one.preprocessing.standing for n in
                one.preprocessing.standing.names} - used  # fmt: skip
    power.not_used = [name for name in names if name not in used | standing]
    wanted = [j for j, name in enumerate(names) if name in used | standing]
    some = set(experiment.rng.permutation(wanted)[:MAX_FEATURES].tolist())
    for done, j in enumerate(wanted, 1):
        if names[j] in standing:
            power.shares[names[j]] = experiment.shares(j, [MOVES])
            continue
        if not experiment.moves(j):
            power.still.append(names[j])
            continue
        tried = [t for t in trials if t == WATCH or j in some]
        power.shares[names[j]] = experiment.shares(j, tried)
        if progress is not None:
            progress(stage, done, len(wanted), {})
    return power


def calm_points(
    held: HeldOut, scored: Sequence[Scored], points: Sequence[InjectionPoint]
) -> list[InjectionPoint]:
    """Return INJECTIONS points, fewest alarms first; repeated if there are fewer.

    Those with equally many are drawn at random: in order, all would be of the first streams, and
    features that are not watched on the others would pass for watched.

    Parameters
    ----------
    held, scored, points
        Those of :func:`measure_power`.
    """
    budget = held.policy.budgets["medium"]
    alarms = []
    for point in points:
        start = point.at - held.skip[point.stream]
        p = scored[point.stream].p[start : start + SEEN]
        alarms.append(float((p <= budget).sum()) if np.isfinite(p).any() else np.inf)
    drawn = np.random.default_rng([held.seed, len(points)]).permutation(len(points))
    order = drawn[np.argsort(np.array(alarms)[drawn], kind="stable")]
    usable = [points[k] for k in order.tolist() if np.isfinite(alarms[k])][:INJECTIONS]
    return [usable[k % len(usable)] for k in range(INJECTIONS)] if usable else []
