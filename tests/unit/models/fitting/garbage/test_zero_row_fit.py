"""Rows of zeros in training: devices send them while they restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.bundles.bundle import Bundle
from models.fitting.garbage.zero_row_fit import without_zero_rows
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading, StreamWork

NAMES = ["current", "temp", "flow"]
SECONDS = 600
TIMES = np.datetime64("2026-01-01") + np.arange(4000) * np.timedelta64(SECONDS, "s")
RESTARTS = range(150, 4000, 320)  # thirteen, of four readings each


def plant(n: int = 4000, seed: int = 0) -> np.ndarray:
    """A current that is 0 now and then, its temperature, and a flow (n, 3)."""
    random = np.random.default_rng(seed)
    load = np.repeat(random.integers(0, 2, n // 20 + 1), 20)[:n, None]
    return (
        np.array([0, 45, 6.0])
        + load * np.array([30, 15, 1.5])
        + random.normal(size=(n, 3)) * np.array([0.8, 0.5, 0.06])
    )


def with_restarts(values: np.ndarray, at=RESTARTS, length: int = 4) -> np.ndarray:
    out = values.copy()
    for begin in at:
        out[begin : begin + length] = 0.0
    return out


def test_rows_of_zeros_are_left_out_and_how_long_they_last_is_learned():
    values = with_restarts(plant())
    streams, times, learned, notes = without_zero_rows([values], [TIMES], NAMES, 0.1)
    kept = values.any(axis=1)
    np.testing.assert_array_equal(streams[0], values[kept])
    assert times is not None
    assert learned is not None
    np.testing.assert_array_equal(times[0], TIMES[kept])
    assert learned.names == tuple(NAMES)
    assert learned.longest_s == 2 * 4 * SECONDS
    assert "52 readings, in 13 runs" in notes[0]


def test_a_stream_of_nothing_but_zeros_is_left_out_whole():
    values = [with_restarts(plant()), np.zeros((40, 3))]
    streams, times, learned, _ = without_zero_rows(values, [TIMES, TIMES[:40]], NAMES, 0.1)
    assert times is not None
    assert learned is not None
    assert [len(one) for one in streams] == [len(one) for one in times] == [4000 - 52]
    assert learned.longest_s == 2 * 40 * SECONDS


def test_a_pause_within_zeros_does_not_make_them_last():
    late = TIMES + np.where(np.arange(4000) >= 152, 10, 0) * np.timedelta64(1, "D")
    _, _, learned, _ = without_zero_rows([with_restarts(plant())], [late], NAMES, 0.1)
    assert learned is not None
    assert learned.longest_s == 2 * 4 * SECONDS


def test_missing_values_do_not_matter_but_two_must_be_there():
    values = with_restarts(plant())
    values[150:154, 0] = np.nan
    values[470:474, :2] = np.nan
    values[790:794] = np.nan
    streams, _, _, _ = without_zero_rows([values], [TIMES], NAMES, 0.1)
    assert len(streams[0]) == 4000 - 52 + 8


@pytest.mark.parametrize(
    ("values", "times", "share"),
    [
        (with_restarts(plant(), at=(150, 900)), [TIMES], 0.1),  # twice: an event like any other
        (with_restarts(plant(), length=40), [TIMES], 0.1),  # often: an operating mode
        (with_restarts(plant()), [TIMES], 0.0),  # asked for
        (with_restarts(plant()), None, 0.1),  # it is not known how long they last
        (with_restarts(plant() - [15, 50, 7]), [TIMES], 0.1),  # 0 is a value like any other
        (with_restarts(plant())[:, 1:2], [TIMES], 0.1),  # a single feature
        (plant(), [TIMES], 0.1),
    ],
)
def test_other_zeros_are_kept(values, times, share):
    names = NAMES[: values.shape[1]]
    streams, kept, learned, notes = without_zero_rows([values], times, names, share)
    assert streams[0] is values
    assert kept == times
    assert learned is None
    assert notes == []


def results(
    model_set: ModelSet, values: np.ndarray, pause: tuple[int, timedelta] = (0, timedelta())
) -> list[dict]:
    """Score readings singly; before the reading ``pause[0]`` comes a pause."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    times = [start + timedelta(seconds=SECONDS * i) for i in range(len(values))]
    times = [at + pause[1] if i >= pause[0] else at for i, at in enumerate(times)]
    rows = [dict(zip(NAMES, row, strict=True)) for row in values.tolist()]
    readings = list(map(Reading, times, rows))
    found, state = [], None
    for reading in readings:  # singly, so that the state is stored in between
        done = score(model_set, [StreamWork("P1", None, None, "medium", state, (), [reading])])[0]
        found += done.results
        state = done.state
    return found


@pytest.mark.slow  # fits models
def test_restarts_in_training_blind_no_sensor_and_alarm_only_where_they_last(tmp_path):
    options = FitOptions(models=("one_class_svm",), folds=3)
    model_set, report = fit_model_set([with_restarts(plant())], [TIMES], NAMES, options)
    assert any("0 in every feature" in note for note in report.notes)
    Bundle({"default": model_set}).save(tmp_path / "bundle")
    model_set = Bundle.load(tmp_path / "bundle").model_set("default")
    fresh = with_restarts(plant(600, seed=1), at=(100, 200))
    fresh[300:330, 2] += 6 * 0.06
    fresh[400:430] = 0.0
    # off and on again: zeros before a pause and after it
    paused = results(model_set, fresh[:104], (102, timedelta(days=10)))
    assert [at for at, one in enumerate(paused) if "suppressed" in one["metadata"]] == [
        *range(100, 104)
    ]
    found = results(model_set, fresh)
    alarms = np.array([one["is_anomaly"] for one in found])
    off = {"by": "off", "condition": "all features are 0"}
    marked = [at for at, one in enumerate(found) if one["metadata"].get("suppressed") == off]
    # for twice as long as in training: eight readings at intervals, and the one at the end
    assert marked == [*range(100, 104), *range(200, 204), *range(400, 409)]
    assert [at for at, one in enumerate(found) if "not_scored" in one["metadata"]] == marked
    assert {(found[at]["final_score"], found[at]["p"]) for at in marked} == {(0.0, 1.0)}
    assert alarms[:300].sum() <= 1
    assert alarms[300:330].any()
    assert alarms[409:430].all()
    assert found[409]["metadata"]["event"]["started_at"] == "2026-03-03T20:10:00+00:00"
    assert any(one["metadata"]["event"].get("incident", {}).get("opens") for one in found[409:430])
