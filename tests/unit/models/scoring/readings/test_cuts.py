"""A stream's readings score the same however they are cut into batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading, StreamWork
from tests.unit.ensemble_scoring import in_pieces, one

NAMES = [f"f{j}" for j in range(4)]
START = datetime(2026, 2, 1, tzinfo=UTC)
CODE = 65535.0
TRAINED = 800


def rows(n: int, seed: int, counter: bool = False) -> np.ndarray:
    """Autoregressive rows (n, 4); in each fiftieth f1 is an error code; f2 may be a counter."""
    draw = np.random.default_rng(seed)
    out = draw.normal(size=(n, 4))
    for i in range(1, n):
        out[i] += 0.8 * out[i - 1]
    out[draw.random(n) < 0.02, 1] = CODE
    if counter:
        out[:, 2] = np.cumsum(draw.integers(1, 4, n))
    return out


def fitted(counter: bool) -> ModelSet:
    """A set trained at irregular times, so that windows bridge nothing."""
    steps = np.random.default_rng(1).integers(20, 100, TRAINED)
    times = np.datetime64("2026-01-05", "us") + np.cumsum(steps) * np.timedelta64(1, "s")
    options = FitOptions(
        seed=0, missing="impute", max_imputed=2, folds=2,
        lstm_autoencoder={"hidden": 8, "epochs": 3, "device": "cpu"},
    )  # fmt: skip
    return fit_model_set([rows(TRAINED, 0, counter)], [times], NAMES, options)[0]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "counter"])
def model_set(request: pytest.FixtureRequest) -> ModelSet:
    found = fitted(request.param)
    assert found.preprocessing.nulls
    assert (found.preprocessing.counters is not None) == request.param
    return found


def sent(model_set: ModelSet, n: int, minutes: list[float] | None = None) -> list[Reading]:
    """The first n readings after training; a code that is frequent there comes in some."""
    values = rows(n, 3, model_set.preprocessing.counters is not None)
    at = minutes or [float(i) for i in range(n)]
    return [
        Reading(START + timedelta(minutes=at[i]), dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(values.tolist())
    ]


def assert_same(model_set: ModelSet, readings: list[Reading]) -> list[dict[str, Any]]:
    whole = one(model_set, readings).results
    for size in (1, 7):
        pieces, _ = in_pieces(model_set, readings, size)
        for left, right in zip(whole, pieces, strict=True):
            assert left["metadata"]["window"] == right["metadata"]["window"]
            assert left["log10_p"] == pytest.approx(right["log10_p"], abs=1e-3)
            assert left["metadata"].get("event") == right["metadata"].get("event")
    return whole


def test_codes_for_not_measured_are_no_values_in_a_window_either(model_set: ModelSet) -> None:
    readings = sent(model_set, 120)
    assert any(reading.features["f1"] == CODE for reading in readings)
    assert_same(model_set, readings)


@pytest.mark.parametrize("garbage", [1, 2])
def test_a_window_begins_after_garbage_that_follows_a_pause(
    model_set: ModelSet, garbage: int
) -> None:
    minutes = [float(i + (1440 if i >= 50 else 0)) for i in range(100)]
    readings = sent(model_set, 100, minutes)
    for reading in readings[50 : 50 + garbage]:
        reading.features = {**reading.features, "f0": 1e300}
    results = assert_same(model_set, readings)
    marks = [result["metadata"]["window"] for result in results[49 : 52 + garbage]]
    assert marks == ["added", *["left_out"] * garbage, "restarted", "added"]


def test_a_clock_set_back_ends_what_began_in_the_same_batch(model_set: ModelSet) -> None:
    """A week ahead for twenty readings, five of them faulty; then the clock is right again."""
    minutes = [5.0 * i + (7 * 1440 if 40 <= i < 60 else 0) for i in range(240)]
    readings = sent(model_set, 240, minutes)
    for reading in readings[55:60]:
        reading.features = {**reading.features, "f0": 40.0}
    arrived = [START + timedelta(minutes=5 * i) for i in range(240)]
    found = []
    for size in (240, 80, 40):
        state, results = None, []
        for first in range(0, 240, size):
            part = slice(first, first + size)
            work = StreamWork(
                "A", None, None, "medium", state, readings[max(first - 40, 0) : first],
                readings[part], arrived=arrived[part], now=arrived[-1],
            )  # fmt: skip
            (outcome,) = score(model_set, [work])
            state = outcome.state
            results += outcome.results
        assert any(result["metadata"].get("restarted") for result in results)
        found.append([result["metadata"].get("event") for result in results])
    assert any(found[0])
    assert found[0] == found[1] == found[2]
