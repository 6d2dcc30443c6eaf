"""Subtotals of a day and titles of other tables are no readings."""

from __future__ import annotations

import pandas as pd
import pytest

from errors import DatasetError
from tests.unit.datasets.plant_files import Load

_WHEN = pd.date_range("2026-03-01 00:05", periods=1500, freq="5min")


@pytest.mark.parametrize("day", ["%Y-%m-%d", "%d.%m.%Y"])
@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("assets", ["A", "AB"])
def test_a_subtotal_with_a_bare_date_is_left_out(
    load: Load, day: str, newest_first: bool, assets: str
) -> None:
    rows = []
    for i, time in enumerate(_WHEN):
        rows += [f"{asset},{time:{day} %H:%M},{i % 7}" for asset in assets]
        if time.hour == 23 and time.minute == 55:
            rows += [f"{asset},{time:{day}},999" for asset in assets]
    rows = rows[::-1] if newest_first else rows
    data = load("asset_id,timestamp,f\n" + "\n".join(rows) + "\n")
    for stream in data.streams:
        assert len(stream.timestamps) == len(_WHEN)
        assert stream.values.max() == 6
    assert any("a subtotal?" in note and "rows left out" in note for note in data.notes)


def test_midnights_without_a_time_of_day_are_read_and_said(load: Load) -> None:
    hours = pd.date_range("2026-03-01", periods=72, freq="h")
    texts = [f"{t:%Y-%m-%d}" if t.hour == 0 else f"{t:%Y-%m-%d %H:%M:%S}" for t in hours]
    data = load("timestamp,f\n" + "".join(f"{t},{i}\n" for i, t in enumerate(texts)), asset_id="A")
    assert data.streams[0].timestamps.tolist() == hours.to_pydatetime().tolist()
    assert any("read as midnight (3 readings, rows 1, 25, 49)" in note for note in data.notes)


@pytest.mark.parametrize("again", ["", "timestamp,f,g\n"])
def test_tables_of_two_assets_below_titles_are_no_single_asset(load: Load, again: str) -> None:
    block = "".join(f"{time},{i % 7},{i % 5}\n" for i, time in enumerate(_WHEN))
    text = f"timestamp,f,g\nAsset A,,\n{block}Asset B,,\n{again}{block}"
    with pytest.raises(DatasetError, match="row 1502 holds only 'Asset B', and the times begin"):
        load(text, asset_id="A")


def test_a_remark_among_the_readings_is_left_out(load: Load) -> None:
    rows = [f"{time},{i % 7},{i % 5}\n" for i, time in enumerate(_WHEN)]
    text = "timestamp,f,g\n" + "".join([*rows[:700], "Logger restarted,,\n", *rows[700:]])
    data = load(text, asset_id="A")
    assert len(data.streams[0].timestamps) == len(_WHEN)
    assert any("row 701" in note and "Logger restarted" in note for note in data.notes)


def test_titles_of_a_short_file_are_named(load: Load) -> None:
    block = "".join(f"{time},{i % 7},{i % 5}\n" for i, time in enumerate(_WHEN[:40]))
    text = f"timestamp,f,g\nAsset A,,\n{block}Asset B,,\n{block}"
    with pytest.raises(DatasetError, match="row 1 holds only 'Asset A', a title or a remark"):
        load(text, asset_id="A")
