"""Dates and times of day in two columns: joined where they can only mean one thing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import datasets
from errors import DatasetError

Load = Callable[..., datasets.Dataset]


def plant(n: int = 1000, freq: str = "10min") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"asset_id": "A", "timestamp": pd.date_range("2024-03-15", periods=n, freq=freq),
         "vib": rng.normal(5, 1, n).round(3), "ph": rng.normal(7.3, 0.05, n).round(2)}
    )  # fmt: skip


def apart(frame: pd.DataFrame, name: str, of_day: Any, day: str = "%Y-%m-%d") -> pd.DataFrame:
    """The frame with its times in a column Date and another."""
    out = frame.drop(columns="timestamp")
    out.insert(1, "Date", frame.timestamp.dt.strftime(day))
    out.insert(2, name, of_day)
    return out


def same(data: datasets.Dataset, frame: pd.DataFrame, names: list[str] | None = None) -> None:
    assert data.feature_names == (names or ["vib", "ph"])
    (stream,) = data.streams
    expected = frame.timestamp.to_numpy().astype("datetime64[us]")
    np.testing.assert_array_equal(stream.timestamps, expected)


@pytest.mark.parametrize("stamp", ["%d.%m.%Y %H%M", "%Y/%m/%d %H%M", "%d.%m.%Y %H%M%S"])
def test_digits_of_a_time_of_day_are_hours_and_minutes(load: Load, stamp: str) -> None:
    frame = plant()
    same(load(frame.assign(timestamp=frame.timestamp.dt.strftime(stamp))), frame)


@pytest.mark.parametrize("day", ["%d.%m.%Y", "%Y%m%d", "%Y-%m-%d"])
@pytest.mark.parametrize("form", ["%H%M", "%H%M%S", "%H:%M"])
def test_digits_beside_a_date_are_hours_and_minutes(load: Load, day: str, form: str) -> None:
    frame = plant()
    two = apart(frame, "Time", frame.timestamp.dt.strftime(form), day)
    same(load(two), frame)
    same(load(two, columns={"timestamp": "Date+Time"}), frame)
    same(load(two[::-1]), frame)


def test_the_date_of_something_else_is_left_out(load: Load) -> None:
    frame = plant()
    two = apart(frame, "Time", frame.timestamp.dt.strftime("%H:%M"))
    for other in ("2024-01-31", (frame.timestamp - pd.Timedelta(days=3)).dt.strftime("%Y-%m-%d")):
        data = load(two.assign(**{"Calibration date": other}))
        same(data, frame)
        assert "columns 'Date' and 'Time' are read as timestamp" in data.notes
        assert any("column 'Calibration date' holds no number" in note for note in data.notes)


NUMBERS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "hours": ("1h", "Hour", lambda at: at.hour),
    "hours of another name": ("1h", "Time", lambda at: at.hour),
    "hours as floats": ("1h", "Stunde", lambda at: at.hour * 1.0),
    "decimal hours": ("15min", "hour", lambda at: at.hour + at.minute / 60),
    "HHMM without zeros": ("10min", "Time", lambda at: at.hour * 100 + at.minute),
    "HHMM of every hour": ("1h", "HHMM", lambda at: at.hour * 100),
    "HHMMSS without zeros": ("100s", "Time", lambda at: at.hour * 10000 + at.minute * 100
                             + at.second),
    "HH.MM": ("10min", "Time", lambda at: (at.hour + at.minute / 100).round(2)),
    "seconds": ("10min", "Seconds", lambda at: at.hour * 3600 + at.minute * 60),
    "seconds of another name": ("10min", "time", lambda at: at.hour * 3600 + at.minute * 60),
    "fractions of the day": ("10min", "Time", lambda at: ((at.hour * 60 + at.minute) / 1440)
                             .round(6)),
    "minutes": ("10min", "Minute", lambda at: at.hour * 60 + at.minute),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(("freq", "name", "of_day"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_beside_a_date_are_the_time_of_day(
    load: Load, freq: str, name: str, of_day: Callable[[Any], Any], suffix: str
) -> None:
    frame = plant(2000, freq)
    two = apart(frame, name, of_day(frame.timestamp.dt))
    data = load(two, suffix)
    same(data, frame)
    assert f"columns 'Date' and {name!r} are read as timestamp" in data.notes
    same(load(two, suffix, columns={"timestamp": f"Date+{name}"}), frame)


def test_hours_that_end_the_day_with_24(load: Load) -> None:
    frame = plant(freq="1h")
    two = apart(frame, "Hour", frame.timestamp.dt.hour + 1)
    same(load(two), frame.assign(timestamp=frame.timestamp + pd.Timedelta(hours=1)))


@pytest.mark.parametrize("names", [("timestamp", "time"), ("Date", "Hour")])
def test_a_column_of_dates_named_timestamp_is_joined_too(
    load: Load, names: tuple[str, str]
) -> None:
    frame = plant()
    two = apart(frame, names[1], frame.timestamp.dt.strftime("%H:%M"))
    same(load(two.rename(columns={"Date": names[0]})), frame)
    typed = two.assign(Date=frame.timestamp.dt.normalize()).rename(columns={"Date": names[0]})
    same(load(typed, "parquet"), frame)


def test_several_assets_and_the_order_of_the_day_are_kept_apart(load: Load) -> None:
    frame = plant(freq="1h")
    two = apart(frame, "Hour", frame.timestamp.dt.hour)
    both = pd.concat([two, two.assign(asset_id="B")]).sort_values(["Date", "Hour"], kind="stable")
    data = load(both)
    assert [len(np.unique(stream.timestamps)) for stream in data.streams] == [1000, 1000]


def test_dates_that_many_readings_share_are_refused_with_what_helps(load: Load) -> None:
    frame = plant()
    hours = apart(frame, "Hour", frame.timestamp.dt.hour)  # six readings have the same hour
    with pytest.raises(
        DatasetError, match=r"plant.csv: column 'Date' holds dates only.*timestamp=Date\+Hour"
    ):
        load(hours)
    with pytest.raises(DatasetError, match=r"'timestamp' holds dates only.*share one.*\+COLUMN"):
        load(frame.assign(timestamp=frame.timestamp.dt.date))
    data = load(hours, columns={"timestamp": "Date"})
    assert any("readings of a day have the same time" in note for note in data.notes)


@pytest.mark.parametrize("time", ["2026-01-01T00:00:00Z", "2026-01-01 00:00"])
def test_one_time_in_all_readings_is_no_date(load: Load, time: str) -> None:
    with pytest.raises(DatasetError) as error:
        load(plant().assign(timestamp=time))
    assert f"column 'timestamp' holds the same time, {time}, in row" in error.value.message
    assert "--time-unit row counts" in error.value.message
    data = load(plant().assign(timestamp=time), time_unit="row")
    assert len(data.streams[0].timestamps) == len(plant())
    with pytest.raises(DatasetError, match="holds dates only"):
        load(plant().assign(timestamp="2026-01-01"))


def test_dates_that_only_later_rows_share_are_refused(load: Load) -> None:
    frame = plant(200, "1h")
    two = apart(frame, "Hour", frame.timestamp.dt.hour)
    many = pd.concat([two.assign(asset_id=f"P{i}") for i in range(400)])
    with pytest.raises(DatasetError, match=r"--columns timestamp=Date\+Hour"):
        load(many.sort_values(["Date", "Hour"]))


def test_daily_readings_need_no_time_of_day(load: Load) -> None:
    frame = plant(400, "1D")
    frame["hour"] = np.random.default_rng(1).integers(0, 24, len(frame))
    daily = frame.assign(timestamp=frame.timestamp.dt.strftime("%d.%m.%Y"))
    same(load(daily), frame, ["vib", "ph", "hour"])
    same(load(pd.concat([daily, daily])), frame, ["vib", "ph", "hour"])  # exported twice
    twice = pd.concat([daily, daily[:5].assign(vib=1.0)])  # a few corrections
    assert len(load(twice).streams[0].timestamps) == 405


def test_a_number_that_may_be_two_times_of_day_is_refused(load: Load) -> None:
    frame = plant(20)
    two = apart(frame, "Time", range(20))
    with pytest.raises(DatasetError, match=r"'Time' holds numbers .*may be hours or .*HH:MM"):
        load(two)


@pytest.mark.parametrize("name", ["Date", "timestamp"])
def test_a_sensor_of_two_decimals_is_no_time_of_day(load: Load, name: str) -> None:
    frame = plant(300, "1D").rename(columns={"timestamp": name})
    frame["ph"] = frame.ph.map("{:.2f}".format)
    assert load(frame).feature_names == ["vib", "ph"]
    timed = apart(plant(), "time", plant().timestamp.dt.strftime("%H:%M"))
    timed["temp"] = (20 + plant().ph).map("{:.2f}".format)
    same(load(timed), plant(), ["vib", "ph", "temp"])
    pointed = apart(plant(), "time", plant().timestamp.dt.strftime("%H.%M"))
    same(load(pointed), plant())


@pytest.mark.parametrize("row", [50, 900])
def test_one_mistyped_hour_is_left_out_and_changes_no_other(load: Load, row: int) -> None:
    frame = plant(freq="1h")
    hours = frame.timestamp.dt.hour.astype(str)
    hours[row], hours[row + 1], hours[row + 2] = "29", "n/a", ""
    data = load(apart(frame, "Hour", hours))
    same(data, frame.drop([row, row + 1, row + 2]))
    assert any(f"row {row + 1}: timestamp" in note for note in data.notes)


def test_hours_and_minutes_in_two_columns_are_joined(load: Load) -> None:
    frame = plant()
    three = apart(frame, "Hour", frame.timestamp.dt.hour).assign(Minute=frame.timestamp.dt.minute)
    same(load(three), frame)
    same(load(three, columns={"timestamp": "Date+Hour+Minute"}), frame)
    odd = three.rename(columns={"Minute": "Minute of hour"})
    same(load(odd, columns={"timestamp": "Date+Hour+Minute of hour"}), frame)


def test_digits_may_lack_their_leading_zeros_where_the_format_is_named(load: Load) -> None:
    frame = plant()
    digits = (frame.timestamp.dt.hour * 100 + frame.timestamp.dt.minute).astype(str)
    bare = frame.assign(timestamp=frame.timestamp.dt.strftime("%d.%m.%Y ") + digits)
    same(load(bare, time_format="%d.%m.%Y %H%M"), frame)
    with pytest.raises(DatasetError, match="--time-format gives its format"):
        load(bare)
    same(load(frame.assign(timestamp=frame.timestamp.dt.strftime("%Y%m%d%H%M"))), frame)


@pytest.mark.parametrize("given", [{}, {"columns": {"timestamp": "Date+Time"}}])
def test_times_that_lost_their_hours_are_refused_with_what_helps(load: Load, given: Any) -> None:
    frame = plant(freq="min")
    frame = apart(frame, "Time", frame.timestamp.dt.strftime("%M:%S") + ".0")
    with pytest.raises(DatasetError, match=r"00:00\.0'.*, whose hours .* lost.*--time-unit row"):
        load(frame, **given)
    data = load(frame, time_unit="row", **given)
    np.testing.assert_array_equal(data.streams[0].values[:, 0], frame["vib"])
    assert any("left out, since the rows are counted" in note for note in data.notes)


def test_a_count_of_readings_is_read_where_rows_are_counted(load: Load) -> None:
    times = load(plant(100).assign(timestamp=np.arange(100) * 2), time_unit="row").streams[0]
    assert set(np.diff(times.timestamps).astype(int).tolist()) == {120_000_000}


def test_days_beside_their_times_are_no_second_column_of_times(load: Load) -> None:
    frame = plant().rename(columns={"timestamp": "Dates"})
    frame.insert(2, "Date", frame["Dates"].dt.strftime("%Y-%m-%d 00:00:00"))
    data = load(frame)
    expected = frame["Dates"].to_numpy().astype("datetime64[us]")
    np.testing.assert_array_equal(data.streams[0].timestamps, expected)
    daily = plant(50, "D").rename(columns={"timestamp": "made"})
    daily.insert(2, "sent", daily["made"] + pd.Timedelta("7h"))
    with pytest.raises(DatasetError, match="each of 'made', 'sent' may be it"):
        load(daily)


@pytest.mark.parametrize(
    ("name", "first"), [("Test_Time", 0.0), ("Time [s]", 0.5), ("epoch", 49900635)]
)
def test_a_column_that_counts_time_is_named_with_the_options(
    load: Load, name: str, first: float
) -> None:
    frame = plant(100).drop(columns="timestamp")
    frame.insert(1, name, first + 5 * np.arange(100))
    column = name if "[" not in name else f'"{name}"'
    with pytest.raises(DatasetError, match=re.escape(f"timestamp={column} --time-unit s reads")):
        load(frame)
    data = load(frame, columns={"timestamp": name}, time_unit="s")
    assert data.feature_names == ["vib", "ph"]


@pytest.mark.parametrize(
    ("name", "stamp", "freq"), [("MESS_DATUM", "%Y%m%d%H", "h"), ("Date", "%Y%m%d", "D")]
)
def test_dates_of_digits_are_read_where_the_name_says_so(
    load: Load, name: str, stamp: str, freq: str
) -> None:
    frame = plant(200, freq)
    same(load(frame.assign(**{name: frame.timestamp.dt.strftime(stamp)}).drop(columns="timestamp")),
         frame)  # fmt: skip
    with pytest.raises(DatasetError, match="'timestamp' is missing"):
        load(frame.assign(id=frame.timestamp.dt.strftime(stamp)).drop(columns="timestamp"))


@pytest.mark.parametrize("cells", [["1,234", "1,235"], ["on", "off"], ["9", "8"]])
def test_what_does_not_count_time_is_no_hint(load: Load, cells: list[str]) -> None:
    frame = plant(10).drop(columns="timestamp").assign(uptime=cells * 5)
    with pytest.raises(DatasetError, match=r"'timestamp' is missing; .*: --columns timestamp=COL"):
        load(frame)


def test_dates_of_digits_are_joined_with_their_hours(load: Load) -> None:
    frame = plant(200, "h")
    apart_ = apart(frame, "HH", frame.timestamp.dt.hour, "%Y%m%d")
    same(load(apart_.rename(columns={"Date": "YYYYMMDD"})), frame)
