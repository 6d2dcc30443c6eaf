"""The experiments of the quality benchmark on the simulated plant."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.measures import alarm_rate
from benchmarks.methods import Judged, judge
from benchmarks.report import OURS, Row
from models.arrays import Bools, Floats
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.model_set import ModelSet
from models.scoring.policy import BUDGETS
from training.simulate import Fault, Plant, simulate

_DAYS = 2880  # two days of readings, one per minute
_MONTH = 43_200
_RATED = ("critical", "medium", "low")


def calm(seed: int, quick: bool) -> list[Row]:
    """Score normal readings of 100 simulated streams, without and with a slow ramp.

    Fitted on two days of twelve of them, since the plant's load has a daily cycle; the other 88
    are streams the model has never met. The ensemble with a fixed quantile is run on 20.
    """
    streams, length = (10, 3000) if quick else (100, 5000)
    rows = []
    for ramp, name in ((0.0, "simulated, normal"), (3.0, "simulated, slow ramp")):
        simulated = simulate(
            assets=streams, readings=_DAYS + length, seed=seed, machines=("PUMP",), ramp=ramp
        )
        train = [v[:_DAYS] for v in simulated.values[: min(12, streams)]]
        model_set, _ = fit_model_set(train, None, simulated.feature_names, FitOptions(seed=seed))
        pooled = np.concatenate(train)
        found: dict[tuple[str, str], list[Bools]] = {}
        for i, values in enumerate(simulated.values):
            judged = judge(
                model_set, simulated.timestamps[_DAYS:], values[_DAYS:], simulated.feature_names,
                pooled, fixed=i < 20,
            )  # fmt: skip
            for criticality in _RATED:
                for method, alarms in judged.alarms(BUDGETS[criticality]).items():
                    found.setdefault((method, criticality), []).append(alarms)
        for (method, criticality), alarms_of in found.items():
            rows += _rates(name, method, BUDGETS[criticality], alarms_of)
    return rows


def _rates(name: str, method: str, budget: float, alarms: list[Bools]) -> list[Row]:
    """Return the alarm rate over budget with its interval, for the run and for either half."""
    rate, low, high = (r / budget for r in alarm_rate(alarms))
    rows = [Row(name, method, f"rate / {budget:g}", rate, low, high)]
    half = len(alarms[0]) // 2
    for part, label in ((slice(half), "first"), (slice(half, None), "second")):
        rate, low, high = (r / budget for r in alarm_rate([a[part] for a in alarms]))
        rows.append(Row(name, method, f"rate / {budget:g}, {label} half", rate, low, high))
    return rows


def plant(seed: int, quick: bool) -> list[Row]:
    """The simulated plant's faults by kind: event recall, delay, false events, explanations."""
    simulated = simulate(
        assets=4 if quick else 16, readings=9000, seed=seed, machines=("PUMP",), faults=4,
        first_fault=_DAYS,
    )  # fmt: skip
    train = simulated.cut(0, _DAYS)
    options = FitOptions(seed=seed)
    model_set, _ = fit_model_set(train.values, train.times(), train.feature_names, options)
    return _faults(simulated, model_set, np.concatenate(train.values))


def _faults(simulated: Plant, model_set: ModelSet, train: Floats) -> list[Row]:
    by_kind: dict[tuple[str, str], list[tuple[bool, int]]] = {}
    false: dict[str, list[float]] = {}
    false_events: list[int] = []
    one_event: list[bool] = []
    cause_right: list[bool] = []
    for asset, values, labels in zip(
        simulated.asset_ids, simulated.values, simulated.labels, strict=True
    ):
        judged = judge(
            model_set, simulated.timestamps, values, simulated.feature_names, train,
            asset=asset, fixed=False,
        )  # fmt: skip
        faults = [f for f in simulated.faults if f.asset_id == asset]
        for method, alarms in judged.alarms(BUDGETS["medium"]).items():
            quiet = labels == 0
            for fault in faults:
                quiet[fault.end : fault.end + 120] = False
                inside = np.flatnonzero(alarms[fault.start : fault.end])
                at = int(inside[0]) if len(inside) else -1
                by_kind.setdefault((method, fault.kind), []).append((len(inside) > 0, at))
            false.setdefault(method, []).append(float(alarms[quiet].mean()))
        false_events.append(_false_events(judged, faults))
        for fault in faults:
            events = set(judged.run.event[fault.start : fault.end]) - {None}
            one_event += [len(events) == 1] * bool(events)
            if len(fault.features) == 1:
                causes = [c for c in judged.run.cause[fault.start : fault.end] if c is not None]
                cause_right += [cause == fault.features[0] for cause in causes]
    name = "simulated faults"
    minutes = len(simulated.timestamps) * len(simulated.asset_ids)
    rows = [
        Row(name, OURS, "false events / stream-month", _MONTH * sum(false_events) / minutes),
        Row(name, OURS, "cause named, single sensor", float(np.mean(cause_right))),
        Row(name, OURS, "one event a fault", float(np.mean(one_event))),
    ]
    measures: list[tuple[str, Callable[[list[tuple[bool, int]]], float]]] = [
        ("recall", lambda hits: float(np.mean([hit for hit, _ in hits]))),
        (
            "delay",
            lambda hits: float(np.median([float(at) for hit, at in hits if hit] or [np.nan])),
        ),
    ]
    for label, figure in measures:
        for (method, kind), hits in by_kind.items():
            rows.append(Row(name, method, f"{kind}: {label}", figure(hits)))
    for method, rates in false.items():
        rows.append(Row(name, method, "alarms outside faults / 0.001", float(np.mean(rates)) * 1e3))
    return rows


def _false_events(judged: Judged, faults: list[Fault]) -> int:
    """Return the number of events without any reading in a fault or the two hours after it."""
    near: set[str | None] = {None}
    for fault in faults:
        near |= set(judged.run.event[fault.start : fault.end + 120])
    return len(set(judged.run.event) - near)
