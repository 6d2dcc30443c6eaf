"""Streams dealt out to groups, and the rules a bundle keeps of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets import Stream
from errors import TrainingError
from models.bundles.rules import RuleIndex
from training.data.groups import group_streams, read_rules
from training.data.sources import TrainingData


def stream(asset: str, sensor: str | None, values: list[list[float]] | None = None) -> Stream:
    array = np.array(values if values is not None else [[1.0, 2.0]])
    times = np.datetime64("2026-01-01", "us") + np.arange(len(array)) * np.timedelta64(1, "s")
    return Stream(asset, sensor, times, array)


DATA = TrainingData(
    ["rms", "temp"],
    [stream("P1", "VIB_1"), stream("P1", "T[1]"), stream("P2", "VIB_2"), stream("P2", None)],
    "test",
)


def test_without_options_all_streams_are_one_group() -> None:
    found = group_streams(DATA)
    assert list(found.groups) == ["default"]
    assert found.rules == []


def test_by_asset_gives_a_rule_an_asset() -> None:
    found = group_streams(DATA, "asset_id")
    assert {g: len(d.streams) for g, d in found.groups.items()} == {"P1": 2, "P2": 2}
    assert [r.group for r in found.rules] == ["P1", "P2"]


def test_by_sensor_takes_ids_literally() -> None:
    found = group_streams(DATA, "sensor_id")
    assert set(found.groups) == {"VIB_1", "T[1]", "VIB_2", "no_sensor"}
    rule = next(r for r in found.rules if r.group == "T[1]")
    assert RuleIndex([rule]).find("P9", "T[1]", None)
    assert not RuleIndex([rule]).find("P9", "T1", None)


def test_by_a_column_of_the_file() -> None:
    column = {("P1", "VIB_1"): "v", ("P1", "T[1]"): "t", ("P2", "VIB_2"): "v", ("P2", None): "t"}
    data = TrainingData(DATA.feature_names, DATA.streams, "test", column=column)
    found = group_streams(data, "kind")
    assert {g: len(d.streams) for g, d in found.groups.items()} == {"t": 2, "v": 2}


def test_by_a_column_that_is_not_there() -> None:
    with pytest.raises(TrainingError, match="'kind'"):
        group_streams(DATA, "kind")


def test_a_groups_file_leaves_out_what_it_does_not_name(tmp_path: Path) -> None:
    path = tmp_path / "groups.toml"
    path.write_text('[[group]]\nname = "vibration"\nsensor_id = "VIB*"\n')
    found = group_streams(DATA, groups_file=path)
    assert [s.sensor_id for s in found.groups["vibration"].streams] == ["VIB_1", "VIB_2"]
    assert found.notes == ["2 streams match no group and were left out"]


def test_a_group_without_streams_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "groups.toml"
    path.write_text('[[group]]\nname = "flow"\nsensor_id = "FLOW*"\n')
    with pytest.raises(TrainingError, match="'flow'"):
        group_streams(DATA, groups_file=path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected"),
        ("[[group]]\nsensor_id = 'x'\n", "without a name"),
        ("[[group]]\nname = 'x'\nsensor = 'x'\n", "'sensor'"),
        ("[[group]]\nname = 'x'\nfeature = 3\n", "group 'x': feature: 3 is no name"),
        ("group = ['x']\n", "expected"),
        ("[[group", "groups.toml"),
    ],
)
def test_a_wrong_groups_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "groups.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_rules(path)


def test_a_group_keeps_only_the_features_its_streams_have() -> None:
    data = TrainingData(
        ["rms", "temp"],
        [stream("P", "V", [[1, np.nan], [2, np.nan]]), stream("P", "T", [[np.nan, 3]])],
        "test",
    )
    found = group_streams(data, "sensor_id")
    assert found.groups["V"].feature_names == ["rms"]
    assert found.groups["T"].feature_names == ["temp"]


def test_streams_of_a_single_feature_need_a_rule(tmp_path: Path) -> None:
    data = TrainingData(["rms"], [stream("P", "V", [[1.0]])] * 2, "test", single=["rms", None])
    found = group_streams(data)
    assert len(found.groups["default"].streams) == 1
    assert found.notes == ["1 streams send a single feature and were left out"]
    path = tmp_path / "groups.toml"
    path.write_text('[[group]]\nname = "r"\nfeature = "rms"\n')
    assert len(group_streams(data, groups_file=path).groups["r"].streams) == 1
