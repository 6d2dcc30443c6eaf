"""Files that hold one sensor each become the features of one asset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
from datasets import Dataset, FileFormat, Stream
from datasets.channels.joined_sensors import hint, joined_by_time
from errors import DatasetError

START = np.datetime64("2026-01-01T00:00:00", "us")
MINUTE_S = 60.0


def times_of(seconds: Any) -> Any:
    return START + (np.asarray(seconds, float) * 1e6).astype("timedelta64[us]")


def part(seconds: Any, values: Any = None, name: str = "value", asset: str = "P1") -> Dataset:
    """A file of one sensor, by the seconds at which it has values: the numbers 0, 1, 2, ..."""
    values = np.arange(len(seconds), dtype=float) if values is None else np.asarray(values, float)
    return Dataset([name], [Stream(asset, None, times_of(seconds), values[:, None])])


def joined(**parts: Dataset) -> Dataset:
    return joined_by_time(list(parts), list(parts.values()))


def column(data: Dataset, name: str) -> list[float]:
    return data.streams[0].values[:, data.feature_names.index(name)].tolist()


REGULAR = MINUTE_S * np.arange(10)


def test_equal_times_are_one_reading():
    data = joined(T=part(REGULAR), P=part(REGULAR, 2 * np.arange(10)))
    assert data.feature_names == ["T", "P"]
    assert (data.streams[0].timestamps == times_of(REGULAR)).all()
    assert data.streams[0].values.tolist() == [[i, 2 * i] for i in range(10)]
    assert data.notes == ["P1: 2 sensors are joined by time to 10 readings"]


def test_a_lost_value_is_missing_and_not_repeated():
    lost = np.delete(np.arange(10), [4, 5])
    data = joined(T=part(REGULAR), P=part(REGULAR[lost], lost))
    assert [i for i, v in enumerate(column(data, "P")) if v != v] == [4, 5]


def test_clocks_that_differ_by_seconds_are_the_same_time():
    jitter = np.random.default_rng(0).normal(0, 3, 10)
    data = joined(T=part(REGULAR), P=part(REGULAR + jitter))
    assert (data.streams[0].timestamps == times_of(REGULAR)).all()
    assert column(data, "P") == list(range(10))


def test_a_slower_sensor_counts_until_its_next_value():
    data = joined(T=part(MINUTE_S * np.arange(20)), P=part(5 * MINUTE_S * np.arange(4) + 7))
    assert column(data, "P") == [i // 5 for i in range(20)]


def test_a_slower_sensor_that_stops_is_missing_after_its_interval():
    data = joined(T=part(MINUTE_S * np.arange(30)), P=part(5 * MINUTE_S * np.arange(4)))
    assert [i for i, v in enumerate(column(data, "P")) if v != v] == list(range(21, 30))


def test_before_the_first_value_nothing_is_known():
    data = joined(T=part(REGULAR), P=part(REGULAR[6:]))
    assert np.isnan(column(data, "P")[:6]).all()


def test_a_value_that_was_not_measured_is_not_replaced_by_an_older_one():
    bad = np.arange(10.0)
    bad[3] = np.nan
    data = joined(T=part(REGULAR), P=part(REGULAR, bad))
    assert [i for i, v in enumerate(column(data, "P")) if v != v] == [3]


def test_where_the_sensor_with_most_values_is_silent_the_others_give_the_times():
    gap = np.delete(np.arange(100), np.arange(40, 60))
    slow = 2 * MINUTE_S * np.arange(50)
    data = joined(T=part(MINUTE_S * gap, gap), P=part(slow))
    times = (data.streams[0].timestamps - START) / np.timedelta64(60, "s")
    assert [t for t in times if 39 < t < 60] == [42, 44, 46, 48, 50, 52, 54, 56]
    inside = (times > 40) & (times < 58)
    assert np.isnan(np.array(column(data, "T"))[inside]).all()
    assert not np.isnan(column(data, "P")).any()


def test_a_sensor_that_stores_changes_only_keeps_its_value_longer():
    changes = MINUTE_S * np.array([0, 1, 2, 3, 30, 31, 60])
    data = joined(T=part(MINUTE_S * np.arange(61)), P=part(changes))
    assert not np.isnan(column(data, "P")[:28]).any()
    assert "P 28.5 min" in data.notes[0]


def test_no_reading_knows_the_future_beyond_half_an_interval():
    random = np.random.default_rng(1)
    for _ in range(20):
        own = np.sort(random.uniform(0, 6000, 80))
        data = joined(T=part(MINUTE_S * np.arange(100)), P=part(own, own))
        reading = (data.streams[0].timestamps - START) / np.timedelta64(1, "s")
        ahead = np.array(column(data, "P")) - reading
        assert np.nanmax(ahead) <= MINUTE_S / 2 + 1e-5


def test_names_are_those_of_columns_that_tell_and_else_of_files():
    data = joined(
        a=part(REGULAR), b=part(REGULAR, name="TI101.PV"), c=part(REGULAR, name="Temp"),
        d=part(REGULAR, name="Temp"),
    )  # fmt: skip
    assert data.feature_names == ["a", "TI101.PV", "c", "d"]


def test_a_sensor_in_files_one_after_the_other_is_one_feature():
    data = joined(
        jan=part(REGULAR, name="TI101"), feb=part(REGULAR + 3600, name="TI101"), p=part(REGULAR)
    )
    assert data.feature_names == ["TI101", "p"]
    assert len(column(data, "TI101")) == 20


def test_several_columns_of_a_file_keep_their_names():
    values = np.arange(20.0).reshape(10, 2)
    two = Dataset(["min", "max"], [Stream("P1", None, times_of(REGULAR), values)])
    assert joined(T=two, P=two).feature_names == ["T min", "T max", "P min", "P max"]
    assert joined(T=two, P=part(REGULAR)).feature_names == ["min", "max", "P"]


def test_assets_are_joined_apart_and_labels_together():
    faulty = Stream("P1", None, times_of(REGULAR), np.ones((10, 1)), np.eye(10, dtype=np.int8)[3])
    data = joined_by_time(
        ["T", "T", "P"],
        [part(REGULAR), part(REGULAR, asset="P2"), Dataset(["value"], [faulty])],
    )
    assert [stream.asset_id for stream in data.streams] == ["P1", "P2"]
    assert data.streams[0].labels is not None
    assert data.streams[0].labels.tolist() == np.eye(10, dtype=int)[3].tolist()
    assert np.isnan(data.streams[1].values[:, 1]).all()


def test_a_single_value_counts_at_its_time_only():
    data = joined(T=part(REGULAR), P=part([120.0]))
    assert [v == v for v in column(data, "P")] == [i == 2 for i in range(10)]


def test_of_two_values_of_one_time_the_last_counts():
    data = joined(T=part(REGULAR), P=part([*REGULAR, 120.0]))
    assert column(data, "P")[2] == 10
    assert "P1: 1 values are given twice for one time: the last is taken" in data.notes


def test_groups_of_sensors_must_agree():
    one, two = part(REGULAR), part(REGULAR)
    one = Dataset(one.feature_names, one.streams, groups={("P1", None): "a"})
    assert joined(T=one, P=one).groups == {("P1", None): "a"}
    two = Dataset(two.feature_names, two.streams, groups={("P1", None): "b"})
    with pytest.raises(DatasetError, match=r"in several groups \('a', 'b'\)"):
        joined(T=one, P=two)


def test_files_that_may_be_sensors_of_one_machine_are_pointed_out():
    parts = [part(REGULAR, asset="T"), part(REGULAR + 1, asset="P")]
    assert "--one-file-per feature joins them by time" in (hint(parts) or "")
    assert hint(parts[:1]) is None
    assert hint([parts[0], part(REGULAR + 9999, asset="P")]) is None
    assert hint([parts[0], part(REGULAR, asset="T")]) is None


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    """A folder as a historian exports it."""
    folder = tmp_path / "PUMP_7"
    folder.mkdir()
    for name, offset in (("TI101", 0), ("PI102", 2)):
        lines = [f"2026-01-01 00:{i:02d}:{offset:02d},{i}.5,Good" for i in range(60)]
        (folder / f"{name}.csv").write_text("\n".join(["Time,Value,Quality", *lines]) + "\n")
    return folder


def test_a_folder_is_one_asset_if_the_caller_says_so(tags: Path):
    form = FileFormat(one_file_per="feature")
    data = datasets.load_files(datasets.files_of(str(tags)), None, form)
    assert data.feature_names == ["PI102", "TI101"]
    assert [stream.asset_id for stream in data.streams] == ["PUMP_7"]
    assert len(data.streams[0].timestamps) == 60
    assert any("no column names the asset, so the folder's name" in note for note in data.notes)
    assert any(
        "2 sensors are joined by time to 60 readings 60 s apart; a value" in n for n in data.notes
    )
    chosen = datasets.load_files(datasets.files_of(str(tags)), "TI101", form)
    assert chosen.feature_names == ["TI101"]
    named = FileFormat(one_file_per="feature", asset_id="P7")
    assert (
        datasets.load_files(datasets.files_of(str(tags)), None, named).streams[0].asset_id == "P7"
    )


def test_the_readings_of_a_folder_are_streamed_in_order_of_time(tags: Path):
    form = FileFormat(one_file_per="feature")
    notes: list[str] = []
    found = list(datasets.readings(tags, None, form, report=notes.append))
    assert len(found) == 60
    assert found[5].features == {"PI102": 5.5, "TI101": 5.5}
    assert any("2 sensors are joined by time" in note for note in notes)
    with pytest.raises(DatasetError, match="no file matches"):
        next(datasets.readings(tags / "x*.csv", None, form))


def test_without_the_option_it_is_suggested(tags: Path):
    data = datasets.load_files(datasets.files_of(str(tags)))
    assert [stream.asset_id for stream in data.streams] == ["PI102", "TI101"]
    assert any("--one-file-per feature joins them by time" in note for note in data.notes)


def test_a_file_that_cannot_be_read_is_left_out(tags: Path):
    (tags / "XI.csv").write_text("nothing\n")
    form = FileFormat(one_file_per="feature")
    data = datasets.load_files(datasets.files_of(str(tags)), None, form)
    assert data.feature_names == ["PI102", "TI101"]
    assert any("left out: XI.csv" in note for note in data.notes)


def test_another_word_is_refused():
    with pytest.raises(DatasetError, match="--one-file-per: 'tag' is neither asset nor feature"):
        FileFormat(one_file_per="tag")


def test_a_file_of_rows_with_one_value_each_is_joined(tmp_path: Path) -> None:
    rows = [
        f"{asset},2026-01-01 00:{i:02d}:{7 * k:02d}" + "," * (k + 1) + f"{i}.5" + "," * (1 - k)
        for i in range(60) for asset in ("P1", "P2") for k in (0, 1)
    ]  # fmt: skip
    path = tmp_path / "plant.csv"
    path.write_text("asset_id,timestamp,temp,flow\n" + "\n".join(rows) + "\n")
    apart = datasets.load_files([path])
    assert all(datasets.one_value_per_row(stream.values) for stream in apart.streams)
    data = datasets.load_files([path], form=FileFormat(one_file_per="feature"))
    assert data.feature_names == ["temp", "flow"]
    for stream in data.streams:
        assert stream.values.tolist() == [[i + 0.5, i + 0.5] for i in range(60)]
        assert not datasets.one_value_per_row(stream.values)
