"""Sensors whose scale changed in the middle of training."""

from __future__ import annotations

import numpy as np
import pytest

from models.fitting.faults.moved_sensors import realigned
from models.fitting.faults.sensor_shifts import shifts_of
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from tests.unit.models.fitting.faults.test_moved_sensors import seen
from tests.unit.models.fitting.garbage.test_zero_row_fit import NAMES as MACHINE
from tests.unit.models.fitting.garbage.test_zero_row_fit import TIMES, results

NAMES = ["speed", "flow", "head", "power"]
NOISE = np.array([6.0, 0.4, 0.15, 0.4])
N, AT = 4000, 2000


def fan(seed: int = 7, n: int = N) -> np.ndarray:
    """A fan (n, 4) that is set to another of five speeds now and then."""
    random = np.random.default_rng([seed, 3])
    lengths = random.integers(6, 30, n)
    set_to = random.choice([400.0, 700.0, 1000.0, 1300.0, 1600.0], n)
    speed = np.repeat(set_to, lengths)[:n]
    flow, head = speed / 20, (speed / 500) ** 2
    return np.c_[speed, flow, head, flow * head / 10] + random.normal(size=(n, 4)) * NOISE


@pytest.mark.parametrize("feature", range(4))
@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_readings_before_a_changed_gain_are_multiplied(feature, factor):
    clean = fan()
    values = clean.copy()
    values[AT:, feature] *= factor
    (moved,), notes = realigned([values], NAMES)
    np.testing.assert_array_equal(np.delete(moved, feature, 1), np.delete(values, feature, 1))
    changed = np.flatnonzero(moved[:, feature] != values[:, feature])
    assert abs(len(changed) - AT) < 15
    ratio = moved[changed, feature] / values[changed, feature]
    assert ratio == pytest.approx(np.full(len(changed), factor), rel=0.01)
    assert len(notes) == 1
    assert notes[0].startswith(f"{NAMES[feature]}: reads {ratio[0]:.4g} times as much for good")
    assert f"multiplied by {ratio[0]:.4g}" in notes[0]


@pytest.mark.parametrize("feature", range(4))
def test_a_shift_stays_a_shift(feature):
    values = fan()
    values[AT:, feature] += 0.15 * values[:, feature].mean()
    assert [(one.feature, one.factor) for one in shifts_of(values)] == [(feature, None)]


def test_what_a_shift_says_as_well_is_a_shift():
    values = fan()
    values[:, 0] = 1000.0 + np.random.default_rng(1).normal(size=N)
    values[AT:, 0] *= 1.1
    assert [(one.feature, one.factor) for one in shifts_of(values)] == [(0, None)]


def test_a_gain_that_changes_while_the_feature_is_low_is_found():
    n = np.arange(N)
    random = np.random.default_rng(5)
    load = 50.0 - 45.0 * np.cos(2 * np.pi * (n - AT) / 144)  # lowest at AT
    values = load[:, None] * [1.0, 0.4, 0.2] + random.normal(size=(N, 3)) * [0.6, 0.2, 0.1]
    assert shifts_of(values) == []
    values[AT:, 0] *= 1.1
    (found,) = shifts_of(values)
    assert found.feature == 0
    assert found.factor == pytest.approx(1.1, rel=0.01)
    assert abs(found.begin - AT) < 30


@pytest.mark.parametrize("seed", range(10))
def test_a_plant_of_one_scale_is_left(seed):
    assert shifts_of(fan(seed)) == []


def test_a_gain_that_comes_and_goes_or_grows_is_left():
    values = fan()
    values[1400:2600, 0] *= 1.15
    assert shifts_of(values) == []
    values = fan()
    values[:, 0] *= np.linspace(1.0, 1.15, N)
    assert shifts_of(values) == []


@pytest.mark.slow  # fits models
def test_a_changed_gain_in_training_blinds_no_sensor():
    values = fan()[:, :3]
    values[AT:, 0] *= 1.15
    svm = FitOptions(models=("one_class_svm",), folds=3)
    model_set, _ = fit_model_set([values], [TIMES], MACHINE, svm)
    fresh = fan(8, 2000)[:, :3]
    fresh[:, 0] *= 1.15
    assert not np.mean([one["is_anomaly"] for one in results(model_set, fresh)]) > 0.005
    assert [seen(model_set, fresh, feature, 6 * NOISE[feature]) for feature in range(3)] == [
        pytest.approx(1.0, abs=0.1)
    ] * 3
