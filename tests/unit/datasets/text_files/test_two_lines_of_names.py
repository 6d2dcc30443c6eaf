"""Two lines of names are one if the lower repeats names and the upper tells them apart."""

from __future__ import annotations

import pytest

from datasets.text_files.two_lines_of_names import joined_names, names_above_an_index
from tests.unit.datasets.plant_files import Load, readings, same, table

NAMES = ["M1 temp", "M1 vib", "M2 temp"]


@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        ("x,M1,M1,M2", "t,temp,vib,temp"), (",M1,,M2", "t,temp,vib,temp"),
        ("t,M1,,M2", ",temp,vib,temp"),
    ],
)  # fmt: skip
def test_names_are_joined(upper: str, lower: str) -> None:
    assert joined_names(upper.split(","), lower.split(","))[1:] == NAMES


@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        (",M1,,M2", "t,temp,vib,rpm"), ("Report,,,", "t,temp,vib,temp"),
        ("t,temp,temp,rpm", ",C,C,rpm"), ("a,b", "t,temp,temp"), (",,,", "t,temp,vib,temp"),
    ],
)  # fmt: skip
def test_one_line_is_enough_or_both_are_not(upper: str, lower: str) -> None:
    assert not joined_names(upper.split(","), lower.split(","))


@pytest.mark.parametrize(
    "lines",
    [",,mm/s,°C,°C", "Unit,,mm/s,°C,°C", "Type,,float,float,float\r\nUnit,,mm/s,°C,°C"],
)
def test_units_that_repeat_are_no_names(load: Load, lines: str) -> None:
    values = readings()
    head = f"asset_id,timestamp,vib,temp 1,temp 2\r\n{lines}\r\n"
    data = load(head + table(values, head=None))
    same(data, values, ["vib", "temp 1", "temp 2"])
    assert any("left out: " in note for note in data.notes)


@pytest.mark.parametrize("above", ["", "Plant report,,,,\r\n"])
@pytest.mark.parametrize("units", ["", ",,C,mm/s,C\r\n"])
def test_files(load: Load, above: str, units: str) -> None:
    values = readings()
    head = f"{above},,M1,,M2\r\nasset_id,timestamp,temp,vib,temp\r\n{units}"
    data = load(head + table(values, head=None))
    same(data, values, NAMES)
    note = "two lines of names are read as one: asset_id, timestamp, M1 temp, M1 vib, M2 temp"
    assert note in data.notes


def test_two_lines_of_names_of_pandas_have_an_index() -> None:
    first = ["2026-01-01", "1", "2", "3"]
    upper, lower = ["", "Temp", "Temp", "Flow"], ["", "mean", "std", "mean"]
    names = ["Temp mean", "Temp std", "Flow mean"]
    index = ["time", "", "", ""]
    assert names_above_an_index(upper, [lower, index, first]) == (["time", *names], 2)
    assert names_above_an_index(upper, [lower, first, first]) == (["index", *names], 1)
    lacking = ["2026-01-01", "", "", ""]
    assert names_above_an_index(upper, [lower, lacking, first]) == (["index", *names], 1)
    assert names_above_an_index(["a", *upper[1:]], [lower, index, first])[0] == []
    assert names_above_an_index(upper, [first, first, first])[0] == []


@pytest.mark.parametrize("units", [",°C,°C", ",float,float", ",°C,°C\nTime,,"])
def test_units_of_unlike_names_are_not_joined_to_them(load: Load, units: str) -> None:
    rows = "".join(f"2026-01-0{i},{i}.5,{i}.7\n" for i in range(1, 9))
    data = load(f",T1,T2\n{units}\n{rows}", asset_id="P1")
    assert data.feature_names == ["T1", "T2"]
