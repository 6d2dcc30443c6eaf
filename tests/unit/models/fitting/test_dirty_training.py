"""Training data as plants have them: garbage, spikes, still sensors, levels that hold or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.bundles.bundle import Bundle
from models.fitting.garbage.cleaning import clean
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.fitting.plan import FitPlan
from models.fitting.trials.following import judge_following
from models.fitting.trials.forecasting import choose_forecast
from models.fitting.trials.steadiness import judge_steadiness
from models.fitting.trials.tolerance import LADDER, Trial, _chosen, choose_horizon
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading, StreamWork
from training.simulate import simulate

pytestmark = pytest.mark.slow  # fits models

NAMES = ["vib", "temp", "flow"]
SVM = FitOptions(models=("one_class_svm",), folds=3)


def plant(n: int = 3000, seed: int = 0) -> np.ndarray:
    """Three sensors (n, 3) that follow one load."""
    random = np.random.default_rng(seed)
    load = np.sin(np.arange(n) / 60)[:, None]
    return np.array([2.0, 60.0, 30.0]) + np.array([0.3, 4, 2]) * (
        load + random.normal(size=(n, 3)) * 0.3
    )


def results(model_set: ModelSet, values: np.ndarray, names: list[str] = NAMES) -> list[dict]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    readings = [
        Reading(
            start + timedelta(minutes=i),
            {name: value for name, value in zip(names, row, strict=True) if value == value},
        )
        for i, row in enumerate(values.tolist())
    ]
    return score(model_set, [StreamWork("P1", None, None, "medium", None, (), readings)])[0].results


@pytest.fixture(scope="module")
def fitted() -> ModelSet:
    """A set fitted on the plant as it is."""
    return fit_model_set([plant()], None, NAMES, SVM)[0]


@pytest.fixture(scope="module")
def coded() -> ModelSet:
    """A set fitted on a plant whose flow sends -200 if it was not measured."""
    values = plant()
    values[::20, 2] = -200.0
    return fit_model_set([values], None, NAMES, replace(SVM, missing="impute", max_imputed=1))[0]


@pytest.fixture(scope="module")
def fresh() -> np.ndarray:
    """Readings after training, a fault of eight standard deviations in the middle."""
    values = plant(900, seed=1)
    values[400:500, 0] += 8 * 0.3 * 0.75
    return values


@pytest.mark.parametrize("garbage", [[65535.0], [-999.0] * 12, [1.1754944e-38], [3.4e38], [-1e200]])
def test_garbage_in_training_changes_nothing_and_is_named(garbage, fresh, fitted):
    dirty = plant()
    dirty[1000 : 1000 + len(garbage), 0] = garbage
    model_set, report = fit_model_set([dirty], None, NAMES, SVM)
    alarms = [
        np.array([r["is_anomaly"] for r in results(one, fresh)]) for one in (fitted, model_set)
    ]
    assert alarms[1][400:500].mean() > 0.9
    assert abs(alarms[0].mean() - alarms[1].mean()) < 0.01
    assert any("vib" in n and "no measurement" in n and "row" in n for n in report.notes)


def test_garbage_that_comes_live_is_a_sensor_fault_and_teaches_nothing(tmp_path, fitted):
    Bundle({"default": fitted}).save(tmp_path / "bundle")
    again = Bundle.load(tmp_path / "bundle").model_set("default")
    values = plant(60, seed=2)
    values[50, 1] = 65535.0
    for one in (fitted, again):
        (bad,) = [r for r in results(one, values) if r["metadata"].get("outside_limits")]
        assert bad["metadata"]["outside_limits"] == ["temp"]
        assert bad["metadata"]["event"]["kind"] == "sensor_fault"
        assert bad["metadata"]["window"] == "left_out"
        assert bad["final_score"] == 1.0


def test_a_code_that_stood_for_not_measured_is_a_missing_value_live(coded):
    assert coded.preprocessing.nulls == dict.fromkeys(NAMES, (-200.0,))
    fresh = plant(100, seed=3)
    fresh[60, 2] = -200.0
    found = results(coded, fresh)[60]
    assert found["metadata"]["imputed"] == ["flow"]
    assert not found["is_anomaly"]


def test_more_such_codes_than_may_be_imputed_are_too_many_missing_values_not_a_sensor_fault(coded):
    fresh = plant(100, seed=3)
    fresh[60:90] = -200.0
    found = results(coded, fresh)
    assert [at for at, one in enumerate(found) if "error" in one] == list(range(60, 90))
    assert "final_score" not in found[60]


def test_scattered_garbage_is_a_sensor_fault_live_where_nothing_is_imputed(fresh):
    values, random = plant(), np.random.default_rng(4)
    here = random.random(len(values)) < 0.1
    values[here, 0] = random.uniform(-1e5, 1e5, here.sum())
    model_set, report = fit_model_set([values], None, NAMES, SVM)
    assert any("vib" in note and "sensor fault live" in note for note in report.notes)
    live = fresh.copy()
    live[600, 0] = -7e4
    live[700:, 0] = 5000.0
    found = results(model_set, live)
    assert found[600]["metadata"]["outside_limits"] == ["vib"]
    assert all(one["metadata"]["event"]["kind"] == "sensor_fault" for one in found[700:])
    assert np.mean([one["is_anomaly"] for one in found[400:500]]) > 0.9


def test_a_constant_column_counts_among_those_of_which_a_reading_may_lack_a_few():
    values = np.column_stack([plant(), plant(seed=1)[:, :1], np.full(3000, 7.0)])
    names = [*NAMES, "speed", "valve"]
    model_set, _ = fit_model_set([values], None, names, SVM)
    fresh = np.column_stack([plant(100, seed=3), plant(100, seed=4)[:, :1], np.full(100, 7.0)])
    fresh[60, 1] = np.nan
    assert results(model_set, fresh, names)[60]["metadata"]["imputed"] == ["temp"]


def test_a_sensor_that_stood_still_in_training_and_moves_is_a_fault():
    values = np.column_stack([plant(), np.full(3000, 7.0)])
    names = [*NAMES, "valve"]
    model_set, _ = fit_model_set([values], None, names, SVM)
    fresh = np.column_stack([plant(300, seed=4), np.full(300, 7.0)])
    fresh[200:210, 3] = 7.5
    found = results(model_set, fresh, names)
    assert [r["is_anomaly"] for r in found[200:210]].count(True) >= 8
    assert found[205]["metadata"]["stood_still"] == ["valve"]
    first, *others = found[205]["metadata"]["explanation"]["features"]
    assert (first["feature"], first["value"], first["expected"]) == ("valve", 7.5, 7.0)
    assert first["share"] > 0.5
    assert [one["feature"] for one in others] != []
    assert sum(one["share"] for one in (first, *others)) == pytest.approx(1.0, abs=1e-4)
    assert not any(r["is_anomaly"] for r in found[:200])
    still, _ = fit_model_set(
        [values], None, names, FitOptions(models=SVM.models, folds=3, watch_still=False)
    )
    assert not any(r["is_anomaly"] for r in results(still, fresh, names))


@pytest.mark.parametrize("baseline", ["auto", 20])
def test_a_stream_whose_only_sensor_stood_still_is_trained_and_judged(tmp_path, baseline):
    options = replace(SVM, baseline=baseline)
    model_set, report = fit_model_set([np.full((1500, 1), 3.0)], None, ["level"], options)
    Bundle({"default": model_set}).save(tmp_path / "bundle")
    again = Bundle.load(tmp_path / "bundle").model_set("default")
    values = np.full((50, 1), 3.0)
    values[30:] = 4.0
    for one in (model_set, again):
        flags = [r["is_anomaly"] for r in results(one, values, ["level"])]
        assert flags == [False] * 30 + [True] * 20
        (explained,) = results(one, values, ["level"])[40]["metadata"]["explanation"]["features"]
        assert (explained["share"], explained["value"], explained["expected"]) == (1.0, 4.0, 3.0)
    assert any("no detector" in note for note in report.notes)


def test_far_and_very_far_are_told_apart_by_log10_p(fitted):
    values = plant(100, seed=5)
    found = []
    for size in (3.0, 10.0, 30.0):
        moved = values.copy()
        moved[80, 0] += size
        found.append(results(fitted, moved)[80])
    assert [r["final_score"] for r in found] == [1.0, 1.0, 1.0]
    assert found[0]["log10_p"] > found[1]["log10_p"] > found[2]["log10_p"]
    assert all(r["p"] >= 1e-12 for r in found)


def walk(n: int = 800, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.cumsum(random.normal(0, 0.1, size=(n, 4)), axis=0) + random.normal(size=(n, 4))


def test_a_cycle_is_no_drift_and_a_walk_is():
    assert choose_horizon([plant(4000)])[0] == 0
    assert choose_horizon([walk()])[0] > 100


@pytest.mark.parametrize(
    ("surplus", "horizon"),
    [
        ((72.0, 65.0, 61.0, 45.0, 31.0, 22.0), 800),
        ((9.6, 8.8, 8.8, 10.0, 10.8, 10.8), 800),  # as many but for chance
        ((23.9, 24.6, 28.6, 42.6, 49.9, 50.0), 0),  # a year of gas sensors
        ((5.0, 4.0, 3.0, 2.0, 1.0, 0.5), 100),
    ],
)
def test_an_allowance_that_brings_alarms_is_not_taken(surplus, horizon):
    trials = [Trial(h, 0.95, s) for h, s in zip(LADDER, surplus, strict=True)]
    assert _chosen(trials).horizon == horizon


def test_one_spike_one_stuck_stretch_change_no_decision():
    values = plant(4000)
    usual = choose_horizon([values])[0]
    spiked, stuck = values.copy(), values.copy()
    spiked[1500, 0] += 50.0
    stuck[1500:1560] = stuck[1500]
    assert choose_horizon([spiked])[0] == choose_horizon([stuck])[0] == usual


def test_levels_that_hold_need_no_tail_that_follows():
    calm, wandering = judge_steadiness([plant(4000)], 0, 0.1), judge_steadiness([walk()], 0, 0.1)
    assert calm is not None
    assert calm.steady
    assert wandering is not None
    assert not wandering.steady


def test_a_tail_follows_as_far_as_it_may_only_where_the_levels_go_on_and_on():
    """Else what it follows is faults that last: narrow limits show more, within the budget."""
    calm = judge_following([plant(4000)], 0, 0.1, slow=True)
    assert calm is not None
    assert calm.narrow_enough
    assert calm.power[1] > calm.power[0]
    assert calm.surplus[1] < 3
    lasting = walk(4000)
    lasting[:, 0] += np.arange(4000) * 0.05  # a level that never comes back
    wandering = judge_following([lasting], 0, 0.1, slow=True)
    assert wandering is not None
    assert not wandering.narrow_enough
    odd = plant(4000)
    odd[3300:3500, 0] += 6.0  # one stretch out of the ordinary decides nothing
    still = judge_following([odd], 0, 0.1, slow=True)
    assert still is not None
    assert still.narrow_enough


@pytest.mark.parametrize(("begin", "end"), [(0.42, 0.58), (0.05, 0.37)])
def test_levels_that_wandered_gently_once_are_followed_as_far_as_may_be(begin, end):
    """The first is news to one trial forwards in time, the second to both of those backwards."""
    at = np.arange(4000) / 4000
    wave = 0.7 * np.sin(np.pi * (at - begin) / (end - begin)) * ((at > begin) & (at < end))
    values = np.random.default_rng(0).normal(size=(4000, 3)) + wave[:, None]
    found = judge_following([values], 0, 0.1, slow=True)
    assert found is not None
    assert found.surplus[1] < 3
    assert not found.narrow_enough


@pytest.mark.parametrize("seed", range(3))
def test_streams_of_which_each_goes_on_somewhere_are_followed_as_far_as_may_be(seed):
    """Even where a trial on what little was seen of it alarms within the budget."""
    names = ("PUMP",)
    going = simulate(assets=12, readings=7_880, seed=seed, machines=names, ramp=3.0)
    found = judge_following([v[:2_880] for v in going.values], 800, 0.03, slow=False)
    assert found is not None
    assert not found.narrow_enough


def test_an_adaptation_that_was_asked_for_is_taken_and_none_is_tried():
    names = list("abcd")
    asked = FitPlan(clean([walk(1500)], None, names), FitOptions(adaptation=0.002))
    assert asked.following is None
    assert asked.adaptation.rate == 0.002
    assert FitPlan(clean([walk(1500)], None, names), FitOptions()).following is not None


def test_a_forecast_is_used_only_where_it_holds():
    calm = choose_forecast([plant(4000)], 0.1, 5)
    assert calm is not None
    assert calm.holds
    assert calm.surplus < 3
    changing = plant(1000) + np.random.default_rng(1).normal(size=(1000, 3)) * np.array(
        [[0.0]] * 500 + [[2.0]] * 500
    )
    other = choose_forecast([changing], 0.1, 5)
    assert other is not None
    assert not other.holds


def test_too_little_data_decide_nothing():
    assert choose_horizon([plant(100)]) == (0, [])
    assert judge_steadiness([plant(100)], 0, 0.1) is None
    assert judge_following([plant(100)], 0, 0.1, slow=True) is None
    assert choose_forecast([plant(100)], 0.1, 5) is None


def day_and_load(days: int, seed: int) -> np.ndarray:
    """Two sensors that follow a load closely and one that follows the day, 48 readings a day."""
    random = np.random.default_rng(seed)
    n = 48 * days
    load = 10 * np.convolve(random.normal(size=n + 20), np.full(20, 20**-0.5), "full")[20 : n + 20]
    day = 8 * np.sin(2 * np.pi * np.arange(n) / 48)
    return np.column_stack([load, 2 * load, 20 + day]) + random.normal(size=(n, 3))


@pytest.mark.parametrize("hole", [np.nan, -999.0])
def test_outages_of_sensors_that_follow_the_day_or_a_load_cost_no_power(hole):
    """What is imputed must fit the time of the day, and the load as closely as sensors do."""
    values = day_and_load(40, seed=0)
    for begin in range(0, len(values) - 80, 80):  # each sensor in turn, for half a day
        values[begin : begin + 24, begin // 80 % 3] = hole
    times = np.datetime64("2026-01-01", "us") + np.arange(len(values)) * np.timedelta64(30, "m")
    options = replace(SVM, missing="impute", max_imputed=1)
    model_set, _ = fit_model_set([values], [times], NAMES, options)
    assert model_set.preprocessing.seasonality is not None
    assert sees_small_steps(model_set)


def sees_small_steps(model_set: ModelSet) -> bool:
    """Whether steps in later readings alarm, where they are small beside a load and a day."""
    later = day_and_load(10, seed=1)
    later[100:130, 2] += 6.0
    later[300:330, 0] += 8.0
    start = datetime(2026, 3, 1, tzinfo=UTC)
    readings = [
        Reading(start + timedelta(minutes=30 * i), dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(later.tolist())
    ]
    work = StreamWork("P1", None, None, "medium", None, (), readings)
    alarms = np.array([r["is_anomaly"] for r in score(model_set, [work])[0].results])
    assert alarms[np.r_[0:100, 160:300, 360:480]].mean() < 0.02
    return bool(alarms[100:130].any() and alarms[300:330].any())


def test_a_sensor_stuck_for_two_days_of_training_costs_no_power():
    """It breaks the relation to the others for so long that it hides among its own readings."""
    values = day_and_load(40, seed=0)
    values[900:996, 0] = values[900, 0]
    times = np.datetime64("2026-01-01", "us") + np.arange(len(values)) * np.timedelta64(30, "m")
    model_set, report = fit_model_set([values], [times], NAMES, SVM)
    assert any("vib: 95 readings repeat a value as a stuck sensor" in n for n in report.notes)
    at = "2026-01-19 18:30:00 to 2026-01-21 17:30:00"
    assert any(at in note for note in report.notes)
    assert sees_small_steps(model_set)
