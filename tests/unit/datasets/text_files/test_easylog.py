"""Files of Lascar's EasyLog are read: the serial number stands in the first row only."""

from __future__ import annotations

import pytest

from tests.unit.datasets.plant_files import Load

NAMES = "Cold store 2,Time,Celsius(°C),Humidity(%rh),Dew Point(°C),Serial Number"


def file(n: int = 60, end: str = "", names: str = NAMES, serial: str = ",010012345") -> str:
    lines = [names]
    for i in range(n):
        row = f"{i + 1},{13 + i // 24:02d}/01/2026 {i % 24:02d}:00:00,{20 + i % 5}.5,{40 + i % 7}.0"
        lines.append(f"{row},{7 + i % 3}.5" + (serial if i == 0 else end))
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize("end", ["", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_no_reading_is_lost(load: Load, end: str, encoding: str) -> None:
    data = load(file(end=end).encode(encoding), "txt", asset_id="P1")
    assert data.feature_names == ["Celsius(°C)", "Humidity(%rh)", "Dew Point(°C)"]
    (stream,) = data.streams
    assert stream.values.tolist() == [[20.5 + i % 5, 40 + i % 7, 7.5 + i % 3] for i in range(60)]
    assert stream.rows is not None
    assert stream.rows.tolist() == list(range(1, 61))
    assert "the serial number, which only the first row has, is left out" in data.notes


def test_separated_by_semicolons(load: Load) -> None:
    data = load(file().replace(",", ";").replace(".5", ",5").replace(".0", ",0"), asset_id="P1")
    assert data.streams[0].values[0].tolist() == [20.5, 40, 7.5]


def test_a_serial_number_in_each_row_is_read_as_before(load: Load) -> None:
    data = load(file(end=",010012345"), asset_id="P1")
    assert "the serial number, which only the first row has, is left out" not in data.notes
    assert len(data.streams[0].timestamps) == 60
