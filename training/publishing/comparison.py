"""Compare a challenger with the champion: both score the same readings, as the service would.

Neither bundle was fitted on these readings: they are newer than the training ranges that the
bundles record. After a training the hold-out twins are compared, since the serving model sets were
fitted on all readings.

Four figures are compared, at criticality medium:

* false alarms: the alarm rate of normal readings;
* labelled faults detected, if there are labels (for stored readings: confirmed faults);
* injected faults detected: 6-sd steps in each feature (:mod:`training.fitting.power`). Without this
  figure a bundle that never alarms would win;
* features watched: the challenger must watch every feature that the champion watches; of twins, so
  must the sets that serve, by what their trainings measured.

Where the champion takes most of the readings for anomalies, the two disagree on what is normal. A
plant that changed, a fault that lasts and readings of something else all look like this, so only a
person can tell who is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from datasets import Stream
from errors import AnomalyError
from models.bundles.bundle import Bundle
from models.detectors.base import Progress
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from training.cli.common import listed
from training.data.ranges import newer_from
from training.data.sources import TrainingData
from training.evaluation.measures import (
    Scored,
    alarm_rate,
    confirmed_faults,
    confusion,
    labelled_events,
)
from training.fitting.injection_trials import WATCH
from training.fitting.power import HALF, LOST, Power, measure_power, score_with_points
from training.fitting.stream_scores import HeldOut, score_streams

#: Largest acceptable alarm rate: this multiple of the budget or this multiple of the champion's.
BUDGET_SLACK = 2.0
RATE_SLACK = 1.25
#: If the champion takes a larger share of normal readings for anomalies, it does not know them.
MOST = 0.5
#: Largest acceptable loss in the share of detected faults.
DETECTION_SLACK = 0.1
_MAX_NAMED = 6  # features named in a reason


@dataclass(slots=True)
class Column:
    """Figures of one bundle."""

    version: str
    alarms: dict[str, float] = field(default_factory=dict)
    labels: dict[str, float] | None = None
    events: tuple[int, int] = (0, 0)  # labelled faults: detected, all
    injected: tuple[int, int] = (0, 0)  # injected faults: detected, all
    seen: dict[tuple[str, str], float] = field(default_factory=dict)  # (group, feature): share


@dataclass(slots=True)
class Comparison:
    """Both columns and the verdict; ``comparable`` is False if no verdict is possible."""

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
    twins: bool = False,
) -> Comparison:
    """Score the readings after ``skip`` with both bundles.

    Parameters
    ----------
    champion, challenger : Bundle
    data : TrainingData
        Streams with their past.
    skip : sequence of int
        Number of past readings of each stream. Neither bundle was fitted on later ones, see
        :func:`unseen`.
    policy : ScoringPolicy
    progress : callable, optional
    group : str, optional
        Group of all streams, if their ids do not decide it (a bare matrix).
    twins : bool
        Whether these are hold-out twins, in place of what serves.
    """
    columns = [Column(champion.version), Column(challenger.version)]
    budget = policy.budgets["medium"]
    why = _incomparable(champion, challenger, data, group)
    if why:
        return Comparison(columns[0], columns[1], budget, False, False, why)
    parts = _by_group(challenger, data, skip, group)
    for bundle, column, name in zip(
        (champion, challenger), columns, ("champion", "challenger"), strict=True
    ):
        _fill(column, bundle, parts, policy, progress, name, group, twins)
    better, reason = verdict(columns[0], columns[1], budget)
    if data.judged:
        reason += f"; {_of_confirmed(*columns)}"
    return Comparison(columns[0], columns[1], budget, True, better, reason)


def _of_confirmed(champion: Column, challenger: Column) -> str:
    found, of = challenger.events
    if not of:
        return "no confirmed fault is newer than all that both were fitted on"
    return f"of {of} confirmed faults it finds {found}, the champion {champion.events[0]}"


def unseen(
    data: TrainingData,
    skip: Sequence[int],
    bundles: Sequence[Bundle],
    group: str | None = None,
    *,
    strict: bool = True,
) -> tuple[TrainingData, list[int], str]:
    """Return the streams with readings that no bundle was fitted on.

    Parameters
    ----------
    data
        The streams.
    skip : sequence of int
        Number of first readings of each stream that never count.
    bundles
        Record their training ranges.
    group : str, optional
        Group of all streams, if their ids do not decide it.
    strict : bool
        Whether a stream is ruled out if a bundle does not record its training range. Otherwise the
        bundle counts as not fitted on anything after ``skip``.

    Returns
    -------
    data, skip, why : streams, their numbers of past readings, and the reason if there are none.
    """
    members, pasts, ends = [], [], set()
    unknown = False
    for i, (stream, past) in enumerate(zip(data.streams, skip, strict=True)):
        ranges = [_set_for(b, data, i, stream, group).trained_on for b in bundles]
        ends |= {one["end"] for one in ranges if one.get("end")}
        after = newer_from(stream, ranges) if strict or all(r.get("end") for r in ranges) else 0
        unknown |= after is None
        if after is None or max(past, after) >= len(stream.timestamps):
            continue
        members.append(i)
        pasts.append(max(past, after))
    why = ""
    if not members and unknown:
        why = "it is not recorded up to what time both were fitted"
    elif not members and ends:
        why = f"none of the readings is newer than all that both were fitted on (until {max(ends)})"
    elif not members:
        why = "there are no held-out readings"
    return data.subset(members), pasts, why


def _unlabelled(champion: Column, challenger: Column) -> str:
    """Say what a higher rate may be if there are no labels, and the challenger sees more."""
    if challenger.events[1] or challenger.injected[0] <= champion.injected[0]:
        return ""
    return (
        f" (it finds {challenger.injected[0]} injected faults, the champion {champion.injected[0]}:"
        " real faults that nobody labelled count as false alarms)"
    )


def verdict(champion: Column, challenger: Column, budget: float) -> tuple[bool, str]:
    """Return whether the challenger is not worse, and the reason.

    Parameters
    ----------
    champion, challenger
        Their figures.
    budget
        False alarms per reading at criticality medium.
    """
    rate, old = challenger.alarms["rate"], champion.alarms["rate"]
    if rate > BUDGET_SLACK * budget and rate > RATE_SLACK * old:
        return False, (
            f"its false-alarm rate {rate:.2g} is above {BUDGET_SLACK:g} times the budget"
            f" {budget:.2g} and above the champion's {old:.2g}{_unlabelled(champion, challenger)}"
        )
    for what, new, before in (
        ("labelled", challenger.events, champion.events),
        ("injected", challenger.injected, champion.injected),
    ):
        # of none if it watches none of the features that move: it finds none of the faults then
        if before[1] and new[0] / max(new[1], 1) < before[0] / before[1] - DETECTION_SLACK:
            return False, (f"it finds {new[0]} of {new[1]} {what} faults, the champion {before[0]}")
    gone = lost(champion, challenger)
    if gone:
        return False, (
            f"it no longer watches {listed(gone, _MAX_NAMED)}, where the champion detects a step of"
            " 6 sd"
        )
    unknown = unmeasured(champion, challenger)
    if unknown:
        return False, (
            f"whether it finds faults is not known of {listed(unknown, _MAX_NAMED)}, where the"
            " champion does: too few readings were held out to inject any, now and in its training"
        )
    if old > MOST:
        return False, (
            f"the champion takes {old:.0%} of these readings for anomalies: the plant has changed,"
            " a fault lasts, or they are no readings of this plant, which a person must decide"
        )
    return True, "its false-alarm rate and the faults it finds are not worse than the champion's"


def foreign(
    champion: Bundle,
    challenger: Bundle,
    data: TrainingData,
    policy: ScoringPolicy,
    group: str,
) -> str:
    """Return why a challenger does not know the readings that the champion was tested on.

    Empty if it does: its alarm rate may be by the same factors larger as in :func:`verdict`, or
    not clearly.

    Parameters
    ----------
    champion, challenger : Bundle
        Hold-out twins.
    data : TrainingData
        These readings (:func:`training.data.former.tested_on`).
    policy : ScoringPolicy
    group : str
        Group of all streams, in both bundles.
    """
    columns = []
    for bundle in (champion, challenger):
        model_set = bundle.model_set(group)
        missing = sorted(set(model_set.feature_names) - set(data.feature_names))
        if missing:
            return f"the readings that the champion was tested on lack {missing[0]}"
        sets = [model_set] * len(data.streams)
        held = HeldOut(sets, data.feature_names, data.streams, [0] * len(sets), policy)
        columns.append(alarm_rate(score_streams(held)[0]))
    old, new = columns
    budget = policy.budgets["medium"]
    if new["low"] > BUDGET_SLACK * budget and new["rate"] > RATE_SLACK * old["rate"]:
        return (
            f"it takes {new['rate']:.1%} of the readings that the champion was tested on for"
            f" anomalies, the champion {old['rate']:.1%}"
        )
    return ""


def lost(champion: Column, challenger: Column) -> list[str]:
    """Return the features that the champion watches and the challenger does not."""
    several = len({group for group, _ in champion.seen}) > 1
    out = []
    for (group, feature), before in champion.seen.items():
        now = challenger.seen.get((group, feature), 0.0)
        if before >= HALF > now and before - now >= LOST:
            out.append(f"{group}: {feature}" if several else feature)
    return out


def unmeasured(champion: Column, challenger: Column) -> list[str]:
    """Return the groups of which only the champion's share of injected faults is known.

    A single feature may have none, since it stood still. Without any, as after a training on a few
    readings, a bundle that sees nothing would count as not worse.
    """
    known = {group for (group, _), share in champion.seen.items() if share >= HALF}
    measured = {group for (group, _), share in challenger.seen.items() if not math.isnan(share)}
    return sorted(known - measured)


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


@dataclass(slots=True)
class _Part:
    """The streams of one of the challenger's groups."""

    group: str
    data: TrainingData
    skip: list[int]


def _by_group(
    challenger: Bundle, data: TrainingData, skip: Sequence[int], group: str | None
) -> list[_Part]:
    found: dict[str, list[int]] = {}
    for i, stream in enumerate(data.streams):
        name = group or challenger.group_for(stream.asset_id, stream.sensor_id, data.feature_of(i))
        found.setdefault(name, []).append(i)
    return [
        _Part(name, data.subset(members), [skip[i] for i in members])
        for name, members in found.items()
    ]


def _fill(
    column: Column,
    bundle: Bundle,
    parts: Sequence[_Part],
    policy: ScoringPolicy,
    progress: Progress | None,
    name: str,
    group: str | None,
    twins: bool,
) -> None:
    scored: list[Scored] = []
    found = of = 0
    for part in parts:
        sets = [
            _set_for(bundle, part.data, i, stream, group)
            for i, stream in enumerate(part.data.streams)
        ]
        held = HeldOut(sets, part.data.feature_names, part.data.streams, part.skip, policy)
        mine, points = score_with_points(held, progress=progress, stage=f"{name}: held-out")
        scored += mine
        power = measure_power(
            held, mine, points, trials=(WATCH,), progress=progress,
            stage=f"{name}: injected faults",
        )  # fmt: skip
        if power is not None:
            shares = {f: power.watch(f) for f in power.shares}
            of += power.injected * len(shares)
            found += round(power.injected * sum(shares.values()))
            column.seen |= {(part.group, f): share for f, share in shares.items()}
        for model_set in sets:
            _remembered(column, part.group, model_set, twins)
    column.alarms = alarm_rate(scored)
    column.labels = confusion(scored)
    if any(part.data.judged for part in parts):
        column.events = confirmed_faults(scored)
    else:
        events = labelled_events(scored)
        column.events = (sum(event["detected"] for event in events), len(events))
    column.injected = (found, of)


def _remembered(column: Column, group: str, model_set: ModelSet, twin: bool) -> None:
    """Fill in features that these readings could not measure, with the shares from training.

    A sensor may stand still now, and a model set fitted on that would no longer use it. If the
    share was not measured in training either, it is NaN: the model set uses the feature. Features
    that only the set that serves does not watch are not watched, whatever its twin detects.
    """
    recorded = Power.from_dict(model_set.power)
    for feature in recorded.lost:
        if twin or (group, feature) not in column.seen:
            column.seen[group, feature] = 0.0
    for feature in model_set.feature_names:
        column.seen.setdefault((group, feature), recorded.watch(feature))
