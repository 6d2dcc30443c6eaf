"""The experiments of the quality benchmark; each returns rows of one table.

All use default options, asset criticality medium and ``is_anomaly``; no labels are used for any
threshold. The comparisons beside ours use the 99.9 % quantile of their own training values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Series, read_cmapss, read_skab
from benchmarks.measures import alarm_rate, detection, first_run, hotelling, largest_z
from benchmarks.scored import run_series
from models.calibration import threshold_of
from models.ensemble import ModelSet
from models.fitting import FitOptions, fit_model_set
from models.thresholds import BUDGETS, Policy
from training.simulate import Plant, simulate

Floats = NDArray[np.float64]
MEDIUM = threshold_of(BUDGETS["medium"])
_DAYS = 2880  # two days of readings, one a minute
FIXED = "ours, tail fixed"
OURS = "ours"
PLAIN = {"Hotelling T^2": hotelling, "max |z|": largest_z}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one method on one data set, for one seed."""

    data: str
    method: str
    measure: str
    value: float


def _fit(values: Sequence[Floats], series: Series | None, names: list[str], seed: int) -> ModelSet:
    times = None if series is None else [series.timestamps[: len(v)] for v in values]
    return fit_model_set(values, times, names, FitOptions(seed=seed))[0]


def skab(shared: Path, seed: int, quick: bool) -> list[Row]:
    """SKAB valve1: fit on an experiment's first 400 rows, score the rest, pool all files."""
    labels: list[NDArray[Any]] = []
    alarms: dict[str, list[NDArray[np.bool_]]] = {}
    for series in read_skab(shared / "skab" / "valve1")[: 3 if quick else None]:
        train = series.values[:400]
        model_set = _fit([train], series, series.features, seed)
        labels.append(series.labels[400:])
        for method, policy in ((OURS, Policy()), (FIXED, Policy(adaptation=False))):
            run = run_series(model_set, series.timestamps, series.values, series.features, policy)
            alarms.setdefault(method, []).append(run.alarms(MEDIUM)[400:])
            if method == OURS:
                for name, scores in run.detectors.items():
                    alarms.setdefault(name, []).append(scores[400:] >= MEDIUM)
        for method, measure in PLAIN.items():
            known, fresh = measure(train, series.values[400:])
            alarms.setdefault(method, []).append(fresh > np.quantile(known, 0.999))
    return [
        Row("SKAB valve1", method, measure, value)
        for method, found in alarms.items()
        for measure, value in detection(labels, found).items()
    ]


def cmapss(shared: Path, seed: int, quick: bool) -> list[Row]:
    """FD001: fit on the first 30 % of engines 1-50, score 51-100; alarm = 5 cycles in a row."""
    engines = read_cmapss(shared / "cmapss" / "train_FD001.txt")
    names = engines[0].features
    train = [e.values[: int(0.3 * len(e.values))] for e in engines[:50]]
    model_set = _fit(train, engines[0], names, seed)
    pooled = np.concatenate(train)
    moving = pooled.std(axis=0) > 1e-9 * np.maximum(np.abs(pooled).max(axis=0), 1e-300)
    found: dict[str, list[tuple[int | None, int | None, int]]] = {}
    for engine in engines[50 : 60 if quick else None]:
        alarms = {}
        for method, policy in ((OURS, Policy()), (FIXED, Policy(adaptation=False))):
            run = run_series(model_set, engine.timestamps, engine.values, names, policy)
            alarms[method] = run.alarms(MEDIUM)
            if method == OURS:
                alarms |= {n: s >= MEDIUM for n, s in run.detectors.items()}
        for method, measure in PLAIN.items():
            known, fresh = measure(pooled[:, moving], engine.values[:, moving])
            alarms[method] = fresh > np.quantile(known, 0.999)
        n = len(engine.values)
        for method, a in alarms.items():
            late = a.copy()
            late[: n // 2] = False
            early = first_run(a[: n // 2], 5)
            found.setdefault(method, []).append((early, first_run(late, 5), n))
    rows = []
    for method, engines_found in found.items():
        leads = [n - 1 - at for _, at, n in engines_found if at is not None]
        total = len(engines_found)
        false = sum(early is not None for early, _, _ in engines_found) / total
        rows.append(Row("C-MAPSS FD001", method, "falsely alarmed", false))
        rows.append(Row("C-MAPSS FD001", method, "detected", len(leads) / total))
        lead = float(np.median(leads)) if leads else float("nan")
        rows.append(Row("C-MAPSS FD001", method, "median lead", lead))
    return rows


def calm(seed: int, quick: bool) -> list[Row]:
    """Normal readings of 100 simulated streams, without and with a slow ramp.

    Fitted on two days of twelve of them, since the plant's load has a daily cycle.
    """
    streams, length = (10, 3000) if quick else (100, 5000)
    rows = []
    for ramp, name in ((0.0, "simulated, normal"), (3.0, "simulated, slow ramp")):
        plant = simulate(
            assets=streams, readings=_DAYS + length, seed=seed, machines=("PUMP",), ramp=ramp
        )
        train = [v[:_DAYS] for v in plant.values[: min(12, streams)]]
        options = FitOptions(seed=seed)
        model_set, _ = fit_model_set(train, None, plant.feature_names, options)
        scores = [
            run_series(model_set, plant.timestamps[_DAYS:], v[_DAYS:], plant.feature_names).score
            for v in plant.values
        ]
        for criticality in ("critical", "medium", "low"):
            budget = BUDGETS[criticality]
            alarms = [s >= threshold_of(budget) for s in scores]
            rate, low, high = alarm_rate(alarms)
            half = length // 2
            label = f"rate / {budget:g}"
            rows.append(Row(name, OURS, label, rate / budget))
            rows.append(Row(name, OURS, f"{label}, low", low / budget))
            rows.append(Row(name, OURS, f"{label}, high", high / budget))
            late = float(np.mean([a[half:].mean() for a in alarms])) / budget
            rows.append(Row(name, OURS, f"{label}, second half", late))
    return rows


def anomaly_free(shared: Path, seed: int, quick: bool) -> list[Row]:
    """SKAB anomaly-free in real order: 4 rolling folds; steps of 5 sd on two sensors seen."""
    (series,) = read_skab(shared / "skab" / "anomaly-free")
    edges = np.linspace(0, len(series.values), 6).astype(int)
    alarms: dict[float, list[NDArray[np.bool_]]] = {1e-2: [], 1e-3: []}
    seen = {1e-2: 0.0, 1e-3: 0.0}
    folds = 1 if quick else 4
    for k in range(folds):
        train = series.values[edges[k] : edges[k + 1]]
        fresh = slice(edges[k + 1], edges[k + 2])
        model_set = _fit([train], series, series.features, seed)
        values, times = series.values[fresh], series.timestamps[fresh]
        run = run_series(model_set, times, values, series.features)
        at = len(values) // 2
        stepped = values.copy()
        columns = np.random.default_rng([seed, k]).choice(values.shape[1], 2, replace=False)
        stepped[at : at + 100, columns] += 5.0 * train.std(axis=0)[columns]
        step = run_series(model_set, times, stepped, series.features)
        for budget in alarms:
            threshold = threshold_of(budget)
            alarms[budget].append(run.alarms(threshold))
            more = step.alarms(threshold)[at : at + 100] & ~run.alarms(threshold)[at : at + 100]
            seen[budget] += float(more.any()) / folds
    rows = []
    for budget, found in alarms.items():
        rate, low, high = alarm_rate(found, block=200)
        label = f"rate / {budget:g}"
        rows.append(Row("SKAB anomaly-free", OURS, label, rate / budget))
        rows.append(Row("SKAB anomaly-free", OURS, f"{label}, low", low / budget))
        rows.append(Row("SKAB anomaly-free", OURS, f"{label}, high", high / budget))
        rows.append(Row("SKAB anomaly-free", OURS, f"steps seen at {budget:g}", seen[budget]))
    return rows


def plant(seed: int, quick: bool) -> list[Row]:
    """The simulated plant's faults by kind: event recall, delay, false events, explanations."""
    simulated = simulate(
        assets=4 if quick else 16, readings=9000, seed=seed, machines=("PUMP",), faults=4,
        first_fault=2000,
    )  # fmt: skip
    train = simulated.cut(0, 1500)
    options = FitOptions(seed=seed)
    model_set, _ = fit_model_set(train.values, train.times(), train.feature_names, options)
    return _faults(simulated, model_set)


def _faults(simulated: Plant, model_set: ModelSet) -> list[Row]:
    by_kind: dict[str, list[tuple[bool, int, bool]]] = {}
    false_events, top, single = 0, 0, 0
    for asset, values in zip(simulated.asset_ids, simulated.values, strict=True):
        run = run_series(
            model_set, simulated.timestamps, values, simulated.feature_names, asset=asset
        )
        alarms = run.alarms(MEDIUM)
        near: set[str | None] = {None}
        for fault in (f for f in simulated.faults if f.asset_id == asset):
            inside = np.flatnonzero(alarms[fault.start : fault.end])
            events = set(run.event[fault.start : fault.end]) - {None}
            near |= set(run.event[fault.start : fault.end + 120])
            hit = len(inside) > 0
            delay = int(inside[0]) if hit else -1
            by_kind.setdefault(fault.kind, []).append((hit, delay, len(events) == 1))
            if len(fault.features) == 1:
                causes = [run.cause[fault.start + i] for i in inside]
                single += len(causes)
                top += sum(cause == fault.features[0] for cause in causes)
        false_events += len(set(run.event) - near)
    minutes = len(simulated.timestamps) * len(simulated.asset_ids)
    name = "simulated faults"
    rows = [
        Row(name, OURS, "false events / stream-month", false_events / minutes * 43_200),
        Row(name, OURS, "cause named, single sensor", top / max(single, 1)),
        Row(
            name, OURS, "one event a fault",
            float(np.mean([one for found in by_kind.values() for hit, _, one in found if hit])),
        ),
    ]  # fmt: skip
    for kind, found in by_kind.items():
        rows.append(Row(name, OURS, f"{kind}: recall", float(np.mean([h for h, _, _ in found]))))
        delays = [float(d) for h, d, _ in found if h]
        rows.append(Row(name, OURS, f"{kind}: delay", float(np.median(delays or [np.nan]))))
    return rows


__all__ = ["Row", "anomaly_free", "calm", "cmapss", "plant", "skab"]
