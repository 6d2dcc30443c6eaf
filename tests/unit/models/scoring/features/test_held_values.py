"""A value held between its samples hides no fault of the others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from models.arrays import Floats
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import one
from tests.unit.models.scoring.readings.test_lost_readings import START, STEP

TRAINED, LIVE, HELD = 3_000, 4_400, 96
NAMES = ["a", "b", "c", "d", "e", "laboratory"]


def plant(readings: int, seed: int) -> Floats:
    """Return five sensors that keep .8 of their values, and a laboratory's: (readings, 6)."""
    rng = np.random.default_rng(seed)
    sensors = lfilter([0.6], [1.0, -0.8], rng.normal(size=(readings + 100, 5)), axis=0)[100:]
    samples = rng.normal(size=readings // HELD + 1)
    return np.column_stack([sensors, np.repeat(samples, HELD)[:readings]])


@pytest.mark.slow
def test_steps_are_detected_beside_a_value_held_between_samples():
    values = plant(TRAINED + LIVE, 1)
    times = np.datetime64("2026-01-01", "us") + np.arange(TRAINED) * np.timedelta64(10, "m")
    fitted, _ = fit_model_set([values[:TRAINED]], [times], NAMES, FitOptions(seed=0, folds=2))
    live = values[TRAINED:].copy()
    starts = range(200, LIVE - 100, 400)
    for k, at in enumerate(starts):
        live[at : at + 60, k % 5] += 5.0
    sent = [
        Reading(START + i * STEP, dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(live.tolist())
    ]
    alarms = np.array([r["is_anomaly"] for r in one(fitted, sent).results])
    assert sum(alarms[at : at + 60].any() for at in starts) >= len(starts) - 1
