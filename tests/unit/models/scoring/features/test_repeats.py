"""A sensor that repeats its value: noticed, named, explained, and one event if it lasts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.detectors.base import ISOLATION_FOREST, ONE_CLASS_SVM
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.features.repeats import LENGTH, Repeats
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import in_pieces, one
from tests.unit.models.scoring.alarms.test_settling import replayed
from tests.unit.models.scoring.readings.test_lost_readings import START, STEP

NAMES = ["flow", "current", "heat"]
POLICY = ScoringPolicy(persistent_after=100)


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3))


def readings(values: np.ndarray) -> list[Reading]:
    return [
        Reading(START + i * STEP, {k: v for k, v in zip(NAMES, row, strict=True) if v == v})
        for i, row in enumerate(values.tolist())
    ]


@pytest.fixture(scope="module")
def fitted() -> ModelSet:
    times = np.datetime64("2025-01-01", "us") + np.arange(1500) * np.timedelta64(60, "s")
    return fit_model_set([rows(1500, 1)], [times], NAMES, fitted_options())[0]


def fitted_options() -> FitOptions:
    return FitOptions(
        models=(ISOLATION_FOREST, ONE_CLASS_SVM), folds=2, missing="impute", max_imputed=1
    )


@pytest.fixture
def stuck() -> np.ndarray:
    out = rows(120, 2)
    out[50:100, 1] = 0.4
    return out


def test_a_stuck_sensor_alarms_and_is_named_and_explained(fitted, stuck):
    found = one(fitted, readings(stuck)).results
    assert not any(r["is_anomaly"] for r in found[:52])
    assert all(r["is_anomaly"] for r in found[55:100])
    assert found[59]["metadata"]["stuck"] == {"current": 10}
    assert found[99]["metadata"]["stuck"] == {"current": LENGTH}
    first = found[59]["metadata"]["explanation"]["features"][0]
    assert (first["feature"], first["value"], first["repeated"]) == ("current", 0.4, 10)
    assert first["share"] > 0.5
    assert not any("stuck" in r["metadata"] for r in found[100:])


def test_it_is_the_same_in_batches_of_any_size(fitted, stuck):
    stuck[70, 2] = np.nan  # another sensor is missing meanwhile
    whole = one(fitted, readings(stuck)).results
    for size in (1, 7, 40):
        parts, _ = in_pieces(fitted, readings(stuck), size)
        assert [r["log10_p"] for r in parts] == pytest.approx([r["log10_p"] for r in whole])
        assert [r["metadata"].get("stuck") for r in parts] == [
            r["metadata"].get("stuck") for r in whole
        ]


def test_what_is_imputed_does_not_repeat(fitted, stuck):
    stuck[50:100, 1] = np.nan
    assert not any("stuck" in r["metadata"] for r in one(fitted, readings(stuck)).results)


def test_a_pause_ends_a_run(fitted, stuck):
    sent = readings(stuck)
    later = [
        Reading(START + (at + 500) * STEP, reading.features)
        for at, reading in enumerate(sent[60:], 60)
    ]
    found = one(fitted, sent[:60] + later).results
    assert found[59]["metadata"]["stuck"] == {"current": 10}
    assert found[60]["metadata"]["window"] == "restarted"
    assert "stuck" not in found[61]["metadata"]


def test_a_sensor_stuck_for_good_is_one_event_and_hides_nothing(fitted):
    values = rows(900, 3)
    values[100:700, 1] = 0.4
    values[500:530, 2] += 8.0
    found, state = replayed(fitted, values, policy=POLICY)
    event = found[150]["metadata"]["event"]["id"]
    lasting = next(i for i, r in enumerate(found) if r["metadata"].get("stands_elsewhere"))
    assert 200 <= lasting <= 240
    assert sum(r["is_anomaly"] for r in found[lasting:500]) <= 3
    assert found[lasting]["metadata"]["stands_elsewhere"] == ["current"]
    on_top = found[510]["metadata"]["event"]
    assert found[510]["is_anomaly"]
    assert on_top["id"] != event
    assert event in [e["id"] for e in on_top["on_top_of"]]
    assert "levels" not in state, "it moves again"


def loaded(n: int, seed: int) -> np.ndarray:
    """Rows (n, 3) that follow a common load, which rises and falls within 400 readings."""
    load = 3.0 * np.sin(np.arange(n) * 2.0 * np.pi / 400.0)
    return load[:, None] + 0.3 * rows(n, seed)


def test_the_value_of_a_sensor_stuck_for_good_tells_nothing_of_the_others(fitted):
    """Beside the load, which went on, it opened one incident after the other."""
    times = np.datetime64("2025-01-01", "us") + np.arange(2000) * np.timedelta64(60, "s")
    follows, _ = fit_model_set([loaded(2000, 1)], [times], NAMES, fitted_options())
    values = loaded(1300, 3)
    values[100:1000, 1] = 0.4
    values[820:850, 2] += 3.0
    parts = [replayed(follows, values, cut, POLICY)[0] for cut in (1300, 50)]
    whole, cut = ([r["log10_p"] for r in found] for found in parts)
    assert whole == pytest.approx(cut, abs=1e-3)
    found = parts[0]
    assert found[260]["metadata"]["stands_elsewhere"] == ["current"]
    assert np.mean([r["is_anomaly"] for r in found[260:820]]) < 0.01
    assert np.mean([r["is_anomaly"] for r in found[822:850]]) > 0.9
    assert not any(r["is_anomaly"] for r in found[1150:])
    assert "event" not in found[-1]["metadata"]


def test_it_ends_beneath_a_lasting_shift_in_batches_of_any_size(fitted):
    values = rows(700, 3)
    values[100:420, 1] = 0.4
    values[260:, 2] += 8.0
    values[600:605, 0] = 9.0
    parts = [replayed(fitted, values, cut, POLICY)[0] for cut in (700, 50)]
    whole, cut = ([r["log10_p"] for r in found] for found in parts)
    assert whole == pytest.approx(cut, abs=1e-3)
    assert [r["is_anomaly"] for r in parts[0][560:605]] == [False] * 40 + [True] * 5


def test_another_fault_is_not_learned_when_it_becomes_persistent(fitted):
    values = rows(700, 4)
    values[150:, 2] += np.where(np.arange(550) % 2, 2.2, -2.2)  # has no level
    alone = np.mean([r["is_anomaly"] for r in replayed(fitted, values, policy=POLICY)[0][240:]])
    values[100:, 1] = 0.4
    found, _ = replayed(fitted, values, policy=POLICY)
    assert found[230]["metadata"]["stands_elsewhere"] == ["current"]
    assert np.mean([r["is_anomaly"] for r in found[240:]]) > alone / 2


def test_it_can_be_switched_off_and_old_sets_do_without(fitted, stuck):
    without = replace(fitted, preprocessing=replace(fitted.preprocessing, repeats=None))
    assert without.window_length == 0
    assert not any(r["is_anomaly"] for r in one(without, readings(stuck)).results[50:100])
    options = FitOptions(models=(ISOLATION_FOREST,), folds=2, watch_stuck=False)
    off, _ = fit_model_set([rows(400, 1)], None, NAMES, options)
    assert off.preprocessing.repeats is None


def test_stored_and_read_back_it_is_the_same(fitted):
    repeats: Any = fitted.preprocessing.repeats
    again = Repeats.from_dict(json.loads(json.dumps(repeats.to_dict())))
    assert again.to_dict() == repeats.to_dict()
