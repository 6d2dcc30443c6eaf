"""Long tables become readings: one feature per sensor, one reading per time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import START, Load, readings, same

NAMES = ["vib", "temp", "flow"]


def long(values: np.ndarray, asset: str = "P1", by_tag: bool = True) -> pd.DataFrame:
    frame = pd.DataFrame(values, columns=NAMES)
    frame.insert(0, "timestamp", pd.date_range(START, periods=len(values), freq="min"))
    melted = frame.melt("timestamp", var_name="tag", value_name="value")
    melted.insert(0, "asset_id", asset)
    return melted if by_tag else melted.sort_values("timestamp", kind="stable")


@pytest.mark.parametrize("by_tag", [True, False])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_sensors_become_features(load: Load, by_tag: bool, suffix: str) -> None:
    values = readings(300)
    table = long(values, by_tag=by_tag)
    with pytest.raises(DatasetError, match="--pivot tag makes each of them a feature"):
        load(table, suffix)
    data = load(table, suffix, pivot="tag")
    same(data, values)
    assert data.streams[0].sensor_id is None
    assert data.notes[-1] == "column 'tag' names the 3 features of 300 readings"


def test_assets_keep_their_own_times_and_sensors(load: Load) -> None:
    first, second = long(readings(300)), long(readings(200, seed=1), "P2")
    second = second[second.tag != "flow"]
    data = load(pd.concat([first, second]), pivot="tag")
    assert [stream.asset_id for stream in data.streams] == ["P1", "P2"]
    same(data, readings(300))
    np.testing.assert_array_equal(data.streams[1].values[:, :2], readings(200, seed=1)[:, :2])
    assert np.isnan(data.streams[1].values[:, 2]).all()


def test_values_that_lack_and_values_given_twice(load: Load) -> None:
    values = readings(300)
    table = long(values).drop(index=5)
    again = table.loc[[7]].assign(value=99.0)
    data = load(pd.concat([table, again]), pivot="tag")
    expected = values.copy()
    expected[5, 0], expected[7, 0] = np.nan, 99
    same(data, expected)
    assert "1 values are given twice for one time: the last is taken" in data.notes


def test_labels_and_groups(load: Load, tmp_path: Path) -> None:
    table = long(readings(300))
    table["label"] = ((table.index % 300 == 17) & (table.tag == "temp")).astype(int)
    data = load(table, pivot="tag")
    labels = data.streams[0].labels
    assert labels is not None
    assert np.flatnonzero(labels).tolist() == [17]
    path = tmp_path / "grouped.csv"
    table.assign(line="L1").to_csv(path, index=False)
    grouped = datasets.load(path, form=FileFormat(pivot="tag"), group="line")
    assert grouped.groups == {("P1", None): "L1"}
    table.assign(line=table.tag).to_csv(path, index=False)
    with pytest.raises(DatasetError, match="are in several groups"):
        datasets.load(path, form=FileFormat(pivot="tag"), group="line")


def test_several_values_per_row(load: Load) -> None:
    table = long(readings(300)).assign(weight=1, serial=lambda t: np.arange(len(t)) * 0.7)
    data = load(table, pivot="tag")
    same(data, readings(300))
    assert "weight, serial: left out beside 'value' (--features chooses)" in data.notes
    data = load(table.rename(columns={"value": "low"}), pivot="tag", features="low,weight")
    assert data.feature_names[:3] == ["vib low", "vib weight", "temp low"]


def test_sensors_sampled_at_different_times_are_refused(load: Load) -> None:
    table = long(readings(300))
    table["timestamp"] += pd.to_timedelta(table.tag.map({"vib": 0, "temp": 7, "flow": 19}), "s")
    with pytest.raises(DatasetError, match=r"sampled at different times \(33%.*interpolated"):
        load(table, pivot="tag")


def test_values_that_another_column_tells_apart_are_refused(load: Load) -> None:
    table = pd.concat([long(readings(300)), long(readings(300, seed=1))])
    with pytest.raises(DatasetError, match="900 values are given twice for one time: does another"):
        load(table, pivot="tag")


def test_a_quality_judges_the_value(load: Load) -> None:
    table = long(readings(300)).assign(other=1.5, Quality=0, OPCQuality=192)
    table.loc[table.index[3], "OPCQuality"] = 8
    expected = readings(300)
    expected[3, 0] = np.nan
    same(load(table, pivot="tag"), expected)


def test_readings_come_in_order_of_time(tmp_path: Path) -> None:
    values = readings(300)
    path = tmp_path / "long.csv"
    pd.concat([long(values), long(values, "P2")]).to_csv(path, index=False)
    notes: list[str] = []
    found = list(datasets.readings(path, form=FileFormat(pivot="tag"), report=notes.append))
    assert [one.asset_id for one in found[:4]] == ["P1", "P2", "P1", "P2"]
    assert [list(one.features.values()) for one in found[::2]] == values.tolist()
    assert found[0].label is None
    assert notes[-1].startswith("column 'tag' names")


def test_options_that_do_not_fit(load: Load) -> None:
    with pytest.raises(DatasetError, match="--pivot: cannot be combined"):
        FileFormat(pivot="tag", columns={"sensor_id": "tag"})
    with pytest.raises(DatasetError, match="--pivot: column 'name' is missing"):
        load(long(readings()), pivot="name")
