"""Where a back-test's training part ends, and what can be trained on."""

from __future__ import annotations

import numpy as np
import pytest

from datasets import Stream
from errors import InputError, TrainingError
from training.data.preparation import prepare
from training.data.splits import by_asset, parse_cut, prepared, training_sizes

START = np.datetime64("2026-01-01", "us")


def stream(n: int, sensor: str = "S1", first: int = 0, asset: str = "A") -> Stream:
    times = START + (first + 2 * np.arange(n)) * np.timedelta64(60, "s")
    rng = np.random.default_rng(n)
    return Stream(asset, sensor, times, rng.normal(size=(n, 2)))


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("2000", 2000), ("20260101", START), ("2026-01-01T01:00:00+01:00", START),
        ("20261399", 20261399),  # no day
    ],
)  # fmt: skip
def test_a_cut_is_a_number_of_rows_or_a_time(text, cut):
    assert parse_cut(text) == cut


@pytest.mark.parametrize("text", ["2026-01-01T01:00", "2026-01-01T00:00Z", "2026-01-01t00:00z"])
def test_a_cut_without_an_offset_is_local_as_the_times_of_the_file_are(text):
    assert parse_cut(text, "Europe/Berlin") == START


def test_a_cut_that_is_neither_is_named():
    with pytest.raises(InputError, match="--train-until: 'soon' is neither"):
        parse_cut("soon")


def test_rows_of_an_asset_are_counted_over_all_of_its_streams():
    one, other = stream(10), stream(10, "S2", first=1)  # every other minute each
    assert training_sizes([one], 4) == [4]
    assert training_sizes([one, other], 4) == [2, 2]
    assert training_sizes([one, other], 99) == [10, 10]
    assert training_sizes([one, other], START + np.timedelta64(180, "s")) == [2, 1]


def test_nothing_after_the_cut_is_looked_at():
    whole = stream(200)
    whole.values[100:, 0] = np.nan  # never measured again
    found = prepared([whole], [100], ["x", "y"], "A")
    assert found.feature_names == ["x", "y"]
    assert found.cut == [100]
    assert np.isnan(found.streams[0].values[100:, 0]).all()  # replayed as it is


def test_a_training_part_without_a_feature_does_without():
    whole = stream(200)
    values = np.column_stack([whole.values, np.full(200, np.nan)])
    found = prepared([Stream("A", "S1", whole.timestamps, values)], [100], list("xyt"), "A")
    assert found.feature_names == ["x", "y"]
    assert "t: mostly missing before the cut" in found.notes[0]


def test_too_few_readings_are_an_error():
    with pytest.raises(TrainingError, match="A: 20 training readings, at least 60 are needed"):
        prepared([stream(200)], [20], ["x", "y"], "A")


def test_a_training_part_that_lacks_every_feature_is_told_so():
    whole = stream(200)
    values = np.where(np.arange(200)[:, np.newaxis] < 100, np.nan, whole.values)
    empty = Stream("A", "S1", whole.timestamps, values)
    with pytest.raises(TrainingError, match="A: every feature is missing in more than half"):
        prepared([empty], [100], ["x", "y"], "A")


def test_the_feature_in_use_that_leaves_too_few_readings_is_named():
    whole = stream(200)
    values = np.column_stack([whole.values, np.full(200, np.nan)])
    values[:49, 0] = np.nan
    few = Stream("A", "S1", whole.timestamps, values)
    with pytest.raises(TrainingError, match=r"A: 51 readings are left .* of 'x' \(49 of 100"):
        prepared([few], [100], ["x", "y", "empty"], "A")
    with pytest.raises(TrainingError, match=r"A: 51 readings are left .* of 'x' \(49 of 100"):
        prepare([few.take(slice(100))], ["x", "y", "empty"], what="A")


def test_streams_by_asset_in_order_of_appearance():
    streams = [stream(3, asset="B"), stream(3, asset="A"), stream(3, "S2", asset="B")]
    assert [(a, [s.sensor_id for s in found]) for a, found in by_asset(streams).items()] == [
        ("B", ["S1", "S2"]), ("A", ["S1"]),
    ]  # fmt: skip
