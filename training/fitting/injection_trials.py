"""Inject faults at recorded points, and score them until they are detected at all budgets.

All faults begin at the same few points. The stream's state and window at these points are recorded
while the held-out part is scored. Each fault then costs only the readings after its start, and only
until it is detected at all budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from datasets import Stream
from models.arrays import Bools, Floats
from models.fitting.trials.injection import Fault, inject
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import carried
from models.scoring.stream_work import Reading, StreamWork
from training.evaluation.measures import Scored
from training.fitting.deviations import normal_std, rated
from training.fitting.stream_scores import HeldOut, InjectionPoint, readings_of

#: Readings within which a fault is to be detected.
SEEN: Final = 30
#: Kind and size in standard deviations. "likeness" takes the feature's values from another time:
#: they are normal by themselves but do not fit the other features.
TRIALS: Final = (
    ("step", 3.0), ("step", 6.0), ("spike", 6.0), ("spike", 12.0), ("drift", 6.0), ("stuck", 0.0),
    ("noise", 3.0), ("likeness", 0.0),
)  # fmt: skip
#: Trial that decides whether a feature is watched.
WATCH: Final = ("step", 6.0)
MOVES: Final = ("moves", 0.0)  # replaces WATCH for a feature that stood still
_STAGES = (0, 4, 12, SEEN)  # after each stage, faults detected at all budgets are dropped
_BATCH = 200  # faults scored in one call: windows of 200 x SEEN readings take a few ten MB


def trial_name(trial: tuple[str, float]) -> str:
    """Return a trial's name, such as ``step 6 sd``; without a size if the kind has none."""
    kind, size = trial
    return f"{kind} {size:g} sd" if size else kind


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
