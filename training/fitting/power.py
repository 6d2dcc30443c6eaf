"""Measure the detection power of a model set: the share of injected faults that alarm.

A model set that never alarms keeps every budget. Each training therefore injects faults of several
kinds and sizes into held-out normal readings, one feature at a time, and scores them through the
service's code. A fault is detected at a budget if, within SEEN readings of its start, a reading
reaches the budget's threshold that would not reach it without the fault. Sizes are in robust
standard deviations of the feature within the stream. A feature is *not watched* if less than half
of its 6-sd steps are detected at criticality medium. A feature that stood still in training has no
deviation, so it is moved by a tenth of its value instead.

All faults begin at the same few points. The stream's state and window at these points are recorded
while the held-out part is scored. Each fault then costs only the readings after its start, and only
until it is detected at all budgets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, ClassVar, Final

import numpy as np

from datasets import Stream
from models.arrays import Bools, Floats
from models.detectors.base import Progress
from models.fitting.injection import Fault, inject
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stored import Stored
from models.scoring.stream_replay import carried
from models.scoring.stream_work import Reading, StreamWork
from training.evaluation.measures import Scored
from training.fitting.deviations import normal_std, rated
from training.fitting.stream_scores import HeldOut, InjectionPoint, readings_of, score_streams

#: Readings within which a fault is to be detected.
SEEN: Final = 30
#: Injected faults per kind, size and feature.
INJECTIONS: Final = 20
#: Kind and size in standard deviations. "likeness" takes the feature's values from another time:
#: they are normal by themselves but do not fit the other features.
TRIALS: Final = (
    ("step", 3.0), ("step", 6.0), ("spike", 6.0), ("spike", 12.0), ("drift", 6.0), ("stuck", 0.0),
    ("noise", 3.0), ("likeness", 0.0),
)  # fmt: skip
#: Trial that decides whether a feature is watched, and the minimum share to detect.
WATCH: Final = ("step", 6.0)
MOVES: Final = ("moves", 0.0)  # replaces WATCH for a feature that stood still
HALF: Final = 0.5
#: A feature is lost if its share of detected faults falls below a half, and by at least this much:
#: two counts out of 20 differ by two or three by chance.
LOST: Final = 0.2
#: Maximum number of features with all trials; to save time, the others only have WATCH.
MAX_FEATURES: Final = 64
_CANDIDATES = 3 * INJECTIONS  # points recorded, of which the calmest are used
_MAX_STARTS = 10_000  # possible starts per stream, at most
_STAGES = (0, 4, 12, SEEN)  # after each stage, faults detected at all budgets are dropped
_BATCH = 200  # faults scored in one call: windows of 200 x SEEN readings take a few ten MB


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


def trial_name(trial: tuple[str, float]) -> str:
    """Return a trial's name, such as ``step 6 sd``; without a size if the kind has none."""
    kind, size = trial
    return f"{kind} {size:g} sd" if size else kind


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
    order = np.argsort(alarms, kind="stable")
    usable = [points[k] for k in order.tolist() if np.isfinite(alarms[k])][:INJECTIONS]
    return [usable[k % len(usable)] for k in range(INJECTIONS)] if usable else []


class _Silent(ScoringPolicy):
    """Policy without alarms: scores are the same, and no explanations are computed."""

    def threshold(self, criticality: str) -> float:
        return float("inf")


@dataclass(slots=True)
class _Run:
    """One injected fault while the readings after its start are scored."""

    key: tuple[int, str]  # index of the feature, name of the trial
    point: InjectionPoint
    readings: list[Reading]
    before: Floats  # (SEEN,) p without the fault
    state: dict[str, Any] | None
    window: list[Reading]
    seen: Bools  # (budgets,)


class Experiment:
    """Injected faults with the same points, signs and donors for every feature and trial.

    Parameters
    ----------
    held, scored, points
        Those of :func:`measure_power`; all points are used.
    deviation : sequence of (d,), optional
        Standard deviations of each stream's features, if not those of its readings.
    """

    def __init__(
        self,
        held: HeldOut,
        scored: Sequence[Scored],
        points: Sequence[InjectionPoint],
        deviation: Sequence[Floats] | None = None,
    ) -> None:
        self.held = held
        self.points = points
        self.rng = np.random.default_rng([held.seed, 1])
        self.budgets = np.array(list(held.policy.budgets.values()))
        self.policy = _Silent(**{f.name: getattr(held.policy, f.name) for f in fields(held.policy)})
        self.signs = self.rng.choice((-1, 1), len(points)).tolist()
        self.parts, self.before, self.calm, self.donors = [], [], [], []
        self.deviation: dict[int, Floats] = {}
        in_rates: dict[int, Stream] = {}
        for point in points:
            i, stream = point.stream, held.streams[point.stream]
            if i not in in_rates:
                pre = held.sets[i].preprocessing
                in_rates[i] = rated(stream, held.names, pre.counters)
                given = None if deviation is None else deviation[i]
                self.deviation[i] = (
                    normal_std(in_rates[i], held.names, pre) if given is None else given
                )
            self.parts.append(stream.take(slice(max(point.at - 1, 0), point.at + SEEN)))
            self.calm.append(in_rates[i].values[point.at : point.at + SEEN])
            start = point.at - held.skip[i]
            self.before.append(scored[i].p[start : start + SEEN])
            other = self._elsewhere(len(stream.values), point.at)
            self.donors.append(in_rates[i].values[other : other + SEEN])

    def _elsewhere(self, n: int, at: int) -> int:
        """Draw another index of the stream, at least SEEN readings away if possible."""
        tries = self.rng.integers(0, n - SEEN + 1, 20)
        far = tries[np.abs(tries - at) >= SEEN]
        return int(far[0] if len(far) else tries[np.argmax(np.abs(tries - at))])

    def moves(self, j: int) -> bool:
        """Return whether a feature varies at any point, so that it has a standard deviation."""
        return any(self.deviation[point.stream][j] > 0 for point in self.points)

    def shares(self, j: int, trials: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
        """Return the share of one feature's faults detected at each budget, by trial."""
        runs = [self._begin(k, j, trial) for trial in trials for k in range(len(self.points))]
        for first, last in pairwise(_STAGES):
            waiting = [run for run in runs if not run.seen.all()]
            for start in range(0, len(waiting), _BATCH):
                self._advance(waiting[start : start + _BATCH], first, last)
        out = {}
        for trial in map(trial_name, trials):
            seen = np.array([run.seen for run in runs if run.key == (j, trial)])
            out[trial] = [round(float(share), 4) for share in seen.mean(axis=0)]
        return out

    def _begin(self, k: int, j: int, trial: tuple[str, float]) -> _Run:
        kind, size = trial
        point, values = self.points[k], self.calm[k]
        if kind == "likeness":
            values = values.copy()
            values[:, j] = self.donors[k][:, j]
        elif kind == "moves":
            values = values.copy()
            values[:, j] += np.maximum(0.1 * np.abs(values[:, j]), 1e-3)
        else:
            fault = Fault(kind, 0, SEEN, (j,), size, (self.signs[k],))
            values = inject(values, fault, self.deviation[point.stream], self.rng)
        readings = list(readings_of(self._as_sent(k, values), self.held.names))
        seen = np.zeros(len(self.budgets), bool)
        return _Run((j, trial_name(trial)), point, readings, self.before[k], point.state,
                    point.window, seen)  # fmt: skip

    def _as_sent(self, k: int, values: Floats) -> Stream:
        """Return readings in the form that a stream sends, with counters instead of rates."""
        part = self.parts[k]
        counters = self.held.sets[self.points[k].stream].preprocessing.counters
        after = part.take(slice(len(part.values) - SEEN, None))
        if counters is not None and len(part.values) > SEEN:
            values = counters.counted(values, part.timestamps, self.held.names, part.values[0])
        return replace(after, values=values)

    def _advance(self, runs: Sequence[_Run], first: int, last: int) -> None:
        """Score readings ``first`` to ``last - 1`` of each fault, and update where it is seen."""
        by_set: dict[int, tuple[ModelSet, list[_Run]]] = {}
        for run in runs:
            model_set = self.held.sets[run.point.stream]
            by_set.setdefault(id(model_set), (model_set, []))[1].append(run)
        for model_set, members in by_set.values():
            works = [self._work(run, first, last) for run in members]
            outcomes = score(model_set, works, self.policy)
            for run, work, outcome in zip(members, works, outcomes, strict=True):
                run.state = outcome.state
                run.window = carried(
                    run.window, work.readings, outcome.results, outcome.window_length
                )
                p = np.array([result.get("p", np.nan) for result in outcome.results])
                before = run.before[first:last]
                news = (p[:, None] <= self.budgets) & ~(before[:, None] <= self.budgets)
                run.seen |= news.any(axis=0)

    def _work(self, run: _Run, first: int, last: int) -> StreamWork:
        stream = self.held.streams[run.point.stream]
        return StreamWork(stream.asset_id, stream.sensor_id, None, "medium", run.state,
                          run.window, run.readings[first:last])  # fmt: skip
