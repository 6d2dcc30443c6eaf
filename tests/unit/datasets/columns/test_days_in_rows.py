"""Tables with a row per day."""

from __future__ import annotations

import pytest

from datasets.columns.days_in_rows import days_in_rows
from tests.unit.datasets.plant_files import Load


def test_a_table_with_a_row_per_day_is_told(load: Load) -> None:
    times = [f"{i // 4:02d}:{i % 4 * 15:02d}" for i in range(96)]
    rows = "".join(f"M1;0{day}.01.2026{';1,5' * 96}\n" for day in range(1, 9))
    data = load(f"asset_id;Datum;{';'.join(times)}\n{rows}")
    assert data.feature_names == times
    (note,) = (note for note in data.notes if "times of day" in note)
    assert note.startswith("00:00, 00:15, ... 23:45: 96 columns are named by times of day: each")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([f"{i}:00" for i in range(24)], True), ([f"T{i:02d}:00:00" for i in range(24)], True),
        ([f"{i:02d}:00 - {i + 1:02d}:00" for i in range(24)], True),
        ([f"hh_{i}" for i in range(48)], False), (["06:00", "14:00", "22:00"], False),
        ([f"{i}.{i}" for i in range(24)], False),
    ],
)  # fmt: skip
def test_which_names_are_times_of_day(names: list[str], told: bool) -> None:
    assert bool(days_in_rows(names)) == told
