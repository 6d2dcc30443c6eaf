"""Operating conditions: found where there are some and only there, each with its own normal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.fitting.model_set_fit import fit_model_set
from models.fitting.operation.condition_fit import find_conditions, ranges, restate
from models.fitting.options import FitOptions
from models.scoring.ensemble import score
from models.scoring.features.conditions import Conditions
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading, StreamWork

pytestmark = pytest.mark.slow  # fits models

NAMES = ["speed", "flow", "power", "heat", "hum"]
SVM = FitOptions(models=("one_class_svm",), folds=3)
#: (conditions, features): what each feature reads, and how much it scatters
LEVELS = np.array([[10.0, 100, 30, 50, 7], [20, 180, 80, 55, 7], [40, 290, 210, 62, 7]])
SCATTER = np.array([[0.1, 1, 0.5, 0.6, 0.1], [0.1, 2, 1.5, 0.6, 0.1], [0.2, 3, 3, 0.6, 0.1]])


def held(n: int, seed: int, shares: tuple[float, ...] = (0.3, 0.4, 0.3)) -> np.ndarray:
    """(n,) conditions, each held for 1 to 20 readings."""
    rng = np.random.default_rng(seed)
    parts = [np.full(rng.integers(1, 20), rng.choice(len(shares), p=shares)) for _ in range(n)]
    return np.concatenate(parts)[:n]


def plant(n: int, seed: int = 0, at: np.ndarray | None = None) -> np.ndarray:
    """(n, 5) readings of a machine with three conditions; the last feature knows none."""
    at = held(n, seed) if at is None else at
    rng = np.random.default_rng([seed, 1])
    noise = rng.normal(size=(n, 5))
    noise[:, 2] = 0.8 * noise[:, 1] + 0.6 * noise[:, 2]
    return LEVELS[at] + SCATTER[at] * noise


def found(streams: list[np.ndarray]) -> Conditions | None:
    return find_conditions(streams, NAMES, "auto").conditions


def test_conditions_are_found_and_centred():
    made = found([plant(1500), plant(1500, 1)])
    assert made is not None
    assert made.indicators == ("speed",)
    np.testing.assert_allclose(made.center, LEVELS, rtol=0.01)
    np.testing.assert_allclose(made.spread, SCATTER, rtol=0.2)
    assert made.usual == 1
    unified = np.concatenate(restate(made, [plant(1500, 2)]))
    assert np.abs(np.median(unified, axis=0) - LEVELS[1]).max() < 0.2


def test_a_condition_in_three_readings_of_a_hundred_is_one():
    streams = [plant(3000, s, held(3000, s, (0.57, 0.4, 0.03))) for s in (0, 1)]
    made = found(streams)
    assert made is not None
    assert len(made.low) == 3


def test_conditions_change_at_every_reading_of_short_runs():
    at = np.random.default_rng(3).integers(0, 3, (40, 60))
    made = found([plant(60, i, at[i]) for i in range(40)])
    assert made is not None
    assert len(made.low) == 3


def test_load_that_varies_within_a_condition():
    rng = np.random.default_rng(5)
    load = np.array([30.0, 60, 90])[held(3000, 5)] + 2 * rng.normal(size=3000)
    other = 5 + 0.8 * load + 0.002 * load**2 + rng.normal(size=3000)
    found = find_conditions([np.stack([load, other], axis=1)], ["load", "other"], "auto")
    assert found.conditions is not None
    assert len(found.conditions.low) == 3
    assert found.figures["steps_seen"] > found.figures["steps_seen_without"]


def fault_once(streams: list[np.ndarray]) -> list[np.ndarray]:
    streams[0][700:900] += 60 * SCATTER[1]
    return streams


def wear_at_the_end(streams: list[np.ndarray]) -> list[np.ndarray]:
    for stream in streams:
        stream[1300:] += 60 * SCATTER[1]
    return streams


def own_level(streams: list[np.ndarray]) -> list[np.ndarray]:
    return [stream + 60 * SCATTER[1] * i for i, stream in enumerate(streams)]


def quantised(streams: list[np.ndarray]) -> list[np.ndarray]:
    """A value that is rounded to few levels and tells little of the others."""
    return [np.column_stack([np.round(s[:, 0] * 10), s[:, 1:]]) for s in streams]


@pytest.mark.parametrize("change", [list, fault_once, wear_at_the_end, own_level, quantised])
def test_what_streams_do_not_come_back_to_is_no_condition(
    change: Callable[[list[np.ndarray]], list[np.ndarray]],
):
    one = [plant(1500, s, np.ones(1500, int)) for s in range(6)]
    assert found(change(one)) is None


def test_a_fault_beside_conditions_becomes_none():
    streams = [plant(1500, s) for s in range(4)]
    streams[0][700:800] = LEVELS[1] + 60 * SCATTER[1]
    made = found(streams)
    assert made is not None
    assert len(made.low) == 3


def test_data_without_conditions_are_fitted_as_if_nobody_had_looked():
    streams = [plant(600, s, np.zeros(600, int)) for s in (0, 1)]
    looked, report = fit_model_set(streams, None, NAMES, SVM)
    blind, _ = fit_model_set(streams, None, NAMES, replace(SVM, condition="none"))
    assert looked.preprocessing.to_dict() == blind.preprocessing.to_dict()
    assert {k: c.to_dict() for k, c in looked.calibrations.items()} == {
        k: c.to_dict() for k, c in blind.calibrations.items()
    }
    assert "conditions" not in report.figures


@pytest.mark.parametrize(
    ("asked", "notes", "count"),
    [
        (["speed"], ["3 operating conditions, distinguished by speed"], 3),
        (["flow", "speed"], ["3 operating conditions, distinguished by flow, speed"], 3),
        (["code"], ["30 operating conditions, distinguished by code"], 30),
        (["level"], ["condition level: constant, so it separates no operating conditions"], 0),
        (["hum"], ["condition hum: without steps, so it separates no operating conditions"], 0),
        (["gone", "speed"], ["condition gone: no feature of these streams", "3 operating"], 3),
    ],
)
def test_named_conditions(asked: list[str], notes: list[str], count: int):
    values = plant(3000)
    codes = np.arange(3000) // 5 % 30
    wide = np.column_stack([values, codes, np.ones(3000)])
    made = find_conditions([wide], [*NAMES, "code", "level"], asked)
    assert len(made.notes) == len(notes)
    for note, wanted in zip(made.notes, notes, strict=True):
        assert note.startswith(wanted)
    assert (0 if made.conditions is None else len(made.conditions.low)) == count


def test_a_named_condition_that_is_rare_is_fitted_and_scored_like_the_others():
    """A washing mode in one of 400 readings: no spread shows it, and yet it is recognised."""
    rng = np.random.default_rng(2)
    at = np.arange(8_000) % 400 == 7
    values = rng.normal(size=(8_000, 2)) + 40.0 * at[:, None]
    streams = [np.column_stack([at.astype(float), values, 5.0 + 3.0 * at])]
    names = ["washing", "flow", "power", "valve"]
    options = replace(SVM, condition="washing", trim=0.0)
    model_set, report = fit_model_set(streams, None, names, options)
    assert report.figures["conditions"]["conditions"] == 2
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = streams[0][:40].tolist()
    readings = [
        Reading(start + timedelta(minutes=i), dict(zip(names, row, strict=True)))
        for i, row in enumerate(rows)
    ]
    work = StreamWork("A", None, None, "medium", None, (), readings)
    results = score(model_set, [work])[0].results
    assert results[7]["final_score"] < 0.5
    assert "unknown_condition" not in results[7]["metadata"]


def test_ranges_pass_over_what_lies_between_and_far_away():
    rng = np.random.default_rng(6)
    two = [rng.normal(10, 0.1, 900), rng.normal(20, 0.1, 80)]
    values = np.concatenate([*two, rng.uniform(10, 20, 10), [1e9]])
    low, high = ranges(values)
    assert low[1] < 11
    assert 19 < high[0] < high[1] < 21
    assert len(ranges(rng.normal(size=2000))) == 1
    assert len(ranges(rng.uniform(size=500))) == 1
    assert ranges(np.ones(50)).tolist() == [[1.0, 1.0]]


@pytest.fixture(scope="module")
def model_set() -> ModelSet:
    return fit_model_set([plant(1500, s) for s in (0, 1, 2)], None, NAMES, SVM)[0]


def scored(model_set: ModelSet, values: np.ndarray, pieces: int = 1) -> list[dict]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    readings = [
        Reading(start + timedelta(minutes=i), dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(values.tolist())
    ]
    results, state = [], None
    for part in np.array_split(np.arange(len(readings)), pieces):
        work = StreamWork("A", None, None, "medium", state, (), [readings[i] for i in part])
        (outcome,) = score(model_set, [work])
        results += outcome.results
        state = json.loads(json.dumps(outcome.state))
    return results


def test_each_condition_has_its_own_normal(model_set: ModelSet):
    values = plant(900, 9)
    calm = scored(model_set, values)
    assert sum(r["is_anomaly"] for r in calm) <= 5
    assert not any("unknown_condition" in r["metadata"] for r in calm)
    assert [r["final_score"] for r in scored(model_set, values, 9)] == pytest.approx(
        [r["final_score"] for r in calm], abs=1e-6
    )
    at = held(900, 9)
    low = int(np.flatnonzero(at[300:] == 0)[0]) + 300
    values[low, 1] += 12 * SCATTER[0, 1]  # far less than conditions lie apart
    (result,) = [scored(model_set, values)[low]]
    assert result["is_anomaly"]
    explanation = result["metadata"]["explanation"]
    assert explanation["condition"] == {"speed": pytest.approx(10, rel=0.01)}
    first = explanation["features"][0]
    assert first["feature"] == "flow"
    assert first["value"] == values[low, 1]
    assert first["expected"] == pytest.approx(100, abs=4)
    assert first["deviation"] == pytest.approx(first["value"] - first["expected"], abs=1e-3)


def test_one_normal_for_all_does_not_see_it():
    one, _ = fit_model_set([plant(1500, s) for s in (0, 1, 2)], None, NAMES,
                           replace(SVM, condition="none"))  # fmt: skip
    values, at = plant(900, 9), held(900, 9)
    low = int(np.flatnonzero(at[300:] == 0)[0]) + 300
    values[low, 1] += 12 * SCATTER[0, 1]
    assert not scored(one, values)[low]["is_anomaly"]


def test_what_is_in_no_known_condition_alarms_and_is_said(model_set: ModelSet):
    values = plant(400, 9)
    values[300:] = plant(100, 10, np.ones(100, int)) + 0.5 * (LEVELS[2] - LEVELS[1])
    new = scored(model_set, values)[300:]
    assert all(r["metadata"]["unknown_condition"] == ["speed"] for r in new)
    assert all(r["is_anomaly"] for r in new[1:])
    assert np.isfinite([r["final_score"] for r in scored(model_set, np.full((3, 5), 1e308))]).all()


def test_missing_features_are_those_of_the_condition(model_set: ModelSet):
    pre = replace(model_set.preprocessing, missing="impute", max_imputed=1)
    for at in range(3):
        reading = dict(zip(NAMES, LEVELS[at].tolist(), strict=True))
        for name in NAMES:
            rest = {k: v for k, v in reading.items() if k != name}
            values = pre.imputed(np.array([pre.given(rest)]), np.array([np.nan]))
            assert values[0] == pytest.approx(LEVELS[at], rel=0.02)


def test_stored_and_read_back_and_older_bundles(model_set: ModelSet):
    pre = model_set.preprocessing
    content = json.loads(json.dumps(pre.to_dict()))
    again = Preprocessing.from_dict(content)
    assert again.conditions is not None
    values = plant(50, 4)
    for one in (pre.conditions, again.conditions):
        assert one is not None
        at, off = one.nearest(values)
        assert not off.any()
        np.testing.assert_allclose(one.original(one.restated(values, at), at), values, rtol=1e-12)
    np.testing.assert_array_equal(
        pre.scaled(*restate(pre.conditions, [values])),
        again.scaled(*restate(again.conditions, [values])),
    )
    del content["conditions"]
    assert Preprocessing.from_dict(content).conditions is None


def test_what_is_constant_in_each_condition_is_watched_there():
    streams = [plant(1500, s) for s in (0, 1, 2)]
    for stream, seed in zip(streams, (0, 1, 2), strict=True):
        stream[:, 3] = LEVELS[held(1500, seed), 3]
        stream[:, 0] = LEVELS[held(1500, seed), 0]
    fitted, _ = fit_model_set(streams, None, NAMES, SVM)
    assert set(fitted.feature_names) == set(NAMES)
    values, at = plant(400, 9), held(400, 9)
    values[:, [0, 3]] = LEVELS[at][:, [0, 3]]
    calm = scored(fitted, values)
    assert sum(r["is_anomaly"] for r in calm) <= 3
    values[350, 3] += 3
    assert scored(fitted, values)[350]["is_anomaly"]
