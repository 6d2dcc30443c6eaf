"""Error codes among a stream's readings: no lasting harm, and no state that is refused."""

from __future__ import annotations

import itertools
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundles.bundle import Bundle
from models.scoring.ensemble import score
from models.scoring.features.baseline import FirstReadings, first_level
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading, StreamWork

FOLDER = Path(__file__).parents[4] / "fixtures" / "f469d9d"
NAMES = ("vib", "temp", "flow")
START = datetime(2026, 1, 2, tzinfo=UTC)
CODES = (-9999.0, 65535.0, 1.8e308 / 1.01, -1.7e308, 1e100, 0.0, 5e-324)


@pytest.fixture(scope="module")
def fleet() -> ModelSet:
    return Bundle.load(FOLDER / "bundle").model_set("fleet")


@pytest.fixture(scope="module")
def pumps() -> ModelSet:
    return Bundle.load(FOLDER / "bundle").model_set("pumps")


def rows(count: int, shift: float = 2.0) -> list[list[float]]:
    rng = np.random.default_rng(5)
    load = rng.normal(size=count)
    near = [
        load + rng.normal(0, 0.3, count) + 10 + shift,
        load + rng.normal(0, 0.3, count) + 50 - shift,
    ]
    return np.stack([*near, rng.normal(size=count) + 5], 1).tolist()


def play(
    model_set: ModelSet, values: list[list[float]], policy: ScoringPolicy | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Reading by reading, the state as JSON in between, as the bridge does."""
    state, results = None, []
    for number, row in enumerate(values):
        point = Reading(START + timedelta(minutes=number), dict(zip(NAMES, row, strict=True)))
        work = StreamWork("UNIT_1", "S1", None, "medium", state, (), [point])
        outcome = score(model_set, [work], policy)[0]
        results += outcome.results
        state = json.loads(json.dumps(outcome.state, allow_nan=False))
        assert len(json.dumps(state)) < 4096
    return results, state or {}


@pytest.fixture(scope="module")
def clean(fleet: ModelSet) -> list[dict[str, Any]]:
    """What is found in ``rows(200)`` as they are."""
    return play(fleet, rows(200))[0]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("times", [1, 2, 9])
def test_error_codes_at_the_start_of_a_stream_do_no_lasting_harm(fleet, clean, code, times):
    values = rows(200)
    garbled = [[code, *row[1:]] for row in values[:times]] + values[times:]
    results, _ = play(fleet, garbled)
    assert all("final_score" in result for result in results)
    later = slice(80, None)
    differ = [
        abs(one["final_score"] - other["final_score"])
        for one, other in zip(clean[later], results[later], strict=True)
    ]
    assert max(differ) < 0.15
    assert not any(result["is_anomaly"] for result in results[later])


@pytest.mark.parametrize("group", ["pumps", "fleet"])
@pytest.mark.parametrize("policy", [ScoringPolicy(), ScoringPolicy(accept_shift_after=5)])
def test_no_state_is_given_out_that_is_refused_later(request, group, policy):
    model_set = request.getfixturevalue(group)
    normal = rows(60, 0.0)
    values = normal[:3]
    for code, width in itertools.product(CODES, (1, 3)):
        values += [[code] * width + normal[0][width:]] * 12 + normal[3:9]
    results, _ = play(model_set, values, policy)
    assert not [result["error"] for result in results if "error" in result]


def test_a_window_of_garbage_makes_no_state_that_is_refused(pumps):
    point = Reading(START, dict.fromkeys(NAMES, 1.7e308))
    work = StreamWork("P", None, None, "medium", None, [point] * 30, [point])
    state = score(pumps, [work])[0].state
    assert pumps.state(json.loads(json.dumps(state, allow_nan=False))).seen


def preprocessing(width: int, baseline: int = 20) -> Preprocessing:
    names = tuple(f"f{i}" for i in range(width))
    one = np.ones(width)
    return Preprocessing(names, 0 * one, one, one, None, "fault", baseline, 60.0)


def test_the_level_of_clean_readings_is_their_mean():
    values = np.random.default_rng(2).uniform(-1, 1, size=(20, 24)) + 7.0
    level = first_level(values, preprocessing(24))
    np.testing.assert_allclose(level, values.mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize("width", [1, 24, 64, 250])
@pytest.mark.parametrize("baseline", [20, 500])
def test_first_readings_stay_small_and_hold_against_garbage(width, baseline):
    pre = preprocessing(width, baseline)
    first = FirstReadings.empty(width)
    rng = np.random.default_rng(2)
    for number in range(baseline):
        row = rng.normal(size=width) + 3.0
        if number in (0, 1):
            row[:] = 900.0  # not so far that it cannot be a level
        first.add(row, pre)
    assert first.count == baseline
    assert first.kept.nbytes <= 2 * max(1024, 5 * width)
    assert np.abs(first.level(pre) - 3.0).max() < 4.0 * math.sqrt(1.0 / min(baseline, 10))


def test_a_level_that_no_unit_can_have_is_not_learnt():
    pre = preprocessing(2)
    first = FirstReadings.empty(2)
    for value in (1e6, math.inf, -9999.0, 1.7e308):
        first.add(np.array([value, 0.0]), pre)
    assert first.count == 0


@pytest.mark.parametrize(
    "change",
    [
        {"tail": [0.4, 1000.0, 20.0, 0.0, 0.4, 0.0, 0, 60, 0.5]},
        {"tail": [0.4, 0.0, 20.0, 0.0, 0.4, 0.0, -1, 60, 0.5]},
        {"tail": [0.4, 0.0, 1e300, 0.0, 0.4, 0.0, 0, 60, 0.5]},
        {"tail": [math.nan, 0.0, 20.0, 0.0, 0.4, 0.0, 0, 60, 0.5]},
        {"tail": [1e308, 0.0, 20.0, 0.0, 0.4, 0.0, 0, 60, 0.5]},
        {"tail": ["0.4", 0.0, 20.0, 0.0, 0.4, 0.0, 0, 60, 0.5]},
        {"tail": [True, 0.0, 20.0, 0.0, 0.4, 0.0, 0, 60, 0.5]},
        {"tail": [0.4, 0.0, 20.0, 0.0, 0.4, -1e308, 0, 60, 0.5]},
        {"tail": []},
        {"tail": 3},
        {"last": "0001-01-01T00:00:00+14:00"},
        {"last": "yesterday"},
        {"last": 5},
        {"events": [["id", "anomaly", "2026-01-01T00:00:00+00:00", "high", 1.0, 0]]},
        {"events": [["id", "anomaly", "2026-01-01T00:00:00+00:00", 1.0, math.inf, 0]]},
        {"events": [["id", "anomaly", "then", 1.0, 1.0, 0]]},
        {"events": [[1, 2]]},
        {"events": 7},
        {"clock": [1, "then", 0, None]},
        {"clock": [-1, None, 0, None]},
        {"clock": 5},
        {"level": [0, 1, 2]},
    ],
    ids=str,
)
def test_a_state_out_of_range_is_an_input_error(pumps, change):
    points = [Reading(START, dict(zip(NAMES, rows(1)[0], strict=True)))]
    state = score(pumps, [StreamWork("P", None, None, "low", None, (), points)])[0].state
    if "level" in change:
        change = {"level": [state["level"][0], *change["level"][1:]]}
    later = [Reading(START + timedelta(minutes=1), points[0].features)]
    work = StreamWork("P", None, None, "low", {**state, **change}, (), later)
    (result,) = score(pumps, [work])[0].results
    assert result["error"]["code"] == "bad_state"
    # and where the caller wishes so, a new stream
    work.renew = True
    (result,) = score(pumps, [work])[0].results
    assert result["metadata"]["restarted"] == "bad_state"
    assert 0.0 <= result["final_score"] <= 1.0
