"""Numbers that count from other beginnings than 1970 are read by an option that messages name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from datasets.times.epochs import EPOCHS
from errors import DatasetError
from tests.unit.datasets.plant_files import Load

_WHEN = pd.date_range("2024-03-01 08:00", periods=60, freq="7min")
_NUMBERS = {
    "matlab": [f"{day:.8f}" for day in _WHEN.to_julian_date() - 1_721_058.5],
    "excel": [f"{day:.8f}" for day in _WHEN.to_julian_date() - 2_415_018.5],
    "julian": [f"{day:.8f}" for day in _WHEN.to_julian_date()],
    "filetime": [str(133_537_536_000_000_000 + 4_200_000_000 * i) for i in range(60)],
    "ticks": [str(638_448_768_000_000_000 + 4_200_000_000 * i) for i in range(60)],
    "1904": [str(3_792_124_800 + 420 * i) for i in range(60)],
    "gps": [str(1_393_315_218 + 420 * i) for i in range(60)],
}


def _table(name: str, unit: str) -> str:
    return f"{name},f\n" + "".join(f"{x},{i % 7}\n" for i, x in enumerate(_NUMBERS[unit]))


@pytest.mark.parametrize("unit", EPOCHS)
def test_other_beginnings_than_1970_are_read(load: Load, unit: str) -> None:
    data = load(_table("timestamp", unit), asset_id="A", time_unit=unit)
    assert data.streams[0].timestamps.tolist() == _WHEN.to_pydatetime().tolist()


@pytest.mark.parametrize("unit", [unit for unit in EPOCHS if unit != "gps"])
@pytest.mark.parametrize("name", ["timestamp", "Time"])
def test_the_message_names_what_numbers_look_like(load: Load, name: str, unit: str) -> None:
    with pytest.raises(DatasetError, match=f"--time-unit {unit} reads them") as raised:
        load(_table(name, unit), asset_id="A")
    assert EPOCHS[unit].what in raised.value.message
    assert "--time-unit s" not in raised.value.message
    frame = pd.DataFrame({name: [float(x) for x in _NUMBERS[unit]], "f": 1.5})
    with pytest.raises(DatasetError, match=f"--time-unit {unit} reads them"):
        load(frame, "parquet", asset_id="A")


@pytest.mark.parametrize("unit", ["filetime", "ticks", "1904"])
@pytest.mark.parametrize("given", ["s", "gps", "matlab"])
def test_a_unit_that_makes_years_of_nobodys_readings_is_refused(
    load: Load, unit: str, given: str
) -> None:
    with pytest.raises(DatasetError, match=f"--time-unit {unit} reads them so"):
        load(_table("timestamp", unit), asset_id="A", time_unit=given)


def test_days_may_be_seconds_since_the_start_but_a_note_names_them(load: Load) -> None:
    data = load(_table("timestamp", "matlab"), asset_id="A", time_unit="s")
    assert any("MATLAB's days" in note and "--time-unit matlab" in note for note in data.notes)
    rows = "".join(f"{i * 0.5},{i % 7}\n" for i in range(60))
    data = load(f"timestamp,f\n{rows}", asset_id="A", time_unit="s")
    assert not any("look like" in note for note in data.notes)
    data = load(f"timestamp,f\n{rows}", asset_id="A", time_unit="gps")
    assert "times such as 0.0 are not of our days by --time-unit gps" in data.notes


def test_seconds_of_gps_are_not_taken_for_those_since_1970(load: Load) -> None:
    with pytest.raises(DatasetError, match="--time-unit gps reads them"):
        load(_table("GPS time", "gps"), asset_id="A")
    data = load(_table("GPS time", "gps"), asset_id="A", time_unit="gps")
    assert data.streams[0].timestamps[0] == np.datetime64("2024-03-01 08:00")


def test_days_of_a_spreadsheet_are_local(load: Load) -> None:
    form = {"asset_id": "A", "time_unit": "excel", "time_zone": "Europe/Berlin"}
    data = load(_table("timestamp", "excel"), **form)
    assert data.streams[0].timestamps[0] == np.datetime64("2024-03-01 07:00")


def test_days_without_the_time_of_day_are_said_not_to_tell_readings_apart(load: Load) -> None:
    rows = "".join(f"{45352 + i // 24},{i % 24 / 24:.6f},{i % 7}\n" for i in range(96))
    form = {"asset_id": "A", "columns": {"timestamp": "Date"}, "time_unit": "excel"}
    data = load(f"Date,Part,f\n{rows}", **form)
    assert any("'Date' do not tell all readings" in note for note in data.notes)
    data = load(_table("Date", "excel"), **form)
    assert not any("do not tell" in note for note in data.notes)
