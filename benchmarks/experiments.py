"""Run the quality benchmark's experiments on public data; each returns rows of the tables.

All use default options, asset criticality medium and ``is_anomaly``; no threshold uses labels. The
simple methods for comparison alarm beyond a quantile of their training values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Series, read_cmapss, read_skab
from benchmarks.measures import alarm_rate, detection, first_run
from benchmarks.methods import judge
from benchmarks.plain import precision, ranked
from benchmarks.report import Row
from models.arrays import Bools, Floats
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.model_set import ModelSet
from models.scoring.policy import BUDGETS

MEDIUM = BUDGETS["medium"]


def _fit(values: Sequence[Floats], series: Series, seed: int) -> ModelSet:
    times = [series.timestamps[: len(v)] for v in values]
    return fit_model_set(values, times, series.features, FitOptions(seed=seed))[0]


def skab(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure SKAB valve1: fit on an experiment's first 400 rows, score the rest, pool files."""
    labels: list[NDArray[Any]] = []
    found: dict[str, list[Bools]] = {}
    scores = []
    for series in read_skab(shared / "skab" / "valve1")[: 3 if quick else None]:
        train = series.values[:400]
        model_set = _fit([train], series, seed)
        judged = judge(model_set, series.timestamps, series.values, series.features, train)
        labels.append(series.labels[400:])
        scores.append(ranked(train, series.values[400:], judged.run.rank[400:]))
        for method, alarms in judged.alarms(MEDIUM).items():
            found.setdefault(method, []).append(alarms[400:])
    rows = [
        Row("SKAB valve1", method, measure, value)
        for method, alarms_of in found.items()
        for measure, value in detection(labels, alarms_of).items()
    ]
    return rows + precision("SKAB valve1", labels, scores)


def cmapss(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure FD001: fit on the first 30 % of engines 1-50, score 51-100; alarm = 5 in a row."""
    engines = read_cmapss(shared / "cmapss" / "train_FD001.txt")
    names = engines[0].features
    train = [e.values[: int(0.3 * len(e.values))] for e in engines[:50]]
    model_set = _fit(train, engines[0], seed)
    pooled = np.concatenate(train)
    found: dict[str, list[tuple[int | None, int | None, int]]] = {}
    judged_engines = engines[50 : 60 if quick else None]
    scores = []
    for engine in judged_engines:
        judged = judge(model_set, engine.timestamps, engine.values, names, pooled)
        n = len(engine.values)
        scores.append(ranked(pooled, engine.values, judged.run.rank))
        for method, alarms in judged.alarms(MEDIUM).items():
            late = alarms.copy()
            late[: n // 2] = False
            early = first_run(alarms[: n // 2], 5)
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
    return rows + precision("C-MAPSS FD001", [e.labels for e in judged_engines], scores)


def anomaly_free(shared: Path, seed: int, quick: bool) -> list[Row]:
    """Measure SKAB anomaly-free in real order: 4 rolling folds; steps of 5 sd on two sensors."""
    (series,) = read_skab(shared / "skab" / "anomaly-free")
    edges = np.linspace(0, len(series.values), 6).astype(int)
    budgets = (1e-2, 1e-3)
    found: dict[tuple[str, float], list[Bools]] = {}
    seen: dict[tuple[str, float], list[float]] = {}
    for k in range(1 if quick else 4):
        train = series.values[edges[k] : edges[k + 1]]
        fresh = slice(edges[k + 1], edges[k + 2])
        model_set = _fit([train], series, seed)
        values, times = series.values[fresh], series.timestamps[fresh]
        calmly = judge(model_set, times, values, series.features, train)
        at = len(values) // 2
        stepped = values.copy()
        columns = np.random.default_rng([seed, k]).choice(values.shape[1], 2, replace=False)
        stepped[at : at + 100, columns] += 5.0 * train.std(axis=0)[columns]
        step = judge(model_set, times, stepped, series.features, train)
        for budget in budgets:
            disturbed = step.alarms(budget)
            for method, alarms in calmly.alarms(budget).items():
                found.setdefault((method, budget), []).append(alarms)
                more = (disturbed[method] & ~alarms)[at : at + 100]
                seen.setdefault((method, budget), []).append(float(more.any()))
    rows = []
    for (method, budget), folds in found.items():
        rate, low, high = (r / budget for r in alarm_rate(folds, block=200))
        rows.append(Row("SKAB anomaly-free", method, f"rate / {budget:g}", rate, low, high))
        share = float(np.mean(seen[method, budget]))
        rows.append(Row("SKAB anomaly-free", method, f"steps seen at {budget:g}", share))
    return rows
