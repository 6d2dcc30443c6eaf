"""What a model set would see: faults put into held-out normal readings, and the share that alarms.

A model set that never alarms keeps every budget. So each training puts faults of several kinds and
sizes into normal readings that it did not fit, one feature at a time, and scores them through the
code that serves. A fault is seen at a budget if, within SEEN readings of its start, a reading
reaches that budget's threshold which does not reach it without the fault. Sizes are in robust
standard deviations of the feature within the stream. A feature whose step of 6 sd is seen less
often than half the time, at criticality medium, is *not watched*. One that stood still when the set
was fitted has no deviation: it is moved by a tenth of its value instead.

All faults begin at the same few points. The stream's state and window there are noted while the
held-out part is scored, so each fault costs the readings that follow it, and those only until all
budgets have seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, ClassVar, Final

import numpy as np

from datasets import Stream
from models.arrays import Bools, Floats
from models.detectors.base import Progress
from models.detectors.covariance import winsorised_std
from models.fitting.condition_fit import restate
from models.fitting.injection import Fault, inject
from models.scoring.conditions import Conditions
from models.scoring.counters import Counters
from models.scoring.ensemble import Reading, StreamWork, score
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stored import Stored
from models.scoring.stream_replay import carried
from training.evaluation.measures import Scored
from training.fitting.stream_scores import HeldOut, InjectionPoint, readings_of, score_streams

#: Readings within which a fault is to be seen.
SEEN: Final = 30
#: Faults injected of each kind, size and feature.
INJECTIONS: Final = 20
#: Kind and size in standard deviations; "likeness": the feature as it was at another time, so that
#: it is as ever by itself and does not fit the others.
TRIALS: Final = (
    ("step", 3.0), ("step", 6.0), ("spike", 6.0), ("spike", 12.0), ("drift", 6.0), ("stuck", 0.0),
    ("noise", 3.0), ("likeness", 0.0),
)  # fmt: skip
#: What decides whether a feature is watched, and how often it must be seen.
WATCH: Final = ("step", 6.0)
MOVES: Final = ("moves", 0.0)  # of a feature that stood still, instead of WATCH
HALF: Final = 0.5
#: Features that all trials are made on; of the others WATCH alone, for the time it takes.
MAX_FEATURES: Final = 64
_CANDIDATES = 3 * INJECTIONS  # points noted, of which the calmest are taken
_MAX_STARTS = 10_000  # of each stream, among which points are drawn
_STAGES = (0, 4, 12, SEEN)  # a fault that all budgets saw goes no further
_BATCH = 200  # faults scored in one call: windows of 200 x SEEN readings are a few ten MB


@dataclass(slots=True)
class Power(Stored):
    """What was seen.

    Parameters
    ----------
    budgets : names of the budgets, in the order of the shares.
    shares : by feature and trial (see :func:`trial_name`), the share seen at each budget.
    injected : faults injected of each feature and trial.
    not_used : features that no detector sees.
    still : features that stood still in the readings held out: nothing is known of them.
    """

    KEYS: ClassVar = ("budgets", "shares", "injected", "not_used", "still")

    budgets: list[str] = field(default_factory=lambda: ["medium"])
    shares: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    injected: int = 0
    not_used: list[str] = field(default_factory=list)
    still: list[str] = field(default_factory=list)

    def watch(self, feature: str) -> float:
        """Share seen, at criticality medium, of what decides whether a feature is watched."""
        share = self.share(feature, WATCH)
        return share if share == share else self.share(feature, MOVES)

    def share(self, feature: str, trial: tuple[str, float], budget: str = "medium") -> float:
        """Share seen; NaN where it was not measured.

        Parameters
        ----------
        trial : (kind, size)
            Size in standard deviations, see TRIALS.
        budget
            A criticality.
        """
        found = self.shares.get(feature, {}).get(trial_name(trial))
        return float("nan") if found is None else found[self.budgets.index(budget)]

    @property
    def not_watched(self) -> list[str]:
        """Features whose step of 6 sd is not seen, or that no detector sees at all."""
        return [*(f for f in self.shares if self.watch(f) < HALF), *self.not_used]

    def mean(self, trial: tuple[str, float], budget: str = "medium") -> float:
        """Share seen over all features that the trial was made on; NaN: none."""
        found = [self.share(feature, trial, budget) for feature in self.shares]
        found = [share for share in found if share == share]
        return float(np.mean(found)) if found else float("nan")

    def flat(self) -> dict[str, float]:
        """Figures by name, as metrics."""
        out = {
            f"power_{trial_name(trial).replace(' ', '_')}.{budget}": self.mean(trial, budget)
            for trial in TRIALS
            for budget in self.budgets
        }
        out["features_not_watched"] = float(len(self.not_watched))
        return {name: value for name, value in out.items() if value == value}

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON, with what follows from it."""
        return {**Stored.to_dict(self), "not_watched": self.not_watched}


def trial_name(trial: tuple[str, float]) -> str:
    """Such as ``step 6 sd``; without a size where the kind has none."""
    kind, size = trial
    return f"{kind} {size:g} sd" if size else kind


def score_with_points(held: HeldOut, **how: Any) -> tuple[list[Scored], list[InjectionPoint]]:
    """Score what was held out, and note the points where faults could begin.

    ``how`` is handed on to :func:`training.fitting.stream_scores.score_streams`.
    """
    return score_streams(held, _candidates(held), **how)


def _candidates(held: HeldOut) -> list[list[int]]:
    """Indexes after which SEEN readings follow, none of them labelled faulty, at random."""
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
    """Inject faults at ``points`` and count those seen; None where nothing could be injected.

    Parameters
    ----------
    scored, points
        As :func:`score_with_points` gave them.
    trials
        Kinds and sizes of faults.
    progress, stage
        Where to report features done.
    """
    calm = _calm_points(held, scored, points)
    if not calm:
        return None
    experiment = _Experiment(held, scored, calm)
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


def _calm_points(
    held: HeldOut, scored: Sequence[Scored], points: Sequence[InjectionPoint]
) -> list[InjectionPoint]:
    """Return INJECTIONS points, the calmest first; where there are fewer, some occur twice."""
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
    """Nothing alarms: scores do not depend on it, and no alarm has to be explained."""

    def threshold(self, criticality: str) -> float:
        return float("inf")


@dataclass(slots=True)
class _Run:
    """One fault on its way through the readings that follow its start."""

    key: tuple[int, str]  # of the feature and the trial
    point: InjectionPoint
    readings: list[Reading]
    before: Floats  # (SEEN,) p without the fault
    state: dict[str, Any] | None
    window: list[Reading]
    seen: Bools  # (budgets,)


class _Experiment:
    """The same points, signs and donors for every feature and trial."""

    def __init__(
        self, held: HeldOut, scored: Sequence[Scored], points: Sequence[InjectionPoint]
    ) -> None:
        self.held = held
        self.points = points
        self.rng = np.random.default_rng([held.seed, 1])
        self.budgets = np.array(list(held.policy.budgets.values()))
        self.policy = _Silent(**{f.name: getattr(held.policy, f.name) for f in fields(held.policy)})
        self.signs = self.rng.choice((-1, 1), len(points)).tolist()
        self.parts, self.before, self.calm, self.donors = [], [], [], []
        self.deviation: dict[int, Floats] = {}
        rated: dict[int, Stream] = {}
        for point in points:
            i, stream = point.stream, held.streams[point.stream]
            if i not in rated:
                pre = held.sets[i].preprocessing
                rated[i] = _rated(stream, held.names, pre.counters)
                self.deviation[i] = within(rated[i], held.names, pre.conditions)
            self.parts.append(stream.take(slice(max(point.at - 1, 0), point.at + SEEN)))
            self.calm.append(rated[i].values[point.at : point.at + SEEN])
            start = point.at - held.skip[i]
            self.before.append(scored[i].p[start : start + SEEN])
            other = self._elsewhere(len(stream.values), point.at)
            self.donors.append(rated[i].values[other : other + SEEN])

    def _elsewhere(self, n: int, at: int) -> int:
        """Draw another index of the stream, as far away as its length allows."""
        tries = self.rng.integers(0, n - SEEN + 1, 20)
        far = tries[np.abs(tries - at) >= SEEN]
        return int(far[0] if len(far) else tries[np.argmax(np.abs(tries - at))])

    def moves(self, j: int) -> bool:
        """Whether a feature varies, so that a standard deviation means something."""
        return any(self.deviation[point.stream][j] > 0 for point in self.points)

    def shares(self, j: int, trials: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
        """Share of one feature's faults seen at each budget, by trial."""
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
        """Return readings as a stream sends them: its counters go on from where they stood."""
        part = self.parts[k]
        counters = self.held.sets[self.points[k].stream].preprocessing.counters
        after = part.take(slice(len(part.values) - SEEN, None))
        if counters is not None and len(part.values) > SEEN:
            values = counters.counted(values, part.timestamps, self.held.names, part.values[0])
        return replace(after, values=values)

    def _advance(self, runs: Sequence[_Run], first: int, last: int) -> None:
        """Score readings ``first`` to ``last - 1`` of each fault, and note who has seen it."""
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


def _rated(stream: Stream, names: Sequence[str], counters: Counters | None) -> Stream:
    if counters is None:
        return stream
    return replace(stream, values=counters.rates(stream.values, stream.timestamps, names))


def within(stream: Stream, names: Sequence[str], conditions: Conditions | None = None) -> Floats:
    """Robust standard deviation of each feature (d,) over a stream's normal readings.

    From the median absolute deviation; where more than half of the values are the same, the
    winsorised one.

    Parameters
    ----------
    stream : with the features ``names``.
    names : (d,)
    conditions : of operation, in the usual one of which the deviation is; None: there is one.
    """
    values = stream.values
    if conditions is not None:
        columns = [names.index(name) for name in conditions.names]
        values = values.copy()
        (values[:, columns],) = restate(conditions, [values[:, columns]])
    if stream.labels is not None and (stream.labels != 1).any():
        values = values[stream.labels != 1]
    out = np.zeros(values.shape[1])
    for j, column in enumerate(values.T):
        here = column[np.isfinite(column)]
        if not len(here):
            continue
        out[j] = 1.4826 * float(np.median(np.abs(here - np.median(here))))
        if out[j] == 0.0:
            out[j] = float(winsorised_std(here[:, None])[0])
    return out
