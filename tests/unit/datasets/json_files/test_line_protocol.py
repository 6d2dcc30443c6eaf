"""InfluxDB's line protocol: points become readings."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from datasets.json_files.line_protocol import is_line_protocol
from errors import DatasetError
from tests.unit.datasets.plant_files import Load

N = 40


def points(series: str, fields: str, scale: int = 10**9) -> str:
    """Points a minute apart; {i} in the fields is their number."""
    return "".join(
        f"{series} {fields.format(i=i)} {(1_767_225_600 + 60 * i) * scale}\n" for i in range(N)
    )


def test_fields_of_a_point_are_features(load: Load):
    text = points("pump,site=north", 'temp={i}.5,count={i}i,on=t,text="a b, c=\\"d\\""')
    data = load(text, "lp", asset_id="P")
    assert data.feature_names == ["temp", "count", "on"]
    assert data.streams[0].values[2].tolist() == [2.5, 2, 1]
    assert str(data.streams[0].timestamps[1]) == "2026-01-01T00:01:00.000000"
    packed = load(gzip.compress(text.encode()), "txt", asset_id="P")
    np.testing.assert_array_equal(packed.streams[0].values, data.streams[0].values)


@pytest.mark.parametrize("scale", [1, 10**3, 10**6])
def test_other_precisions_of_times_are_recognised(load: Load, scale: int):
    data = load(points("pump", "temp={i}.5", scale), "lp", asset_id="P")
    assert str(data.streams[0].timestamps[1]) == "2026-01-01T00:01:00.000000"


def test_fields_on_lines_of_their_own_and_measurements_are_joined(load: Load):
    head = "# DDL\nCREATE DATABASE plant\n# DML\n"
    text = head + points("pump\\ 1", "temp={i}.5") + points("pump\\ 1", "vib={i}i")
    data = load(text, "txt", asset_id="P")
    assert data.feature_names == ["temp", "vib"]
    assert not np.isnan(data.streams[0].values).any()
    data = load(text + points("motor", "temp=7"), "txt", asset_id="P")
    assert data.feature_names == ["pump 1.temp", "pump 1.vib", "motor.temp"]
    assert any("points of pump 1, motor are joined by tags and time" in n for n in data.notes)


def test_a_tag_may_name_the_asset(load: Load):
    text = points("pump,machine=A", "temp={i}.5") + points("pump,machine=B", "temp={i}.25")
    with pytest.raises(DatasetError, match="--columns asset_id=machine"):
        load(text, "lp", asset_id="P")
    data = load(text, "lp", columns={"asset_id": "machine"})
    assert [(s.asset_id, s.values[1, 0]) for s in data.streams] == [("A", 1.5), ("B", 1.25)]


def test_a_line_that_is_no_point_is_left_out(load: Load):
    lines = [f"pump temp={i}.5 {1_767_225_600 + 60 * i}" for i in range(150)]
    lines[7] = "pump temp=7"
    data = load("\n".join(lines) + "\n", "lp", asset_id="P")
    assert len(data.streams[0].values) == 149
    assert any("row 8 is no point with a time: 'pump temp=7'" in note for note in data.notes)


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "time temp\n2026-01-01 1.5\n", "a b=c\n", '{"a": 1}\n', "x y=1 z=2 1\n"],
)
def test_other_texts_are_not_taken_for_points(text: str):
    assert not is_line_protocol(text.encode())
