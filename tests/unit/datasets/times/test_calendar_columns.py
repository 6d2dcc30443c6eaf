"""Year, month, day, hour, minute and second in columns of their own are a reading's time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest

import datasets
from errors import DatasetError

Load = Callable[..., datasets.Dataset]
PARTS = ("year", "month", "day", "hour", "minute", "second")


@pytest.fixture
def load(load: Load) -> Load:
    return partial(load, asset_id="A")


def plant(freq: str, parts: int, n: int = 500) -> tuple[pd.DataFrame, pd.DatetimeIndex]:
    """A table with the parts of its times in columns, and the times."""
    when = pd.date_range("2025-12-28 22:00", periods=n, freq=freq)
    frame = pd.DataFrame({part.title(): getattr(when, part) for part in PARTS[:parts]})
    return frame.assign(temp=np.arange(n) % 7 + 0.5), when


def same(data: datasets.Dataset, when: pd.DatetimeIndex) -> None:
    assert data.feature_names == ["temp"]
    expected = when.to_numpy().astype("datetime64[us]")
    np.testing.assert_array_equal(data.streams[0].timestamps, expected)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(("freq", "parts"), [("h", 4), ("7min", 5), ("9s", 6)])
def test_the_parts_of_a_time_are_joined(load: Load, freq: str, parts: int, suffix: str) -> None:
    frame, when = plant(freq, parts)
    data = load(frame, suffix)
    same(data, when)
    assert any("'Year', 'Month', 'Day'" in note for note in data.notes)


def test_fractions_of_a_second_are_joined_too(load: Load) -> None:
    frame, when = plant("35ms", 6)
    part = when.microsecond // 1000
    same(load(frame.assign(MS=part)), when)
    same(load(frame.assign(Second=(frame["Second"] + part / 1000).round(3))), when)


def test_days_need_no_hours(load: Load) -> None:
    frame, when = plant("D", 3)
    same(load(frame), when.normalize())


def test_parts_may_be_floats_and_stand_in_any_order(load: Load) -> None:
    frame, when = plant("h", 4)
    frame = frame.astype(float)[["Hour", "temp", "Day", "Month", "Year"]]
    same(load(frame), when)


def test_an_hour_that_ends_the_day_with_24(load: Load) -> None:
    frame, when = plant("h", 4)
    yesterday = when - pd.Timedelta(hours=1)
    frame["Day"], frame["Month"], frame["Year"] = yesterday.day, yesterday.month, yesterday.year
    frame["Hour"] = yesterday.hour + 1
    same(load(frame), when)


def test_columns_of_other_names_are_joined_if_they_are_named(load: Load) -> None:
    frame, when = plant("7min", 5)
    frame.columns = [*"abcde", "temp"]
    same(load(frame, columns={"timestamp": "a+b+c+d+e"}), when)


def test_a_day_that_many_readings_share_is_refused_with_what_helps(load: Load) -> None:
    frame, when = plant("h", 4)
    frame = frame.rename(columns={"Hour": "time block"})
    with pytest.raises(DatasetError, match=r"timestamp=Year\+Month\+Day\+COLUMN joins the hour"):
        load(frame)
    same(load(frame, columns={"timestamp": "Year+Month+Day+time block"}), when)


def test_a_day_of_the_year_or_two_columns_of_days_are_not_joined(load: Load) -> None:
    frame, when = plant("D", 3)
    with pytest.raises(DatasetError, match="'timestamp' is missing"):
        load(frame.assign(Day=when.day_of_year))
    with pytest.raises(DatasetError, match="'timestamp' is missing"):
        load(frame.assign(DD=frame["Day"]))


def test_a_column_of_times_is_preferred(load: Load) -> None:
    frame, when = plant("h", 4)
    data = load(frame.assign(timestamp=when.strftime("%Y-%m-%d %H:%M")))
    assert data.feature_names == ["Year", "Month", "Day", "Hour", "temp"]


@pytest.mark.parametrize("name", ["DOY", "Day of Year", "Julian Day", "yday"])
@pytest.mark.parametrize(("freq", "parts"), [("D", 0), ("h", 1), ("7min", 2), ("9s", 3)])
def test_the_day_of_the_year_is_joined_too(load: Load, name: str, freq: str, parts: int) -> None:
    frame, when = plant(freq, 6)
    frame.insert(1, name, when.day_of_year)
    kept = frame[["Year", name, *frame.columns[4 : 4 + parts], "temp"]]
    same(load(kept), when if parts else when.normalize())
    names = "+".join(kept.columns[:-1])
    same(load(kept, columns={"timestamp": names}), when if parts else when.normalize())


def test_days_of_the_year_that_many_readings_share_are_refused(load: Load) -> None:
    frame, when = plant("h", 1)
    with pytest.raises(DatasetError, match=r"columns Year\+DOY hold dates only.*\+DOY\+COLUMN"):
        load(frame.assign(DOY=when.day_of_year))
