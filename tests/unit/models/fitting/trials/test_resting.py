"""Features that nearly always rest do not hide the others."""

from __future__ import annotations

import numpy as np
import pytest

from models.detectors.base import ISOLATION_FOREST, ONE_CLASS_SVM
from models.fitting.model_set_fit import FitReport, fit_model_set
from models.fitting.options import FitOptions
from models.fitting.trials.resting import judge_resting
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import one
from tests.unit.models.scoring.readings.test_lost_readings import START, STEP

NAMES = ["load", "flow", "stops", "errors"]
TRAINED = 1500


def plant(n: int = TRAINED, seed: int = 1, rate: float = 0.01) -> np.ndarray:
    """Rows (n, 4): two sensors, a count of rare stops and a count of rarer errors."""
    draw = np.random.default_rng(seed)
    sensors = draw.normal(size=(n, 2))
    for i in range(1, n):
        sensors[i] += 0.7 * sensors[i - 1]
    errors = draw.poisson(rate, n) * draw.integers(1, 20, n)
    return np.column_stack([sensors, draw.poisson(0.03, n), errors])


@pytest.fixture(scope="module")
def fitted() -> tuple[ModelSet, FitReport]:
    options = FitOptions(seed=0, models=(ISOLATION_FOREST, ONE_CLASS_SVM))
    return fit_model_set([plant(3 * TRAINED)[:TRAINED]], None, NAMES, options)


def p_of(model_set: ModelSet, rows: np.ndarray) -> np.ndarray:
    readings = [
        Reading(START + i * STEP, dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(rows.tolist())
    ]
    return np.array([result["p"] for result in one(model_set, readings).results])


@pytest.mark.slow
def test_they_are_scored_by_frequency_where_their_distance_hides_the_others(fitted) -> None:
    model_set, report = fitted
    standing = model_set.preprocessing.standing
    assert standing is not None
    assert standing.names == ("stops", "errors")
    assert not standing.added
    assert any("stops, errors" in note and "how often they move" in note for note in report.notes)


@pytest.mark.slow
def test_steps_in_the_other_features_are_seen(fitted) -> None:
    rows = plant(3 * TRAINED)[TRAINED:]
    seen = []
    for i in range(10):
        part = rows[200 * i : 200 * i + 160].copy()
        part[140:, i % 2] += 6.0 * rows[:, i % 2].std()
        seen.append(p_of(fitted[0], part)[140:] <= 1e-3)
    assert np.mean(seen) >= 0.9  # by distance 0.01
    assert (p_of(fitted[0], rows) <= 1e-2).mean() <= 0.03


@pytest.mark.slow
def test_a_value_never_seen_is_rare_and_said(fitted) -> None:
    model_set, _ = fitted
    rows = plant(60, seed=7, rate=0.0)
    rows[50, 3] = 500.0
    rows[55, 2] = 1.0  # in three of a hundred
    readings = [
        Reading(START + i * STEP, dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(rows.tolist())
    ]
    results = one(model_set, readings).results
    assert results[50]["metadata"]["stood_still"] == ["errors"]
    assert results[50]["p"] <= 1e-2
    assert "stood_still" not in results[55]["metadata"]


def test_no_more_is_decided_than_the_data_show() -> None:
    rows = plant()
    assert judge_resting([rows[:, :2]]) is None  # none rests
    assert judge_resting([rows[:, 2:]]) is None  # all do
    assert judge_resting([rows[:150]]) is None  # too few readings
    found = judge_resting([rows])
    assert found is not None
    assert found.columns == (2, 3)
    assert found.counted == (found.by_frequency >= found.by_distance + 0.05)
