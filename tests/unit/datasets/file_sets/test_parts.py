"""The sheets of a workbook are pieces of one table, or like the files of a folder."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.workbooks.workbook_files import workbook

HEAD = ["Time", "Temp", "Flow"]
N = 40


def rows(month: int = 1, factor: float = 1.0, n: int = N) -> list[list[Any]]:
    """Readings of a month, every ten minutes."""
    start = datetime(2026, month, 1)
    return [
        [start + i * timedelta(minutes=10), factor * (50 + i % 7 / 8), 3.125 + i % 5]
        for i in range(n)
    ]


def year(path: Path, months: int = 3, **more: Any) -> Path:
    names = ["Jan", "Feb", "Mar"][:months]
    sheets = {name: [HEAD, *rows(month)] for month, name in enumerate(names, start=1)}
    return workbook(path / "plant.xlsx", {**more, **sheets})


def load(*paths: Path, **options: Any) -> datasets.Dataset:
    return datasets.load_files(paths, None, FileFormat(**options))


def sizes(data: datasets.Dataset) -> dict[str, int]:
    return {stream.asset_id: len(stream.timestamps) for stream in data.streams}


def test_sheets_with_the_same_columns_are_read_one_after_another(tmp_path):
    data = load(year(tmp_path), asset_id="P1")
    assert data.feature_names == HEAD[1:]
    assert sizes(data) == {"P1": 3 * N}
    expected = [row[1:] for month in (1, 2, 3) for row in rows(month)]
    np.testing.assert_array_equal(data.streams[0].values, expected)
    assert (
        "plant.xlsx: the sheets Jan, Feb, Mar have the same columns, so all of them are read"
        " (--sheet NAME reads one of them)" in data.notes
    )


def test_a_sheet_with_other_columns_is_not_read_unless_asked_for(tmp_path):
    late = [["Time", "Level"], *[[t, 2 * a] for t, a, _ in rows(7)]]
    path = workbook(
        tmp_path / "plant.xlsx",
        {"Cover": [["Report"]], "Jan": [HEAD, *rows(1)], "Feb": [HEAD, *rows(2)], "Level": late},
    )
    data = load(path, asset_id="P1")
    assert (sizes(data), data.feature_names) == ({"P1": 2 * N}, HEAD[1:])
    assert any("; not read: Level (--sheet all reads them too)" in note for note in data.notes)
    data = load(path, asset_id="P1", sheet="ALL")
    assert (sizes(data), data.feature_names) == ({"P1": 3 * N}, [*HEAD[1:], "Level"])
    assert any("Level: not in each of the sheets" in note for note in data.notes)
    assert any("sheets without a table, or hidden: Cover: not read" in note for note in data.notes)


def test_chosen_sheets_are_read_in_order_of_time(tmp_path):
    path = year(tmp_path)
    data = load(path, asset_id="P1", sheet="mar, Jan")
    times = data.streams[0].timestamps
    assert len(times) == 2 * N
    assert (np.diff(times) > np.timedelta64(0)).all()
    assert sizes(load(path, asset_id="P1", sheet="Feb")) == {"P1": N}
    with pytest.raises(DatasetError) as error:
        load(path, asset_id="P1", sheet="Jan,Mai")
    assert error.value.field == "sheet"
    assert "plant.xlsx: --sheet: it has no sheet 'Mai', but Jan, Feb, Mar" in error.value.message


def test_names_of_sheets_with_commas_or_called_all(tmp_path):
    sheets = {"Jan, cold": [HEAD, *rows(1)], "all": [HEAD, *rows(2)], "Mar": [HEAD, *rows(3)]}
    path = workbook(tmp_path / "plant.xlsx", sheets)
    data = load(path, asset_id="P1", sheet="Jan, cold,Mar")
    assert [str(t)[:7] for t in data.streams[0].timestamps[[0, -1]]] == ["2026-01", "2026-03"]
    assert str(load(path, asset_id="P1", sheet="all").streams[0].timestamps[-1])[:7] == "2026-02"


def test_overlapping_sheets_count_each_reading_once(tmp_path):
    january = [HEAD, *rows(1)]
    february = [HEAD, *rows(1)[-5:], *rows(2)]
    path = workbook(tmp_path / "plant.xlsx", {"Jan": january, "Feb": february})
    data = load(path, asset_id="P1")
    assert sizes(data) == {"P1": 2 * N}
    assert any("5 readings occur in more than one sheet" in note for note in data.notes)


def test_sheets_of_a_month_need_the_name_of_their_asset(tmp_path):
    path = year(tmp_path)
    with pytest.raises(DatasetError) as error:
        load(path)
    assert error.value.field == "asset_id"
    assert error.value.message.startswith("plant.xlsx (Jan): column 'asset_id' is missing")
    other = workbook(tmp_path / "Q.xlsx", {"Jan": [HEAD, *rows(1)], "Feb": [HEAD, *rows(2)]})
    data = load(path, other)
    assert sizes(data) == {"plant": 3 * N, "Q": 2 * N}
    assert any("so the file's name is the asset" in note for note in data.notes)


def test_sheets_of_one_time_are_assets(tmp_path):
    sheets = {"Pump 1": [HEAD, *rows()], "Pump 2": [HEAD, *rows(factor=1.5)]}
    data = load(workbook(tmp_path / "plant.xlsx", sheets))
    assert sizes(data) == {"Pump 1": N, "Pump 2": N}
    assert any("so the sheet's name is the asset" in note for note in data.notes)


def test_sheets_of_one_time_and_asset_are_not_mixed(tmp_path):
    sheets = {"Raw": [HEAD, *rows()], "Filtered": [HEAD, *rows(factor=0.9)]}
    path = workbook(tmp_path / "plant.xlsx", sheets)
    data = load(path, asset_id="P1")
    np.testing.assert_array_equal(data.streams[0].values, [row[1:] for row in rows()])
    assert data.notes[0] == (
        "read from the sheet 'Raw': the same columns and times occur in Filtered too (--sheet NAME"
        " chooses another, --sheet all reads all)"
    )
    assert sizes(load(path, asset_id="P1", sheet="all")) == {"P1": 2 * N}


def test_a_column_of_assets_counts_more_than_the_sheets(tmp_path):
    head = ["asset_id", *HEAD]
    sheets = {
        name: [head, *[[asset, *row] for asset in ("A", "B") for row in rows(month)]]
        for month, name in enumerate(("Jan", "Feb"), start=1)
    }
    assert sizes(load(workbook(tmp_path / "plant.xlsx", sheets))) == {"A": 2 * N, "B": 2 * N}


def test_a_sheet_that_cannot_be_read_is_named_and_left_out(tmp_path):
    path = year(tmp_path, Total=[["Sensor", "Mean"], ["Temp", 1.5], ["Flow", 2.5]])
    data = load(path, asset_id="P1", sheet="all")
    assert sizes(data) == {"P1": 3 * N}
    assert any(note.startswith("left out: plant.xlsx (Total): ") for note in data.notes)


def test_a_sheet_per_sensor(tmp_path):
    sheets = {
        "Temp": [["Time", "Value"], *[[t, a] for t, a, _ in rows()]],
        "Flow": [["Time", "Value"], *[[t, b] for t, _, b in rows()]],
    }
    path = workbook(tmp_path / "PUMP.xlsx", sheets)
    data = load(path, one_file_per="feature")
    assert (sizes(data), data.feature_names) == ({"PUMP": N}, ["Temp", "Flow"])
    np.testing.assert_array_equal(data.streams[0].values, [row[1:] for row in rows()])
    assert any("so the workbook's name is the asset" in note for note in data.notes)
    assert any("--one-file-per feature joins them" in note for note in load(path).notes)


def test_readings_of_several_sheets_come_in_order_of_time(tmp_path):
    path = year(tmp_path)
    notes: list[str] = []
    found = [*datasets.readings(path, form=FileFormat(asset_id="P1", sheet="Mar,Feb"))]
    assert len(found) == 2 * N
    assert found == sorted(found, key=lambda reading: reading.timestamp)
    found = [*datasets.readings(path, form=FileFormat(asset_id="P1"), report=notes.append)]
    assert len(found) == 3 * N
    assert any("the sheets Jan, Feb, Mar" in note for note in notes)
    one = FileFormat(asset_id="P1", sheet="Feb")
    assert len([*datasets.readings(path, form=one)]) == N


def test_one_sheet_is_read_alone(tmp_path):
    path = year(tmp_path)
    data = datasets.load(path, None, FileFormat(asset_id="P1"))
    assert "read from the sheet 'Jan'; --sheet chooses another: Feb, Mar" in data.notes
    with pytest.raises(DatasetError, match="'Jan,Feb' are several sheets"):
        datasets.load(path, None, FileFormat(asset_id="P1", sheet="Jan,Feb"))


def test_a_damaged_workbook_among_good_files_is_left_out(tmp_path):
    good = year(tmp_path)
    bad = tmp_path / "bad.xlsx"
    bad.write_bytes(good.read_bytes()[:900])
    data = load(bad, good)
    assert any(note.startswith("left out: bad.xlsx: cannot be read") for note in data.notes)


def test_titles_above_the_names_and_a_single_reading_do_not_keep_a_sheet_out(tmp_path):
    sheets = {
        "Jan": [["Plant"], [], HEAD, *rows(1)],
        "Feb": [["Plant, February"], ["by", "Anna"], [], HEAD, *rows(2)],
        "Mar": [HEAD, *rows(3, n=1)],
    }
    data = load(workbook(tmp_path / "plant.xlsx", sheets), asset_id="P1")
    assert sizes(data) == {"P1": 2 * N + 1}


def test_only_the_last_column_differs(tmp_path):
    sheets = {"Jan": [HEAD, *rows(1)], "Feb": [[*HEAD[:2], "Level"], *rows(2)]}
    assert sizes(load(workbook(tmp_path / "plant.xlsx", sheets), asset_id="P1")) == {"P1": N}
