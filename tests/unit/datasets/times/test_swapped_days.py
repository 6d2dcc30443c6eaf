"""Dates with day and month exchanged in the middle of a file are found by the order of its rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets.times.swapped_days import first_swapped, swapped
from errors import DatasetError


def _times(n: int, step: timedelta, start: str = "2024-01-20") -> np.ndarray:
    return np.datetime64(start, "us") + np.arange(n) * np.timedelta64(step)


def test_day_and_month_are_exchanged_where_that_is_a_date() -> None:
    times = np.array(["2024-05-03T04:05:06", "2024-02-29", "2023-12-01"], "datetime64[us]")
    expected = np.array(["2024-03-05T04:05:06", "NaT", "2023-01-12"], "datetime64[us]")
    np.testing.assert_array_equal(swapped(times), expected)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("step", [timedelta(minutes=10), timedelta(hours=1), timedelta(days=1)])
@pytest.mark.parametrize("days", [[5], [5, 6, 7], list(range(4, 13))])
def test_a_few_swapped_days_are_found(step: timedelta, days: list[int], newest_first: bool) -> None:
    times = _times(timedelta(days=80) // step, step)
    march = (times >= np.datetime64("2024-03-01")) & (times < np.datetime64("2024-04-01"))
    day = (times.astype("datetime64[D]") - np.datetime64("2024-03-01")).astype(int) + 1
    odd = march & np.isin(day, days)
    times = np.where(odd, swapped(times), times)
    if newest_first:
        times, odd = times[::-1], odd[::-1]
    assert first_swapped(times) == np.flatnonzero(odd)[0]


def test_gaps_steps_back_and_times_in_no_order_are_no_swapped_days() -> None:
    times = _times(5000, timedelta(minutes=10))
    random = np.random.default_rng(0)
    gaps = np.delete(times, np.arange(1000, 2000))
    gaps = np.delete(gaps, np.arange(2500, 3200))
    for kept in (times, gaps, random.permutation(times), np.tile(times, 3), times[:2]):
        assert first_swapped(kept) is None
    monthly = np.array([f"2024-{month:02}-01" for month in range(1, 13)], "datetime64[us]")
    assert first_swapped(monthly) is None
    assert first_swapped(np.repeat(monthly[:1], 50)) is None


@pytest.mark.parametrize("day", [1, 5, 12])
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_whole_day_of_readings_each_month_is_no_swapped_day(day: int, newest_first: bool) -> None:
    days = [
        _times(144, timedelta(minutes=10), f"2024-{month:02}-{day:02}") for month in range(1, 13)
    ]
    times = np.concatenate(days)
    assert first_swapped(times[::-1] if newest_first else times) is None


@pytest.mark.parametrize("step", [timedelta(minutes=10), timedelta(days=1)])
def test_a_week_of_readings_each_half_year_has_no_swapped_days(step: timedelta) -> None:
    begins = ("2023-06-06", "2023-12-06", "2024-06-06", "2024-12-06")  # 12 June follows 11 June
    weeks = [_times(timedelta(days=6) // step, step, begin) for begin in begins]
    assert first_swapped(np.concatenate(weeks)) is None


@pytest.mark.parametrize(
    ("usual", "other"), [("%Y-%m-%d %H:%M", "%Y-%d-%m %H:%M"), ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")]
)
def test_a_file_with_swapped_days_is_refused(tmp_path: Path, usual: str, other: str) -> None:
    start = datetime(2024, 1, 1)
    times = [start + timedelta(hours=n) for n in range(1800)]
    swap = [time.month == 3 and time.day in (5, 6) for time in times]
    texts = [f"{t:{other}}" if odd else f"{t:{usual}}" for t, odd in zip(times, swap, strict=True)]
    path = tmp_path / "plant.csv"
    lines = (f"P1,{text},{n % 17}\n" for n, text in enumerate(texts))
    path.write_text("asset_id,timestamp,temp\n" + "".join(lines))
    row = swap.index(True) + 1
    message = rf"row {row}: timestamp 2024-05-03 00:00:00 of P1 follows .* day and month exchanged"
    with pytest.raises(DatasetError, match=message):
        datasets.load(path)
    with pytest.raises(DatasetError, match=message):
        list(datasets.readings(path))
