"""The policy for missing values, held-out parts, and where a back-test is cut."""

from __future__ import annotations

import numpy as np
import pytest

from datasets import Stream
from errors import InputError, TrainingError
from training.data.preparation import prepare, without_labelled
from training.data.splits import parse_cut, prepared, training_sizes

START = np.datetime64("2026-01-01", "us")


def stream(values: np.ndarray, asset: str = "P", later_s: int = 0) -> Stream:
    times = START + (np.arange(len(values)) + later_s) * np.timedelta64(1, "s")
    return Stream(asset, None, times, values)


def noise(n: int, d: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d))


def test_the_newest_readings_are_held_out_at_one_moment() -> None:
    found = prepare([stream(noise(100)), stream(noise(100), "Q", later_s=50)], ["a", "b"])
    moments = [s.timestamps[k] for s, k in zip(found.streams, found.cut, strict=True) if k < 100]
    assert found.held_out == 40
    assert len(set(moments)) == 1


def test_streams_of_different_times_are_each_cut() -> None:
    found = prepare([stream(noise(100)), stream(noise(50), "Q", later_s=9999)], ["a", "b"])
    assert found.cut == [80, 40]


def test_readings_that_are_left_out_do_not_move_the_cut() -> None:
    values = noise(300)
    values[:90, 1] = np.nan
    found = prepare([stream(values), stream(noise(300), "Q")], ["a", "b"], holdout=0.5)
    assert found.cut == [60, 150], "as where the same holes are written as -200"
    apart = prepare([stream(values), stream(noise(300), "Q", later_s=999)], ["a", "b"], holdout=0.5)
    assert apart.cut == [60, 150]


def test_where_the_newest_lack_values_the_newest_without_are_held_out() -> None:
    values = noise(400)
    values[300:, 1] = np.nan
    found = prepare([stream(values)], ["a", "b"], holdout=0.2, missing="drop")
    assert (found.cut, len(found.streams[0].timestamps)) == ([240], 300)
    assert found.notes[-1] == (
        "data: the newest readings lack values, so the newest complete ones are held out"
    )


def test_all_is_trained_on_where_the_older_part_lacks_too_much() -> None:
    values = noise(200)
    values[:95, 1] = np.nan
    found = prepare([stream(values)], ["a", "b"], holdout=0.5)
    assert found.cut == [105]
    assert found.notes[-1] == "data: too few readings to hold any out for testing"


def test_a_reading_that_lacks_a_value_is_left_out_with_a_note() -> None:
    values = noise(100)
    values[3, 1] = np.nan
    found = prepare([stream(values)], ["a", "b"])
    assert len(found.streams[0].timestamps) == 99
    assert found.notes == ["1 of 100 readings lack a value and were left out"]


def test_a_feature_that_is_mostly_missing_is_not_used() -> None:
    values = noise(100)
    values[:60, 1] = np.nan
    found = prepare([stream(values)], ["a", "b"])
    assert found.feature_names == ["a"]
    assert found.notes == ["b: mostly missing, not used"]
    assert sum(len(s.timestamps) for s in found.streams) == 100


def test_refuse_names_the_feature() -> None:
    values = noise(100)
    values[3, 1] = np.nan
    with pytest.raises(TrainingError, match="'b'"):
        prepare([stream(values)], ["a", "b"], missing="refuse")


def test_too_few_readings_are_refused() -> None:
    with pytest.raises(TrainingError, match="59 readings are too few, at least 60"):
        prepare([stream(noise(59))], ["a", "b"])


def test_too_few_left_names_the_feature_at_fault() -> None:
    values = noise(100)
    values[:45, 1] = np.nan
    with pytest.raises(TrainingError, match=r"55 readings are left.*'b'"):
        prepare([stream(values)], ["a", "b"])


def test_few_readings_are_all_trained_on() -> None:
    found = prepare([stream(noise(70))], ["a", "b"])
    assert found.cut == [70]
    assert found.notes == ["data: too few readings to hold any out for testing"]


def test_a_cut_is_a_row_or_a_moment() -> None:
    assert parse_cut("400") == 400
    assert parse_cut("20260101") == START, "a day, not twenty million rows"
    assert parse_cut("20261301") == 20_261_301
    assert parse_cut("2026-01-01T01:00:00+01:00") == START
    with pytest.raises(InputError, match="'soon'"):
        parse_cut("soon")


def test_rows_of_an_asset_are_counted_over_its_streams() -> None:
    two = [stream(noise(100)), stream(noise(100), later_s=50)]
    assert training_sizes(two, 60) == [55, 5]
    assert training_sizes(two, 500) == [100, 100]
    assert training_sizes([two[0]], 60) == [60]


def test_a_moment_cuts_each_stream_there() -> None:
    cut = START + np.timedelta64(60, "s")
    assert training_sizes([stream(noise(100)), stream(noise(100), later_s=50)], cut) == [60, 10]


def test_nothing_after_the_cut_is_looked_at() -> None:
    values = noise(200)
    values[100:, 1] = np.nan
    found = prepared([stream(values)], [100], ["a", "b"], "P")
    assert found.feature_names == ["a", "b"]
    assert len(found.streams[0].timestamps) == 200
    values[:60, 0] = np.nan
    found = prepared([stream(values)], [100], ["a", "b"], "P")
    assert found.feature_names == ["b"]


def test_an_asset_too_short_to_train_on_is_named() -> None:
    with pytest.raises(TrainingError, match="P7: 20 training readings"):
        prepared([stream(noise(200))], [20], ["a", "b"], "P7")


def test_a_reading_with_few_holes_is_kept_as_it_is() -> None:
    values = noise(100, 5)
    values[3, 1] = values[95, 2] = np.nan
    values[4, :2] = np.nan
    names = ["a", "b", "c", "d", "e"]
    found = prepare([stream(values)], names, imputed=lambda width: 1)
    kept = found.streams[0]
    assert len(kept.timestamps) == 99
    assert np.argwhere(np.isnan(kept.values)).tolist() == [[3, 1], [94, 2]]
    assert any("1 training readings lack a few values" in note for note in found.notes)
    assert any("1 of 100 readings lack more than one value" in note for note in found.notes)


def test_a_back_test_keeps_readings_with_few_holes() -> None:
    values = noise(200, 5)
    values[3, 1] = values[150, 2] = np.nan
    found = prepared([stream(values)], [100], ["a", "b", "c", "d", "e"], "P", lambda width: 1)
    assert np.argwhere(np.isnan(found.streams[0].values)).tolist() == [[3, 1], [150, 2]]
    assert any("1 training readings lack a few values" in note for note in found.notes)


def test_readings_labelled_faulty_are_left_out_and_unknown_ones_are_not() -> None:
    labels = np.zeros(100, np.int8)
    labels[10:15], labels[20:30] = 1, -1
    times = START + np.arange(100) * np.timedelta64(1, "s")
    faulty = Stream("Q", None, times[:5], noise(5), np.ones(5, np.int8))
    kept, notes = without_labelled([Stream("P", None, times, noise(100), labels), faulty])
    assert [len(s.timestamps) for s in kept] == [95]
    assert notes == [
        "10 of 105 training readings are labelled faulty and were left out"
        " (--keep-labelled keeps them)"
    ]
    assert without_labelled([stream(noise(50))])[1] == []
