"""Measure alarm rates with little training data, on noise of seven kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.measures import alarm_rate
from benchmarks.methods import judge
from benchmarks.report import Row
from models.arrays import Bools, Floats
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from training.simulate import ar1

Noise = Callable[[np.random.Generator, int, int], Floats]

_SIZES = ((600, 1), (1000, 2), (1000, 8), (4000, 8))  # training readings, features
_FRESH = 20_000
_BUDGETS = (1e-2, 1e-3)


def _regimes(rng: np.random.Generator, n: int, d: int) -> Floats:
    """Return three operating points, each held for 60 readings on average."""
    points = np.random.default_rng(99).normal(0.0, 5.0, size=(3, d))
    change = rng.random(n) < 1 / 60
    change[0] = True
    drawn = rng.integers(3, size=int(change.sum()))
    out: Floats = points[drawn[np.cumsum(change) - 1]] + rng.normal(size=(n, d))
    return out


def _load(rng: np.random.Generator, n: int, d: int) -> Floats:
    """Return features that follow one load with a cycle of 180 readings, each with its gain."""
    gain = np.random.default_rng(98).normal(0.0, 3.0, size=d)
    cycle = np.sin(2 * np.pi * np.arange(n) / 180 + rng.uniform(0, 6))
    load = cycle + 0.3 * ar1(rng, n, 0.95)
    return load[:, None] * gain + rng.normal(size=(n, d))


KINDS: dict[str, Noise] = {
    "white": lambda rng, n, d: rng.normal(size=(n, d)),
    "autoregressive .7": lambda rng, n, d: ar1(rng, (n, d), 0.7),
    "autoregressive .95": lambda rng, n, d: ar1(rng, (n, d), 0.95),
    "Student's t, 4": lambda rng, n, d: rng.standard_t(4, size=(n, d)),
    "lognormal": lambda rng, n, d: np.exp(0.5 * rng.normal(size=(n, d))),
    "three regimes": _regimes,
    "load cycle": _load,
}


def noise(seed: int, quick: bool) -> list[Row]:
    """Return alarm rates on new readings after little training, averaged over the noises."""
    rows = []
    for n, d in _SIZES[:1] if quick else _SIZES:
        names = [f"f{j}" for j in range(d)]
        times = np.datetime64("2026-01-01", "us") + np.arange(_FRESH) * np.timedelta64(60, "s")
        found: dict[tuple[str, float], list[Bools]] = {}
        for k, draw in enumerate(KINDS.values()):
            values = draw(np.random.default_rng([seed, k, n, d]), n + _FRESH, d)
            train, fresh = values[:n], values[n:]
            model_set, _ = fit_model_set([train], None, names, FitOptions(seed=seed))
            judged = judge(model_set, times, fresh, names, train)
            for budget in _BUDGETS:
                for method, alarms in judged.alarms(budget).items():
                    found.setdefault((method, budget), []).append(alarms)
        for (method, budget), alarms_of in found.items():
            rate, low, high = (r / budget for r in alarm_rate(alarms_of))
            measure = f"rate / {budget:g}, {n:,} x {d}"
            rows.append(Row("noise of seven kinds", method, measure, rate, low, high))
    return rows
