"""Lost, late and incomplete readings of a machine whose cycle a window knows by heart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.fitting.reading_times import regular_interval
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import in_pieces, one

NAMES = [f"f{j}" for j in range(5)]
STEP = timedelta(minutes=10)
START = datetime(2026, 1, 5, tzinfo=UTC)
TRAINED = 1500


def cycles(n: int, seed: int = 0) -> np.ndarray:
    """Rows (n, 5) of a cycle of 20 readings, with noise."""
    phase = 2.0 * np.pi * np.arange(n)[:, None] / 20.0
    lag = 1.3 * np.arange(5)
    noise = 0.3 * np.random.default_rng(seed).normal(size=(n, 5))
    return 3.0 * np.sin(phase + lag) + 1.5 * np.sin(2.0 * phase + lag**2) + noise


ROWS = cycles(TRAINED + 600)


@pytest.fixture(scope="module")
def cyclic() -> ModelSet:
    times = np.datetime64("2026-01-05", "us") + np.arange(TRAINED) * np.timedelta64(600, "s")
    model_set, _ = fit_model_set([ROWS[:TRAINED]], [times], NAMES, FitOptions(seed=0))
    assert model_set.preprocessing.step == 600.0
    return model_set


@pytest.fixture(scope="module")
def correlated(cyclic) -> ModelSet:
    """The same, as if similar readings did not tell what is missing."""
    pre = replace(cyclic.preprocessing, neighbours=None)
    return replace(cyclic, preprocessing=pre)


@pytest.fixture(params=["similar", "correlated"])
def either(request, cyclic, correlated) -> ModelSet:
    return cyclic if request.param == "similar" else correlated


def sent(lacking: dict[int, str] | None = None) -> list[Reading]:
    """The readings after training; some lack a feature."""
    out = []
    for i in range(TRAINED, len(ROWS)):
        features = dict(zip(NAMES, map(float, ROWS[i]), strict=True))
        features.pop((lacking or {}).get(i - TRAINED, ""), None)
        out.append(Reading(START + i * STEP, features))
    return out


def share(model_set: ModelSet, readings: list[Reading]) -> float:
    results = one(model_set, readings).results
    return float(np.mean([result["p"] <= 1e-2 for result in results]))


def test_normal_readings_hardly_alarm_where_others_are_lost_late_or_incomplete(cyclic) -> None:
    draw = np.random.default_rng(1)
    there = draw.random(600) > 0.05
    lost = [reading for reading, kept in zip(sent(), there, strict=True) if kept]
    place = np.arange(600.0) + np.where(draw.random(600) < 0.1, draw.integers(2, 8, 600) + 0.5, 0.0)
    late = [sent()[i] for i in np.argsort(place, kind="stable")]
    lacking = {i: NAMES[i % 5] for i in np.flatnonzero(draw.random(600) < 0.1).tolist()}
    intact = share(cyclic, sent())
    for readings in (lost, late):
        # 0.26 to 0.56 more where windows close over what is lost
        assert share(cyclic, readings) <= intact + 0.05
    # 0.03 to 0.14 more where what is missing is imputed by correlations
    assert share(cyclic, sent(lacking)) <= intact + 0.01


def test_while_a_sensor_is_out_windows_hold_what_similar_readings_tell(cyclic) -> None:
    """Imputed by correlations, 0.48 of all readings alarm; bridged in windows, 0.33."""
    draw = np.random.default_rng(3)
    lacking: dict[int, str] = {}
    for first in range(60, 590, 45):
        sensor, start = NAMES[draw.integers(5)], first + int(draw.integers(20))
        lacking |= dict.fromkeys(range(start, start + 6), sensor)
    assert share(cyclic, sent(lacking)) <= share(cyclic, sent()) + 0.01
    results = one(cyclic, sent(lacking)).results
    assert all(results[i]["metadata"]["window"] == "added" for i in lacking)
    assert all(len(results[i]["scores"]) == 3 for i in lacking)


def test_a_reading_that_lacks_a_feature_is_scored_without_the_window(correlated) -> None:
    results = one(correlated, sent({100: "f2"})).results
    short, after = results[100], results[101]
    assert short["metadata"]["imputed"] == ["f2"]
    assert short["metadata"]["window"] == "left_out"
    assert "insufficient_history" not in short["metadata"]
    assert len(short["scores"]) == 2
    assert len(after["scores"]) == 3


def test_in_a_window_without_times_nothing_is_known_to_be_lost(cyclic) -> None:
    """As a client sends it with a single reading: all of it counts, imputed or not."""
    readings = sent({50: "f2"})[:51]
    window = [Reading(None, reading.features) for reading in readings[:50]]
    (result,) = one(cyclic, readings[50:], window=window).results
    assert result["metadata"]["imputed"] == ["f2"]
    assert len(result["scores"]) == 3


def test_a_sensor_that_stays_away_is_imputed_in_windows_after_a_few_readings(correlated) -> None:
    results = one(correlated, sent(dict.fromkeys(range(100, 160), "f2"))).results
    marks = [result["metadata"]["window"] for result in results[100:160]]
    assert marks == ["left_out"] * 5 + ["added"] * 55
    assert all(len(result["scores"]) == 3 for result in results[105:160])


@pytest.mark.parametrize("size", [1, 7])
def test_cut_differently_what_is_lost_is_bridged_the_same(either, size: int) -> None:
    readings = sent({40: "f1", 41: "f1", 77: "f4"})[:140]
    del readings[90:92], readings[60], readings[30:34]
    whole = one(either, readings)
    results, _ = in_pieces(either, readings, size)
    for a, b in zip(whole.results, results, strict=True):
        assert b["log10_p"] == pytest.approx(a["log10_p"], abs=1e-4)
        assert b["metadata"]["window"] == a["metadata"]["window"]


@pytest.mark.parametrize("seed", range(4))
def test_so_it_is_however_many_are_lost_late_or_incomplete(either, seed: int) -> None:
    draw = np.random.default_rng(seed)
    readings = sent({i: NAMES[i % 5] for i in np.flatnonzero(draw.random(600) < 0.3).tolist()})
    readings = [one for one, kept in zip(readings, draw.random(600) < 0.6, strict=True) if kept]
    for at in draw.integers(10, 200, 5).tolist():
        readings.insert(at + 4, readings.pop(at))
    del readings[100:145]
    whole = one(either, readings[:220])
    results, _ = in_pieces(either, readings[:220], 3)
    for a, b in zip(whole.results, results, strict=True):
        assert b["log10_p"] == pytest.approx(a["log10_p"], abs=1e-4)
        assert b["metadata"]["window"] == a["metadata"]["window"]


def test_a_stream_that_sends_less_often_loses_nothing(cyclic) -> None:
    """Its rows are not bridged to training's interval: windows are of its own."""
    readings = sent()[::2]
    full = [len(result["scores"]) == 3 for result in one(cyclic, readings).results]
    assert full.index(True) > 20


def test_an_interval_is_regular_if_nearly_all_are_alike() -> None:
    start = np.datetime64("2026-01-05", "us")
    even = start + np.arange(100) * np.timedelta64(60, "s")
    assert regular_interval([np.delete(even, [5, 20, 50])]) == 60.0
    assert regular_interval([even[::2], even]) is None
    odd = start + np.cumsum(np.random.default_rng(0).integers(1, 200, 100)).astype("timedelta64[s]")
    assert regular_interval([odd]) is None
    assert regular_interval(None) is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(600.0, None), (400.0, None), (60.0, 60.0), (3600.0, 3600.0)]
)
def test_a_stream_at_another_pace_than_training_says_so(cyclic, seconds, said) -> None:
    readings = [
        Reading(START + i * timedelta(seconds=seconds), reading.features)
        for i, reading in enumerate(sent()[:40])
    ]
    results = one(cyclic, readings).results
    marks = [result["metadata"].get("interval_unlike_training") for result in results]
    assert marks[:9] == [None] * 9  # its own interval is not known yet
    assert marks[-1] == (said and {"seconds": said, "trained_at": 600.0})
    pieces, _ = in_pieces(cyclic, readings, 7)
    assert marks == [piece["metadata"].get("interval_unlike_training") for piece in pieces]
