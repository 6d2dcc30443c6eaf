"""Counters are read by their rate: however high they stand, however the batch is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundles.bundle import Bundle
from models.fitting.model_set_fit import fit_model_set
from models.scoring.ensemble import score
from models.scoring.features.counters import LEAP, Counters
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.features.repeats import LENGTH
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.model_set import ModelSet
from models.scoring.readings.window_index import PACED_BY
from models.scoring.stream_replay import carried
from models.scoring.stream_work import Reading, StreamWork
from tests.fixtures.bundle import QUICK

pytestmark = pytest.mark.slow  # fits models
NAMES = ["load", "temperature", "energy"]
START = datetime(2026, 1, 1, tzinfo=UTC)
N = 900


def plant(seed: int = 3) -> np.ndarray:
    """Readings (N, 3): energy is about what the load used so far."""
    random = np.random.default_rng(seed)
    load = 50 + 10 * np.sin(np.arange(N) / 40) + random.normal(size=N)
    temperature = 20 + load / 2 + random.normal(size=N)
    used = load + 2 * random.normal(size=N)
    return np.column_stack([load, temperature, 1000 + np.cumsum(used / 60)])


def at(i: int) -> datetime:
    return START + timedelta(minutes=i)


def readings(values: np.ndarray) -> list[Reading]:
    return [
        Reading(at(i), dict(zip(NAMES, row, strict=True))) for i, row in enumerate(values.tolist())
    ]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """As it comes back from a stored bundle."""
    times = np.datetime64("2026-01-01", "us") + np.arange(N) * np.timedelta64(60, "s")
    made, report = fit_model_set([plant(seed) for seed in (1, 2)], [times] * 2, NAMES, QUICK)
    assert "energy: only rises, as a counter does: its rate per hour is used" in report.notes[0]
    folder = tmp_path_factory.mktemp("counters") / "bundle"
    Bundle({"default": made}).save(folder)
    return Bundle.load(folder).model_set("default")


def scored(
    fitted: ModelSet, points: Sequence[Reading], size: int = 1000, **given: Any
) -> list[dict[str, Any]]:
    """Results of a stream in batches of ``size``, as the bridge carries state and window."""
    state = None
    window: list[Reading] = []
    out: list[dict[str, Any]] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        work = StreamWork("A", None, None, "medium", state, window, part, **given)
        (outcome,) = score(fitted, [work])
        window = carried(window, part, outcome.results, outcome.window_length)
        state = json.loads(json.dumps(outcome.state))
        out += outcome.results
    return out


def scores(results: Sequence[dict[str, Any]]) -> list[float]:
    return [one.get("log10_p", np.nan) for one in results]


def test_how_high_a_counter_stands_is_nothing(fitted: ModelSet) -> None:
    values = plant()
    higher = values + np.array([0.0, 0.0, 1e5])
    results = scored(fitted, readings(values))
    assert sum(one["is_anomaly"] for one in results) <= 3
    again = scores(scored(fitted, readings(higher)))
    np.testing.assert_allclose(scores(results), again, atol=1e-3)
    assert fitted.window_length == LENGTH, "the first of which has no rate"
    without = replace(fitted, preprocessing=replace(fitted.preprocessing, repeats=None))
    assert without.window_length == QUICK.window - 1 + PACED_BY, "which counters need one of"
    assert "energy" not in fitted.profile, "recent counters are never as they were"


@pytest.mark.parametrize("size", [1, 17])
def test_the_cut_of_batches_makes_no_difference(fitted: ModelSet, size: int) -> None:
    values = plant()[:150]
    values[60:, 2] -= 1000  # set back
    points = readings(values)
    pause = timedelta(hours=9)
    points[90:] = [Reading(at(i) + pause, points[i].features) for i in range(90, 150)]
    points[110] = replace(points[110], timestamp=points[109].timestamp)
    points[120:120] = [points[95]]  # late
    points[130] = Reading(points[130].timestamp, {"load": 50.0})  # cannot be scored
    off = MaintenanceWindow("w", at(30), at(40))
    whole = scored(fitted, points, maintenance=[off])
    again = scored(fitted, points, size, maintenance=[off])
    np.testing.assert_allclose(scores(whole), scores(again), atol=1e-6)
    assert [one["metadata"] for one in whole] == [one["metadata"] for one in again]
    filled = [i for i, one in enumerate(whole) if "imputed" in one.get("metadata", {})]
    assert filled == [0, 40, 60, 90, 110, 120]
    assert "error" in whole[130]
    assert [i for i in filled if whole[i]["is_anomaly"]] == [], "a counter set back is no anomaly"


def test_one_that_stands_still_or_leaps_is_seen_and_said_in_its_rate(fitted: ModelSet) -> None:
    values = plant()[:200]
    values[150:, 2] = values[149, 2]
    values[100:, 2] += 1e9
    results = scored(fitted, readings(values))
    assert results[100]["is_anomaly"]
    assert results[150]["is_anomaly"]
    first = results[150]["metadata"]["explanation"]["features"][0]
    assert (first["feature"], first["per"], first["value"]) == ("energy", "hour", 0.0)
    assert 30 < first["expected"] < 70
    shown = results[100]["metadata"]["explanation"]["features"][0]["value"]
    counters = fitted.preprocessing.counters
    assert counters is not None
    assert shown == pytest.approx(LEAP * counters.largest[0])
    assert sum(one["is_anomaly"] for one in results[101:150]) <= 30, "a leap is over"


def test_a_window_sent_without_times_is_as_far_apart_as_ever(fitted: ModelSet) -> None:
    points = readings(plant()[:100])
    timed = StreamWork("A", None, None, "medium", None, points[70:99], points[99:])
    bare = replace(timed, window=[Reading(None, one.features) for one in points[70:99]])
    both = [score(fitted, [one])[0].results[0] for one in (timed, bare)]
    assert both[0]["log10_p"] == pytest.approx(both[1]["log10_p"], abs=1e-6)
    assert "imputed" not in both[1]["metadata"]


def test_a_counter_that_is_not_sent_is_missing(fitted: ModelSet) -> None:
    point = Reading(START, {"load": 50.0, "temperature": 45.0})
    (result,) = scored(fitted, [point])
    assert result["error"]["code"] == "missing_features"


def test_rates_of_a_stream_are_those_of_its_readings() -> None:
    counters = Counters(("energy",), (50.0,), (60.0,))
    values = plant()[:50]
    values[20:, 2] -= 500
    values[30:, 2] += 1e6
    points = readings(values)
    times = np.datetime64("2026-01-01", "us") + np.arange(50) * np.timedelta64(60, "s")
    rates = counters.rates(values, times, NAMES)
    passed = 60.0
    for i in range(1, 50):
        one = counters.read(points[i].features, points[i - 1].features, passed)
        assert one.get("energy", np.nan) == pytest.approx(rates[i, 2], nan_ok=True, rel=1e-12)
    assert np.flatnonzero(np.isnan(rates[:, 2])).tolist() == [0, 20]
    assert rates[30, 2] == LEAP * 60.0
    for absurd in (1e300, 1e304, 1.7e308):  # whose rate or count of units is none
        assert counters.read({"energy": absurd}, {"energy": 0.0}, passed) == {"energy": LEAP * 60.0}
    back = counters.counted(rates[1:19], times[:19], NAMES, values[0])
    np.testing.assert_allclose(back, values[1:19], rtol=1e-6)


def test_a_bundle_of_before_has_none(fitted: ModelSet, tmp_path: Path) -> None:
    known = fitted.preprocessing.to_dict()
    assert Preprocessing.from_dict(known).counters == fitted.preprocessing.counters
    del known["counters"]
    assert Preprocessing.from_dict(known).counters is None
