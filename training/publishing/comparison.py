"""Compare a challenger with the champion: both score the same readings as the service would.

Three things are compared, at criticality medium:

* false alarms: readings of normal operation, where there are labels, that alarm;
* labelled faults found, where there are labels;
* injected faults found: steps of some spreads in one feature, written into a copy of the
  readings. A bundle that never alarms has no false alarms either; this is what tells it apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from datasets import Stream
from errors import AnomalyError
from models.bundles.bundle import Bundle
from models.detectors.base import Progress
from models.scoring.adaptation import ScoringPolicy
from models.scoring.model_set import ModelSet
from training.data.sources import TrainingData
from training.evaluation.measures import Scored, alarm_rate, confusion, labelled_events
from training.fitting.stream_scores import score_streams

#: size of an injected step, in robust spreads of its feature
STEP = 8.0
STEP_READINGS = 20
STEPS_A_STREAM = 4
#: a challenger may raise this many times the budget, or this many times the champion's rate
BUDGET_SLACK = 2.0
RATE_SLACK = 1.25
#: and may find this much smaller a share of the faults
DETECTION_SLACK = 0.1


@dataclass(slots=True)
class Column:
    """Figures of one bundle."""

    version: str
    alarms: dict[str, float] = field(default_factory=dict)
    labels: dict[str, float] | None = None
    events: tuple[int, int] = (0, 0)  # found, of
    injected: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Comparison:
    """Both columns and the verdict; ``comparable`` is False where nothing can be concluded."""

    champion: Column
    challenger: Column
    budget: float
    comparable: bool
    better: bool  # or as good
    reason: str


def compare(
    champion: Bundle,
    challenger: Bundle,
    data: TrainingData,
    skip: Sequence[int],
    policy: ScoringPolicy,
    progress: Progress | None = None,
    group: str | None = None,
) -> Comparison:
    """Score the held-out readings with both bundles.

    Parameters
    ----------
    champion, challenger : Bundle
    data : TrainingData
        Streams with their past; ``skip`` first readings of each were trained on.
    policy : ScoringPolicy
    progress : callable, optional
    group : str, optional
        The group of all the streams, where their names do not tell (a bare matrix).
    """
    columns = [Column(champion.version), Column(challenger.version)]
    budget = policy.budgets["medium"]
    why = _incomparable(champion, challenger, data, group)
    if why:
        return Comparison(columns[0], columns[1], budget, False, False, why)
    altered, marks = inject(data, skip)
    for bundle, column, name in zip(
        (champion, challenger), columns, ("champion", "challenger"), strict=True
    ):
        _fill(column, bundle, data, altered, marks, skip, policy, progress, name, group)
    better, reason = verdict(columns[0], columns[1], budget)
    return Comparison(columns[0], columns[1], budget, True, better, reason)


def verdict(champion: Column, challenger: Column, budget: float) -> tuple[bool, str]:
    """Return whether the challenger is not worse, and why."""
    rate, old = challenger.alarms["rate"], champion.alarms["rate"]
    if rate > BUDGET_SLACK * budget and rate > RATE_SLACK * old:
        return False, (
            f"its false-alarm rate {rate:.2g} is above {BUDGET_SLACK:g} times the budget"
            f" {budget:.2g} and above the champion's {old:.2g}"
        )
    for what, new, before in (
        ("labelled", challenger.events, champion.events),
        ("injected", challenger.injected, champion.injected),
    ):
        if before[1] and new[0] / new[1] < before[0] / before[1] - DETECTION_SLACK:
            return False, (f"it finds {new[0]} of {new[1]} {what} faults, the champion {before[0]}")
    return True, "its false-alarm rate and the faults it finds are not worse than the champion's"


def inject(
    data: TrainingData, skip: Sequence[int], seed: int = 0
) -> tuple[TrainingData, list[Any]]:
    """Return a copy with steps in the readings after ``skip``, and where they are, per stream."""
    rng = np.random.default_rng(seed)
    streams, marks = [], []
    for stream, past in zip(data.streams, skip, strict=True):
        values = stream.values.copy()
        reference = values[:past] if past >= 20 else values
        low, high = np.nanquantile(reference, (0.005, 0.995), axis=0)
        spread = np.nanstd(np.clip(reference, low, high), axis=0)
        moving = np.flatnonzero(spread > 0)
        places = []
        room = (len(values) - past) // STEPS_A_STREAM
        if room >= 2 * STEP_READINGS and len(moving):
            for k in range(STEPS_A_STREAM):
                start = past + k * room + room // 2
                j = int(rng.choice(moving))
                values[start : start + STEP_READINGS, j] += rng.choice((-1, 1)) * STEP * spread[j]
                places.append((start - past, start - past + STEP_READINGS))
        streams.append(replace(stream, values=values))
        marks.append(places)
    return replace(data, streams=streams), marks


def _incomparable(
    champion: Bundle, challenger: Bundle, data: TrainingData, group: str | None
) -> str:
    try:
        for i, stream in enumerate(data.streams):
            for bundle, name in ((champion, "champion"), (challenger, "challenger")):
                wanted = set(_set_for(bundle, data, i, stream, group).feature_names)
                missing = sorted(wanted - set(data.feature_names))
                if missing:
                    return f"the {name} needs features that the data lack: {missing[0]}"
    except AnomalyError as error:
        return error.message
    return "" if data.streams else "there are no held-out readings"


def _set_for(
    bundle: Bundle, data: TrainingData, i: int, stream: Stream, group: str | None
) -> ModelSet:
    if group is None:
        group = bundle.group_for(stream.asset_id, stream.sensor_id, data.feature_of(i))
    return bundle.model_set(group)


def _fill(
    column: Column,
    bundle: Bundle,
    data: TrainingData,
    altered: TrainingData,
    marks: list[Any],
    skip: Sequence[int],
    policy: ScoringPolicy,
    progress: Progress | None,
    name: str,
    group: str | None,
) -> None:
    index = {id(stream): i for source in (data, altered) for i, stream in enumerate(source.streams)}

    def run(source: TrainingData, stage: str) -> list[Scored]:
        return score_streams(
            lambda stream: _set_for(bundle, source, index[id(stream)], stream, group),
            source.feature_names,
            source.streams,
            policy,
            skip=skip,
            progress=progress,
            stage=f"{name}: {stage}",
        )

    scored = run(data, "held-out")
    column.alarms = alarm_rate(scored)
    column.labels = confusion(scored)
    events = labelled_events(scored)
    column.events = (sum(event["detected"] for event in events), len(events))
    found = of = 0
    for one, places in zip(run(altered, "injected faults"), marks, strict=True):
        for start, end in places:
            of += 1
            found += bool(one.is_anomaly[start:end].any())
    column.injected = (found, of)
