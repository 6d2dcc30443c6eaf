"""Seasons: found where features follow the clock and only there, and worth having."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from errors import TrainingError
from models.arrays import Floats, Times
from models.bundles.serialization import load_model_set, save_model_set
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.fitting.periods import _usual
from models.fitting.reading_times import epoch_seconds
from models.fitting.seasonality_fit import SeasonalFit, find_seasonality
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading, StreamWork

NAMES = ["load", "heat", "noise"]
START = np.datetime64("2026-02-02T00:00:00", "us")  # a Monday


def times_of(days: float, minutes: int = 60) -> Times:
    return START + np.arange(int(days * 1440 / minutes)) * np.timedelta64(minutes, "m")


def plant(times: Times, seed: int = 0, zone_s: float = 0.0, period_h: float = 24.0) -> Floats:
    """Return (n, 3): load and heat follow the time with deviations of their own, noise does not."""
    rng = np.random.default_rng(seed)
    angle = (epoch_seconds(times) + zone_s) / 3600.0 * 2.0 * np.pi / period_h
    rest = lfilter([0.6], [1.0, -0.8], rng.normal(size=(len(times), 3)), axis=0)
    usual = np.stack([8.0 * np.sin(angle), 5.0 * np.cos(angle) ** 3, 0.0 * angle], axis=1)
    return np.asarray(usual + rest)


def found(values: Floats, times: Times, asked: str = "auto") -> SeasonalFit:
    return find_seasonality([values], [times], NAMES, asked)


def test_features_that_follow_the_time_of_the_day_lose_what_is_usual_at_it() -> None:
    times = times_of(20)
    made = found(plant(times), times)
    assert made.seasonality is not None
    assert made.seasonality.described() == ["day"]
    assert made.figures["day_features"] == 2
    assert "load, heat" in made.notes[0]
    later = START + np.timedelta64(30, "D") + np.arange(240) * np.timedelta64(1, "h")
    fresh = plant(later, 1)
    left = fresh - made.seasonality.offsets(epoch_seconds(later))
    assert left[:, 0].std() < 0.25 * fresh[:, 0].std()
    np.testing.assert_array_equal(left[:, 2], fresh[:, 2])


def test_a_training_reading_is_restated_by_other_days_than_its_own() -> None:
    times = times_of(20)
    values = plant(times)
    far = values.copy()
    day = slice(5 * 24, 6 * 24)
    far[day] += 40.0 * np.sin(np.arange(24.0))[:, None]
    (with_it,), (without,) = (found(v, times).restate([v], [times]) for v in (far, values))
    # that day's own readings move by as much as they did, other days by hardly anything
    np.testing.assert_allclose((with_it - without)[day], (far - values)[day], atol=0.5)
    assert np.abs(np.delete(with_it - without, np.r_[day], axis=0)).max() < 2.0


def room(n: int, seed: int) -> Floats:
    """Return (n, 6), every 10 minutes: five sensors that follow a load, a room's temperature."""
    rng = np.random.default_rng(seed)
    rest = lfilter([0.6], [1.0, -0.8], rng.normal(size=(n, 6)), axis=0)
    load = lfilter([0.1], [1.0, -0.995], rng.normal(size=n))
    day = np.sin(np.arange(n) / 144 * 2.0 * np.pi)
    return np.asarray(rest + np.outer(load, [1, 2, 0.5, 0.3, 0, 0]) + np.outer(day, [0] * 5 + [8]))


@pytest.mark.parametrize("faulty", [False, True], ids=["clean", "unlabelled faults"])
def test_one_feature_of_six_is_restated_if_its_own_faults_are_seen_better(faulty: bool) -> None:
    times = times_of(30, 10)
    values = [room(len(times), seed) for seed in (0, 1)]
    for start in (900, 1940, 2980) if faulty else ():
        values[0][start : start + 60, 5] += 7.0
    made = find_seasonality(values, [times] * 2, list("abcdef"), trim=0.15)
    assert made.follow is not None
    assert made.follow.tolist() == [False] * 5 + [True]


@pytest.mark.parametrize("others", [[], [0.0], [2.0]], ids=["alone", "constant", "multiple"])
def test_a_set_point_that_the_clock_sets_exactly_may_be_all_that_varies(others):
    """Nothing is left of it, so nothing can be related to it."""
    times = times_of(20, 30)
    day = 5.0 * (np.arange(len(times)) % 48 < 24)
    values = np.column_stack([day, *(factor * day for factor in others)])
    made = find_seasonality([values], [times], NAMES[: values.shape[1]])
    assert made.follow is not None
    assert made.follow.tolist() == [True, *(factor > 0 for factor in others)]


def test_relations_between_features_outlive_their_season() -> None:
    times = times_of(20, 10)
    rng = np.random.default_rng(0)
    swing = 25.0 * np.sin(np.arange(len(times)) / 144 * 2.0 * np.pi)
    load = 60.0 + swing + lfilter([1.2], [1.0, -0.95], rng.normal(size=len(times)))
    volts = 110.0 + lfilter([0.3], [1.0, -0.98], rng.normal(size=len(times)))
    values = np.column_stack([load, volts, volts - 0.05 * load])
    values[1000:1040, 0] += 60.0  # a fault, and garbage, of one feature each
    values[700, 1] *= 3.0
    relation = np.array([0.05, -1.0, 1.0])
    made = found(values, times)
    assert made.seasonality is not None
    (restated,) = made.restate([values], [times])
    later = values - made.seasonality.offsets(epoch_seconds(times))
    fault = np.isin(np.arange(len(times)), [700, *range(1000, 1040)])
    for rest in (restated, later):
        assert np.ptp((rest @ relation)[~fault]) < 1e-3


@pytest.mark.parametrize(("low", "high"), [(16.0, 20.0), (16.3, 20.1)])
def test_a_set_point_that_a_clock_sets_exactly_is_restated(low: float, high: float) -> None:
    times = times_of(20, 10)
    hours = epoch_seconds(times) / 3600 % 24
    values = plant(times)
    values[:, 2] = np.where((hours >= 6) & (hours < 14), high, low)
    made = found(values, times)
    assert made.follow is not None
    assert made.follow.tolist() == [True, True, True]
    (restated,) = made.restate([values], [times])
    assert restated[:, 2].std() < 1e-6
    spread = made.least([values])
    assert spread is not None
    assert spread[2] > 0.0


def test_at_most_a_quarter_of_the_readings_at_a_time_is_left_out_beside_gaps() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_t(1, size=(40, 24, 3))
    values[rng.random((40, 24)) < 0.5] = np.nan
    usual = _usual(values)
    there = ~np.isnan(values).any(axis=2)
    assert (usual.sum(axis=0) >= 0.75 * there.sum(axis=0)).all()
    assert not usual[~there].any()


@pytest.mark.parametrize("period_h", [10.0, 25.0])
def test_another_period_is_no_season(period_h: float) -> None:
    times = times_of(30)
    assert found(plant(times, period_h=period_h), times).seasonality is None


def test_noise_and_wandering_levels_have_no_season() -> None:
    times = times_of(30)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(times), 3))
    assert found(noise, times).seasonality is None
    assert found(noise.cumsum(axis=0), times).seasonality is None


def test_fewer_than_five_complete_days_no_times_or_slow_readings_have_no_season() -> None:
    times = times_of(4.5)
    assert found(plant(times), times).seasonality is None
    assert found(plant(times_of(6)), times_of(6)).seasonality is not None
    slow = times_of(20, 240)  # six readings a day, and two complete weeks
    assert found(plant(slow), slow).seasonality is None
    assert find_seasonality([plant(times_of(20))], None, NAMES).seasonality is None


def test_a_machine_that_runs_on_mondays_only_is_restated_by_other_mondays() -> None:
    times = times_of(84)
    mondays = (epoch_seconds(times) // 86_400 + 3) % 7 == 0
    values, monday = plant(times)[mondays], times[mondays]
    made = found(values, monday)
    assert made.seasonality is not None
    profiles = {season.profile.tobytes() for season in made.folds[0]}
    assert len(profiles) > 10


def test_a_zone_whose_clock_nothing_follows_is_named() -> None:
    times = times_of(20)
    noise = np.random.default_rng(0).normal(size=(len(times), 3))
    assert "Asia/Tokyo" in found(noise, times, "Asia/Tokyo").notes[0]
    assert found(noise, times).notes == []


def test_it_can_be_switched_off() -> None:
    times = times_of(20)
    assert found(plant(times), times, "none").seasonality is None


def test_missing_hours_and_days_and_a_fault_of_a_day_do_not_matter() -> None:
    times = times_of(25)
    values = plant(times)
    values[7 * 24 : 8 * 24] = 30.0
    keep = np.random.default_rng(0).random(len(times)) < 0.95
    keep[12 * 24 : 14 * 24 + 7] = False
    made = found(values[keep], times[keep])
    assert made.seasonality is not None
    fresh = plant(times, 3)
    left = fresh - made.seasonality.offsets(epoch_seconds(times))
    assert left[:, 0].std() < 0.3 * fresh[:, 0].std()


def test_a_third_of_the_readings_missing_here_and_there_does_not_matter() -> None:
    """So many lack a value if each of four sensors lacks a tenth, one by one."""
    times = times_of(20, minutes=10)
    kept = np.random.default_rng(0).random(len(times)) < 0.9**4
    made = found(plant(times)[kept], times[kept])
    assert made.figures["day_features"] == 2


def test_days_that_lack_every_night_are_not_complete() -> None:
    times = times_of(20, minutes=10)
    day = epoch_seconds(times) % 86_400 >= 6 * 3600
    assert found(plant(times)[day], times[day]).seasonality is None


def test_a_week_is_found_on_top_of_a_day() -> None:
    times = times_of(70)
    weekend = (epoch_seconds(times) // 86_400 + 3) % 7 >= 5
    values = plant(times) - np.where(weekend, 9.0, 0.0)[:, None] * [1.0, 1.0, 0.0]
    made = found(values, times)
    assert made.seasonality is not None
    assert "week" in made.seasonality.described()
    left = made.restate([values], [times])[0]
    assert abs(left[weekend, 0].mean() - left[~weekend, 0].mean()) < 1.0


def test_a_plant_that_keeps_local_time_is_followed_by_the_clock_of_its_zone() -> None:
    winter = times_of(50)  # until a week before the clocks are put forward
    summer = winter + np.timedelta64(70, "D")
    made = found(plant(winter, zone_s=3600.0), winter, "Europe/Berlin")
    utc = found(plant(winter, zone_s=3600.0), winter)
    assert made.seasonality is not None
    assert utc.seasonality is not None
    fresh = plant(summer, 1, zone_s=7200.0)
    left = [
        (fresh - one.offsets(epoch_seconds(summer)))[:, 0].std()
        for one in (made.seasonality, utc.seasonality)
    ]
    assert left[0] < 0.75 * left[1]


def test_streams_without_a_complete_day_do_no_harm() -> None:
    times = times_of(20)
    values = plant(times)
    short = find_seasonality([values, values[:5]], [times, times[:5]], NAMES)
    assert short.seasonality is not None
    assert [len(one) for one in short.restate([values, values[:5]], [times, times[:5]])] == [480, 5]


@pytest.mark.parametrize("asked", ["always", "Europe/Atlantis", ""])
def test_an_option_that_is_no_zone_is_named(asked: str) -> None:
    with pytest.raises(TrainingError, match=r"seasonality: .* is not auto, none or an IANA"):
        FitOptions(seasonality=asked)


def fitted(option: str) -> ModelSet:
    times = times_of(30, 20)
    options = FitOptions(models=("one_class_svm",), folds=3, seasonality=option)
    return fit_model_set([plant(times)], [times], NAMES, options)[0]


@pytest.fixture(scope="module")
def model_set() -> ModelSet:
    return fitted("auto")


def judged(model_set: ModelSet, night: bool) -> dict[str, object]:
    """Return the result of a reading of noon, sent at noon or at midnight."""
    later = START + np.timedelta64(40, "D") + np.arange(220) * np.timedelta64(20, "m")
    values = plant(later, 2)
    values[-1] = plant(later[-37:], 2)[0 if night else -1]  # 36 readings, 12 hours, apart
    usual = later.astype("datetime64[us]").tolist()
    readings = [
        Reading(t.replace(tzinfo=UTC), dict(zip(NAMES, row, strict=True)))
        for t, row in zip(usual, values.tolist(), strict=True)
    ]
    (outcome,) = score(model_set, [StreamWork("A", None, None, "medium", None, [], readings)])
    return outcome.results[-1]


@pytest.mark.slow
def test_what_is_normal_at_noon_is_a_fault_at_night_and_explained_by_the_night(
    model_set: ModelSet,
) -> None:
    assert model_set.preprocessing.seasonality is not None
    assert not judged(model_set, night=False)["is_anomaly"]
    odd = judged(model_set, night=True)
    assert odd["is_anomaly"]
    explanation = odd["metadata"]["explanation"]  # type: ignore[index]
    assert explanation["seasons"] == ["day"]
    by_name = {one["feature"]: one for one in explanation["features"]}
    last = START + np.timedelta64(40, "D") + np.arange(219, 220) * np.timedelta64(20, "m")
    usual = 8.0 * np.sin(epoch_seconds(last)[0] / 43_200.0 * np.pi)
    assert abs(by_name["load"]["expected"] - usual) < 2.5
    without = fitted("none")
    assert without.preprocessing.seasonality is None
    assert not judged(without, night=True)["is_anomaly"]


@pytest.mark.slow
def test_splitting_a_batch_or_storing_the_set_changes_nothing(
    model_set: ModelSet, tmp_path: Path
) -> None:
    save_model_set(model_set, tmp_path / "set")
    again = load_model_set(tmp_path / "set")
    start = datetime(2026, 4, 1, tzinfo=UTC)
    values = plant(START + np.timedelta64(58, "D") + np.arange(200) * np.timedelta64(20, "m"), 5)
    readings = [
        Reading(start + timedelta(minutes=20 * i), dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(values.tolist())
    ]
    whole = score(model_set, [StreamWork("A", None, None, "low", None, [], readings)])[0].results
    state, parts = None, []
    for some in (readings[:77], readings[77:]):
        (outcome,) = score(again, [StreamWork("A", None, None, "low", state, [], some)])
        state = outcome.state
        parts += outcome.results
    assert [one["final_score"] for one in parts] == [one["final_score"] for one in whole]


def test_of_many_streams_some_are_looked_at_on_every_day() -> None:
    times = times_of(12)
    streams = [plant(times, seed) for seed in range(60)]
    streams.append(streams[0][:1])
    made = find_seasonality(streams, [times] * 60 + [times[:1]], NAMES)
    assert made.seasonality is not None
    left = made.restate(streams[:1], [times])[0]
    assert left[:, 0].std() < 0.35 * streams[0][:, 0].std()


def test_a_steady_trend_is_no_season() -> None:
    times = times_of(30)
    rng = np.random.default_rng(0)
    ramp = np.arange(len(times))[:, None] * [0.5, 1.0, -0.7] + rng.normal(size=(len(times), 3))
    assert found(ramp, times).seasonality is None


def test_a_day_that_working_days_only_follow_is_no_day_but_a_week() -> None:
    times = times_of(84)
    works = (epoch_seconds(times) // 86_400 + 3) % 7 < 5
    rest = np.random.default_rng(1).normal(size=(len(times), 3))
    values = np.where(works[:, None], plant(times), rest)
    made = found(values, times)
    assert made.seasonality is not None
    assert made.seasonality.described() == ["week"]
    month = len(times_of(30))  # four weeks show no week
    assert found(values[:month], times[:month]).seasonality is None


def test_assets_with_a_day_each_show_no_season() -> None:
    days = [times_of(1.9)[5 * at : 5 * at + 21] + np.timedelta64(at, "D") for at in range(4)]
    streams = [plant(times, seed) for seed, times in enumerate(days)]
    assert find_seasonality(streams, days, NAMES).seasonality is None


def test_features_that_follow_on_some_weekdays_only_do_not_count_for_a_day() -> None:
    times = times_of(30)  # four weeks: too few for a week
    works = (epoch_seconds(times) // 86_400 + 3) % 7 < 5
    rest = np.random.default_rng(1).normal(size=(len(times), 7))
    shifts = np.concatenate([plant(times, seed)[:, :1] for seed in range(6)], axis=1)
    values = np.concatenate([np.where(works[:, None], shifts, rest[:, :6]), rest[:, 6:]], axis=1)
    names = [f"shift{at}" for at in range(6)] + ["noise"]
    assert find_seasonality([values], [times], names).seasonality is None


@pytest.mark.slow
def test_a_set_point_that_follows_the_clock_exactly_is_normal_at_its_times_only() -> None:
    times = times_of(24, 30)
    values = plant(times)
    values[:, 0] = 20.0 + 3.0 * np.sin(np.arange(len(times)) / 24.0 * np.pi)
    options = FitOptions(models=("one_class_svm",), folds=3)
    trained = fit_model_set([values[: 20 * 48]], [times[: 20 * 48]], NAMES, options)[0]
    assert trained.preprocessing.seasonality is not None
    assert "load" in trained.preprocessing.names
    for wrong in (False, True):
        later = values[20 * 48 :].copy()
        later[100, 0] += 3.0 * wrong
        readings = [
            Reading(t.replace(tzinfo=UTC), dict(zip(NAMES, row, strict=True)))
            for t, row in zip(times[20 * 48 :].tolist(), later.tolist(), strict=True)
        ]
        (outcome,) = score(trained, [StreamWork("A", None, None, "medium", None, [], readings)])
        found_at = [i for i, one in enumerate(outcome.results) if one["is_anomaly"]]
        assert (100 in found_at) is wrong
        assert len([i for i in found_at if not 100 <= i < 140]) <= 1
