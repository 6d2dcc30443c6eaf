"""Sensors that were replaced or adjusted in the middle of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.faults.moved_sensors import realigned
from models.fitting.faults.sensor_shifts import shifts_of
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.model_set import ModelSet
from tests.unit.models.fitting.garbage.test_zero_row_fit import NAMES, TIMES, results
from tests.unit.models.fitting.garbage.test_zero_row_fit import plant as machine

N, AT, LATE = 3000, 1700, slice(1700, None)


def load(seed: int, n: int = N) -> np.ndarray:
    """A slow load (n, 1) of standard deviation 1."""
    random = np.random.default_rng(seed).normal(size=n) * np.sqrt(1 - 0.97**2)
    return lfilter([1.0], [1.0, -0.97], random)[:, None]


def plant(seed: int = 0, n: int = N) -> np.ndarray:
    """Three sensors (n, 3) that follow one load, with noise of .3, .6 and 1.5."""
    noise = np.random.default_rng([seed, 1]).normal(size=(n, 3))
    return np.array([1.0, 2.0, 5.0]) * (load(seed, n) + 0.3 * noise)


@pytest.mark.parametrize("feature", [0, 1, 2])
@pytest.mark.parametrize("at", [900, 2200])
def test_a_sensor_that_moves_alone_for_good_is_moved_to_its_newest_level(feature, at):
    values = plant()
    values[at:, feature] += 2.0 * (1, 2, 5)[feature]
    other = plant(seed=1)
    (first, moved), notes = realigned([other, values], NAMES)
    assert first is other
    size = moved[0, feature] - values[0, feature]
    assert size == pytest.approx(2.0 * (1, 2, 5)[feature], rel=0.1)
    changed = np.flatnonzero((moved != values).any(axis=1))
    assert abs(len(changed) - at) < 15
    np.testing.assert_array_equal(changed, np.arange(len(changed)))
    assert len(notes) == 1
    assert notes[0].startswith(f"{NAMES[feature]}: shifts by +")
    assert f"row {N + len(changed) + 1} of" in notes[0]


def test_sensors_that_move_at_different_times_are_each_moved():
    values = plant()
    values[900:, 0] -= 2.0
    values[2000:, 2] += 10.0
    assert [(one.feature, round(one.size)) for one in shifts_of(values)] in (
        [(0, -2), (2, 10)], [(2, 10), (0, -2)],
    )  # fmt: skip


def test_a_sensor_is_moved_back_where_two_other_streams_read_as_it_did_before():
    values, others = plant(), [plant(seed=1), plant(seed=2)]
    values[2400:, 1] += 6.0
    (*same, moved), (note,) = realigned([*others, values], NAMES)
    assert all(one is other for one, other in zip(same, others, strict=True))
    changed = np.flatnonzero((moved != values).any(axis=1))
    assert abs(len(changed) - 600) < 15
    assert changed[-1] == N - 1
    assert moved[-1, 1] - values[-1, 1] == pytest.approx(-6.0, rel=0.1)
    assert "while the other streams read as it did before" in note
    assert "moved back" in note


def test_a_stream_of_a_few_readings_does_not_tell_which_level_is_usual():
    values, others = plant(), [plant(seed=1), plant(seed=2), plant(seed=3, n=20) + 50.0]
    values[2400:, 1] += 6.0
    (*_, moved), (note,) = realigned([*others, values], NAMES)
    assert moved[-1, 1] - values[-1, 1] == pytest.approx(-6.0, rel=0.1)
    assert "moved back" in note
    _, (note,) = realigned([others[0], others[2], values], NAMES)
    assert "moved to its new level" in note


def test_a_feature_that_others_never_move_tells_their_level():
    values, others = plant(), [plant(seed=1), plant(seed=2)]
    for other in others:
        other[:, 0] = 0.0
    values[2400:, 1] += 6.0
    _, (note,) = realigned([*others, values], NAMES)
    assert "moved back" in note


def test_a_feature_named_as_a_condition_keeps_its_levels():
    """A heater that was on for some days, alone, is no fault if the caller says so."""
    values = plant()
    values[1000:1500, 0] += 2.5
    values[2000:, 2] += 10.0
    (moved,), (note,) = realigned([values], NAMES, conditions=[NAMES[0]])
    np.testing.assert_array_equal(moved[:, :2], values[:, :2])
    assert note.startswith(NAMES[2])


def test_a_sensor_that_reads_as_the_others_in_the_end_is_moved_to_this_level():
    values, others = plant(), [plant(seed=1), plant(seed=2)]
    values[:1500, 1] += 6.0
    (*_, moved), (note,) = realigned([*others, values], NAMES)
    np.testing.assert_array_equal(moved[1600:], values[1600:])
    assert "moved to its new level" in note


@pytest.mark.parametrize("levels", [(40.0, -40.0), (0.0, 6.0)])
def test_streams_that_differ_as_much_do_not_tell_which_level_is_usual(levels):
    values, others = plant(), [plant(seed=1), plant(seed=2)]
    for other, level in zip(others, levels, strict=True):
        other[:, 1] += level
    values[2400:, 1] += 6.0
    (*_, moved), (note,) = realigned([*others, values], NAMES)
    np.testing.assert_array_equal(moved[2500:], values[2500:])
    assert "moved to its new level" in note


@pytest.mark.parametrize(("begin", "end"), [(1000, 1200), (300, 1500), (2600, 2900)])
def test_a_sensor_that_moves_alone_and_comes_back_is_moved_back(begin, end):
    values = plant()
    values[begin:end, 0] += 2.5
    (moved,), (note,) = realigned([values], NAMES)
    changed = np.flatnonzero((moved != values).any(axis=1))
    assert abs(changed[0] - begin) < 15
    assert abs(changed[-1] - end) < 15
    assert (moved - values)[changed[0], 0] == pytest.approx(-2.5, rel=0.1)
    assert f"row {changed[0] + 1} of" in note
    assert f"back at row {changed[-1] + 2} of" in note


def test_a_short_fault_that_lasts_counts_only_if_other_streams_confirm_it():
    values = plant()
    values[2800:, 0] += 2.5
    (alone,), notes = realigned([values], NAMES)
    assert alone is values
    assert notes == []
    (*_, moved), (note,) = realigned([plant(seed=1), plant(seed=2), values], NAMES)
    assert abs(np.flatnonzero((moved != values).any(axis=1))[0] - 2800) < 15
    assert "moved back" in note


def test_a_short_fault_in_the_last_readings_is_found_whatever_their_number():
    """4,031 readings are 192 blocks of 20 and 191 readings more, which belonged to none."""
    values, begin = plant(n=4031), 4031 - 75
    values[begin:, 0] += 2.5
    (*_, moved), (note,) = realigned([plant(seed=1), plant(seed=2), values], NAMES)
    assert abs(np.flatnonzero((moved != values).any(axis=1))[0] - begin) < 15
    assert "moved back" in note


def test_a_shift_of_a_huge_value_is_found():
    """The rounded mean of such a feature passed for a level of its own."""
    values = np.random.default_rng(0).normal(size=(N, 4)) + 1e15
    values[1000:2000, 1] += 5.0
    (found,) = shifts_of(values)
    assert (found.feature, round(found.size)) == (1, 5)


def test_a_sensor_that_is_off_at_first_is_moved_to_its_level_since():
    values = plant()
    values[:200, 0] += 2.5
    (moved,), (note,) = realigned([values], NAMES)
    assert abs(np.flatnonzero((moved != values).any(axis=1))[-1] - 200) < 15
    assert "moved to its new level" in note


def more_load(x: np.ndarray) -> None:
    x[LATE] += 10.0 * np.array([1.0, 2.0, 5.0])


def two_at_once(x: np.ndarray) -> None:
    x[LATE, :2] += 2.0 * np.array([1.0, 2.0])


def back_slowly(x: np.ndarray) -> None:
    x[1000:2000, 0] += np.linspace(2.0, 0.0, 1000)


def twice(x: np.ndarray) -> None:
    x[500:800, 0] += 2.0
    x[2000:2300, 0] += 2.0


def more_load_for_a_while(x: np.ndarray) -> None:
    x[1000:1500] += 10.0 * np.array([1.0, 2.0, 5.0])


def slowly(x: np.ndarray) -> None:
    x[:, 0] += np.linspace(0.0, 3.0, len(x))


def within_days(x: np.ndarray) -> None:
    x[:, 0] += np.interp(np.arange(len(x)), [1200, 1800], [0.0, 3.0])


def setpoint(x: np.ndarray) -> None:
    x[:, 0], x[LATE, 0] = 60.0, 65.0


def once(x: np.ndarray) -> None:
    x[AT : AT + 60, 0] += 5.0


@pytest.mark.parametrize(
    "change",
    [
        more_load,
        more_load_for_a_while,
        two_at_once,
        back_slowly,
        twice,
        slowly,
        within_days,
        setpoint,
        once,
    ],
)
def test_what_is_no_replaced_sensor_is_left(change: Callable[[np.ndarray], None]):
    values = plant()
    change(values)
    assert shifts_of(values) == []


@pytest.mark.parametrize("seed", range(20))
def test_clean_and_wandering_levels_are_left(seed):
    assert shifts_of(plant(seed)) == []
    steps = np.random.default_rng(seed).normal(size=(N, 6))
    assert shifts_of(np.cumsum(steps, axis=0)) == []
    assert shifts_of(np.cumsum(steps, axis=0) * 0.03 + plant(seed)[:, :1]) == []


def test_a_single_feature_and_a_short_stream_tell_nothing():
    values = plant()
    values[AT:, 0] += 2.0
    assert shifts_of(values[:, :1]) == []
    assert shifts_of(values[AT - 200 : AT + 200]) == []


def seen(model_set: ModelSet, clean: np.ndarray, feature: int, size: float) -> float:
    """Share of steps of 30 readings that alarm."""
    values, starts = clean.copy(), range(100, len(clean) - 40, 180)
    for begin in starts:
        values[begin : begin + 30, feature] += size
    alarms = np.array([one["is_anomaly"] for one in results(model_set, values)])
    return float(np.mean([alarms[begin : begin + 30].any() for begin in starts]))


@pytest.mark.slow  # fits models
def test_a_sensor_replaced_in_training_blinds_neither_itself_nor_others():
    values = machine(seed=0)
    values[2000:, 0] += 4.0
    svm = FitOptions(models=("one_class_svm",), folds=3)
    model_set, report = fit_model_set([values], [TIMES], NAMES, svm)
    assert any(note.startswith("current: shifts by") for note in report.notes)
    fresh = machine(1200, seed=2)
    fresh[:, 0] += 4.0
    assert not np.mean([one["is_anomaly"] for one in results(model_set, fresh)]) > 0.005
    assert seen(model_set, fresh, 2, 6 * 0.06) > 0.9
    assert seen(model_set, fresh, 0, 6 * 0.8) > 0.9
    _, report = fit_model_set([values], [TIMES], NAMES, replace(svm, trim=0.0, adaptation=0.0))
    assert not any("shifts by" in note for note in report.notes)
