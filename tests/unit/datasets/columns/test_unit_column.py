"""The column of units of a long table: a sensor whose unit changes is no single signal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.columns.test_pivot import long
from tests.unit.datasets.plant_files import Load, readings, same

UNITS = {"vib": "mm/s", "temp": "°C", "flow": "l/min"}


def with_units(asset: str = "P1") -> pd.DataFrame:
    table = long(readings(300), asset)
    return table.assign(unit=table.tag.map(UNITS))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("unit", ["°F", "deg F", "F"])
def test_sensor_whose_unit_changes_is_refused_with_its_row(
    load: Load, suffix: str, unit: str
) -> None:
    table = with_units()
    table.loc[(table.tag == "temp") & (table.index >= 450), "unit"] = unit
    message = (
        rf"row 451: P1 / temp is in '{unit}', and in '°C' in row 301: convert one of them,"
        " or --exclude unit takes the values as they are"
    )
    with pytest.raises(DatasetError, match=message):
        load(table, suffix, pivot="tag")
    with pytest.raises(DatasetError, match=message):
        load(table, suffix, columns={"sensor_id": "tag"})
    same(load(table, suffix, pivot="tag", exclude="unit"), readings(300))


def test_sensor_whose_unit_changes_is_not_replayed(tmp_path: Path) -> None:
    table = with_units()
    table.loc[(table.tag == "temp") & (table.index >= 450), "unit"] = "°F"
    path = tmp_path / "long.csv"
    table.to_csv(path, index=False)
    with pytest.raises(DatasetError, match="row 451: P1 / temp is in '°F'"):
        list(datasets.readings(path, form=FileFormat(columns={"sensor_id": "tag"})))


def test_units_that_stay_or_lack_or_only_look_different_are_read(load: Load) -> None:
    table = with_units()
    table.loc[::3, "unit"] = ""
    table.loc[(table.tag == "temp") & (table.index >= 450), "unit"] = "C"
    table.loc[(table.tag == "flow") & (table.index >= 750), "unit"] = "litres"
    data = load(table, pivot="tag")
    same(data, readings(300))
    assert "column 'unit' is read as the units of the values" in data.notes
    notes = " ".join(data.notes)
    assert "P1 / flow: in 'l/min' from row 602, 'litres' from row 751" in notes
    assert "holds no number" not in notes
    assert "temp" not in notes


def test_many_sensors_whose_unit_only_looks_different_have_one_note(load: Load) -> None:
    table = pd.concat([with_units(), with_units("P2")], ignore_index=True)
    late = table.groupby(["asset_id", "tag"]).cumcount() >= 150
    table.loc[late, "unit"] = table.unit[late].replace("l/min", "litres").replace("mm/s", "mms")
    notes = [note for note in load(table, pivot="tag").notes if "as they are" in note]
    assert len(notes) == 1
    assert "(and 3 more); the values are used as they are" in notes[0]


def test_units_that_differ_between_assets_are_named(load: Load) -> None:
    other = with_units("P2")
    other["unit"] = other.unit.replace("°C", "°F")
    data = load(pd.concat([with_units(), other]), pivot="tag")
    expected = "temp: in '°C' for P1, in '°F' for P2; the values are used as they are"
    assert expected in data.notes


@pytest.mark.parametrize("form", [{"pivot": "tag"}, {"columns": {"sensor_id": "tag"}}, {}])
def test_unit_that_changes_from_one_file_to_the_next_is_refused(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    paths = [tmp_path / "january.csv", tmp_path / "february.csv"]
    later = with_units()
    later["timestamp"] += pd.Timedelta("31D")
    later["unit"] = later.unit.replace("°C", "°F")
    for table, path in zip([with_units(), later], paths, strict=True):
        kept = table if form else table[table.tag == "temp"].drop(columns="tag")
        kept.to_csv(path, index=False)
    message = r"P1.*: in '°C' in january\.csv, in '°F' in february.*--exclude the column of units"
    with pytest.raises(DatasetError, match=message):
        datasets.load_files(paths, form=FileFormat(**form))
    data = datasets.load_files(paths, form=FileFormat(**form, exclude="unit"))
    assert {len(stream.timestamps) for stream in data.streams} == {600}


def test_units_of_another_asset_in_another_file_are_named(tmp_path: Path) -> None:
    one, other = with_units(), with_units("P2")
    other["unit"] = other.unit.replace("°C", "°F")
    again = one[one.tag != "temp"].copy()  # P1 is in both files, its temperature in one
    again["timestamp"] += pd.Timedelta("31D")
    paths = [tmp_path / "january.csv", tmp_path / "february.csv"]
    for table, path in zip([one, pd.concat([again, other])], paths, strict=True):
        table.to_csv(path, index=False)
    data = datasets.load_files(paths, form=FileFormat(pivot="tag"))
    told = "temp: in '°C' in january.csv, in '°F' in february.csv; the values are used as they are"
    assert told in data.notes


def test_units_of_a_single_sensor_without_a_column_of_sensors(load: Load) -> None:
    table = with_units()
    table = table[table.tag == "temp"].drop(columns="tag")
    table.loc[450:, "unit"] = "°F"
    with pytest.raises(DatasetError, match="row 151: P1 is in '°F', and in '°C' in row 1"):
        load(table)
