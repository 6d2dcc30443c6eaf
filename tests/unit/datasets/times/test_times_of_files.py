"""Times are read in the form, unit and zone that a file has them in."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import START, Load, readings, same, table


@pytest.mark.parametrize(
    ("stamp", "step_s"),
    [
        ("%d %m %Y %H:%M", 600), ("%d.%m.%Y %H:%M:%S", 60), ("%m/%d/%Y %I:%M:%S %p", 600),
        ("%d-%b-%Y %H:%M:%S", 60), ("%d/%m/%Y %H:%M", 3600), ("%Y/%m/%d %H:%M:%S", 60),
        ("%Y%m%d %H%M%S", 60), ("%d/%m/%y %H:%M", 3600), ("%Y-%m-%d %H:%M:%S.000", 60),
        ("%d.%m.%Y %H.%M.%S", 60),
    ],
)  # fmt: skip
def test_forms_of_times_are_found_out(load: Load, stamp: str, step_s: int) -> None:
    values = readings(200)
    data = load(table(values, stamp=stamp, step_s=step_s))
    same(data, values)
    assert data.streams[0].timestamps[-1] == np.datetime64(START + timedelta(seconds=199 * step_s))


def test_day_and_month_are_told_apart_by_a_late_row_or_by_running_on(load: Load) -> None:
    values = readings(24 * 20)
    for stamp in ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"):
        data = load(table(values, stamp=stamp, step_s=3600))  # 2 January before 13 January
        assert data.streams[0].timestamps[-1] == np.datetime64("2026-01-20T23:00")
        data = load(table(values[:72], stamp=stamp, step_s=3600))  # 1 to 3 January only
        assert data.streams[0].timestamps[-1] == np.datetime64("2026-01-03T23:00")


@pytest.mark.parametrize(("day", "hour"), [("%d.%m.%y", "%H:%M"), ("%Y%m%d", "%H:%M:%S"),
                                           ("%A, %d %B %Y", "%H.%M")])  # fmt: skip
def test_dates_and_times_of_day_in_two_columns(load: Load, day: str, hour: str) -> None:
    times = [START + timedelta(minutes=10 * i) for i in range(200)]
    text = "asset_id;Date;Time;f\n" + "".join(
        f"A;{t.strftime(day)};{t.strftime(hour)};{i}\n" for i, t in enumerate(times)
    )
    assert load(text).streams[0].timestamps.tolist() == times
    three = (
        text.replace("Time;f", "Time;f;shift").replace("\n", ";06:00\n").replace(";06:00", "", 1)
    )
    assert load(three).streams[0].timestamps.tolist() == times  # "Time" says it, "shift" does not
    if ":" in hour:
        with pytest.raises(DatasetError, match=r"dates only.*--columns timestamp=Date\+Begin"):
            load(three.replace("Time;f", "Begin;f", 1))


def test_a_format_can_be_named(load: Load) -> None:
    text = "asset_id,timestamp,f\nA,01/02/2026,1\nA,01/05/2026,1\n"
    data = load(text, time_format="%d/%m/%Y")
    assert data.streams[0].timestamps[1] == np.datetime64("2026-05-01")
    with pytest.raises(DatasetError, match=r"row 2: timestamp '01/05/2026' does not follow %Y"):
        load("asset_id,timestamp,f\nA,2026,1\nA,01/05/2026,1\n", time_format="%Y")


@pytest.mark.parametrize(("unit", "ticks"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_epochs(tmp_path: Path, unit: str, ticks: int, suffix: str) -> None:
    moments = [1_767_225_600 * ticks, 1_767_225_660 * ticks]
    columns = pa.table({"asset_id": ["A", "A"], "timestamp": moments, "f": [1.5, 2.5]})
    path = tmp_path / f"x.{suffix}"
    if suffix == "csv":
        pa.csv.write_csv(columns, path)
    else:
        pa.parquet.write_table(columns, path)
    data = datasets.load(path, None, FileFormat(time_unit=unit))
    assert data.streams[0].timestamps.tolist() == [START, START + timedelta(minutes=1)]
    data = datasets.load(path)
    assert data.streams[0].timestamps.tolist() == [START, START + timedelta(minutes=1)]
    assert data.notes == [f"times such as {moments[0]} are read as {unit} since 1970 (--time-unit)"]


@pytest.mark.parametrize("unit", [None, "s"])
def test_epochs_with_a_decimal_comma(load: Load, unit: str | None) -> None:
    rows = "".join(f"A;{1_767_225_600 + 60 * i},5;{i},25\n" for i in range(9))
    data = load(f"asset_id;timestamp;f\n{rows}", time_unit=unit)
    assert data.streams[0].timestamps[1] == np.datetime64(START + timedelta(minutes=1, seconds=0.5))


def test_an_epoch_in_the_wrong_unit_is_refused(load: Load) -> None:
    with pytest.raises(DatasetError, match="look like ms since 1970"):
        load("asset_id,timestamp,f\nA,1767225600000,1\n", time_unit="s")


def test_rows_as_time_and_a_count_of_cycles(load: Load) -> None:
    data = load("asset_id,f\nA,1\nB,5\nA,2\n", time_unit="row")
    assert (data.streams[0].timestamps[1] - data.streams[0].timestamps[0]).item().seconds == 60
    data = load("asset_id,timestamp,f\nA,1,1\nA,2,2\nA,5,3\n", time_unit="row")
    assert np.diff(data.streams[0].timestamps).astype("timedelta64[m]").astype(int).tolist() == [
        1,
        3,
    ]


@pytest.mark.parametrize(
    ("zone", "ending"),
    [(None, "%d.%m.%Y %H:%M in UTC (--time-zone names another)"),
     ("Europe/Berlin", "%d.%m.%Y %H:%M in Europe/Berlin")],
)  # fmt: skip
def test_a_note_says_in_which_zone_times_are_read(
    load: Load, zone: str | None, ending: str
) -> None:
    text = "asset_id,timestamp,f\nA,20.11.2026 06:01,1\nA,20.11.2026 06:02,2\n"
    assert any(note.endswith(ending) for note in load(text, time_zone=zone).notes)


def test_a_local_hour_that_comes_twice_is_told_apart_by_the_zone(load: Load) -> None:
    local = [f"2026-10-25 0{h}:{m:02d}:00" for h in (1, 2) for m in range(0, 60, 10)]
    local += [f"2026-10-25 0{h}:{m:02d}:00" for h in (2, 3) for m in range(0, 60, 10)]
    text = "asset_id,timestamp,f\n" + "".join(f"A,{t},{i}\n" for i, t in enumerate(local))
    exact = load(text, time_zone="Europe/Berlin")
    times = exact.streams[0].timestamps
    assert times[0] == np.datetime64("2026-10-24T23:00")
    assert set(np.diff(times).tolist()) == {timedelta(minutes=10)}
    assert exact.streams[0].values[:, 0].tolist() == list(range(24))
    guessed = load(text)
    assert set(np.diff(guessed.streams[0].timestamps).tolist()) == {timedelta(minutes=10)}
    assert guessed.streams[0].values[:, 0].tolist() == list(range(24))
    assert sum("goes back by an hour at row 13" in note for note in guessed.notes) == 1


@pytest.mark.parametrize("zone", ["Europe/Berlin", None])
def test_the_newest_first_is_as_good_as_the_oldest(load: Load, zone: str | None) -> None:
    hours = [f"2026-10-25 {h:02d}:{m:02d}" for h in (0, 1, 2, 2, 3, 4) for m in range(0, 60, 10)]
    rows = [f"A,{hour},{i}\n" for i, hour in enumerate(hours)]
    up, down = (load("asset_id,timestamp,f\n" + "".join(part), time_zone=zone).streams[0]
                for part in (rows, rows[::-1]))  # fmt: skip
    np.testing.assert_array_equal(up.timestamps, down.timestamps)
    np.testing.assert_array_equal(up.values, down.values)


def test_local_times_row_by_row_agree_with_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    local = [
        "2026-10-25 02:30:00",
        "2026-10-25 02:00:00",
        "2026-10-25 02:30:00",
        "2026-10-25 03:00:00",
    ]
    path.write_text("asset_id,timestamp,f\n" + "".join(f"A,{t},{i}\n" for i, t in enumerate(local)))
    form = FileFormat(time_zone="Europe/Berlin")
    rows = [row.timestamp.replace(tzinfo=None) for row in datasets.readings(path, form=form)]
    assert rows == datasets.load(path, None, form).streams[0].timestamps.tolist()
    assert rows[0] == datetime(2026, 10, 25, 0, 30)
    assert rows[2] == datetime(2026, 10, 25, 1, 30)


def test_local_times_that_no_clock_of_the_zone_shows_are_told(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv"
    times = [datetime(2026, 3, 29) + timedelta(minutes=10 * i) for i in range(48)]
    path.write_text("asset_id,timestamp,x\n" + "".join(f"P,{at},{at.hour}\n" for at in times))
    berlin = FileFormat(time_zone="Europe/Berlin")
    data = datasets.load(path, form=berlin)
    (note,) = (note for note in data.notes if "exist" in note)
    assert note.startswith("6 times, such as 2026-03-29 02:00:00, do not exist in Europe/Berlin")
    assert "(Etc/GMT-1)" in note
    utc = data.streams[0].timestamps
    assert np.datetime64("2026-03-29T01:50") in utc  # 02:50, by the offset from before the change
    told: list[str] = []
    rows = list(datasets.readings(path, form=berlin, report=told.append))
    assert note in told
    assert {row.timestamp.replace(tzinfo=None) for row in rows} == set(utc.tolist())
    other = datasets.load(path, form=FileFormat(time_zone="Etc/GMT-1"))
    assert not any("exist" in note for note in other.notes)


def test_german_names_of_months_go_on_from_march_to_april(load: Load) -> None:
    days = [*(f"{day:02d}. März 2026" for day in range(22, 32)),
            *(f"{day:02d}. April 2026" for day in range(1, 11))]  # fmt: skip
    data = load(
        "asset_id,timestamp,f\n" + "".join(f"A,{d} 10:00,{i % 7}\n" for i, d in enumerate(days))
    )
    assert (np.diff(data.streams[0].timestamps) == np.timedelta64(1, "D")).all()
    assert len(data.streams[0].timestamps) == 20


def test_times_with_an_offset_are_not_moved_by_a_zone(load: Load) -> None:
    data = load("asset_id,timestamp,f\nA,2026-01-01T00:00:00Z,1\n", time_zone="Europe/Berlin")
    assert data.streams[0].timestamps[0] == np.datetime64(START)


@pytest.mark.parametrize("name", ["Time", "ts_ms", "epoch", "unix_time", "time_us"])
def test_a_column_that_counts_from_1970_is_found(load: Load, name: str) -> None:
    rows = "".join(f"A,{1767225600_000 + 60_000 * i},{i % 7}\n" for i in range(50))
    assert load(f"asset_id,{name},f\n{rows}").streams[0].timestamps[0] == np.datetime64(START)
    beside = "".join(f"A,2026-01-{i + 1:02d},{1767225600 + i},{i % 7}\n" for i in range(31))
    data = load(f"asset_id,day,{name},f\n{beside}")
    assert data.feature_names == ["f"]
    assert data.streams[0].timestamps[-1].item() == datetime(2026, 1, 31)


@pytest.mark.parametrize("sign", [":", ",", " "])
def test_a_row_without_a_time_among_fractions_of_seconds_is_left_out(load: Load, sign: str) -> None:
    times = [f"02.03.2026 22:{i // 4 % 60:02d}:00{sign}{i % 4 * 250:03d}" for i in range(400)]
    times[200] = "END"
    rows = "".join(f"A;{time};{i}\n" for i, time in enumerate(times))
    options = {"time_format": "%d.%m.%Y %H:%M:%S %f"} if sign == " " else {}
    data = load(f"asset_id;timestamp;f\n{rows}", **options)
    assert len(data.streams[0].timestamps) == 399
    assert any("row 201: timestamp 'END' does not follow" in note for note in data.notes)


@pytest.mark.parametrize("number", [946684799, 4102444800, 126230400, 17672256000])
def test_numbers_that_are_no_times_of_our_years_are_refused(load: Load, number: int) -> None:
    with pytest.raises(DatasetError, match="--time-unit"):
        load(f"asset_id,timestamp,f\nA,{number},1\nA,{number + 1},2\n")


@pytest.mark.parametrize(
    ("form", "freq", "n"),
    [
        ("%m.%d.%Y %H:%M", "6h", 80), ("%m.%d.%Y", "D", 80), ("%m.%d.%Y %H.%M", "6h", 80),
        ("%Y-%j", "D", 400), ("%Y-%jT%H:%M:%S", "h", 50), ("%Y-%j %H:%M", "h", 50),
        ("%Y-%m", "MS", 36), ("%m/%Y", "MS", 36), ("%b %Y", "MS", 36), ("%B %Y", "MS", 36),
        ("%d-%b-%y %I:%M:%S %p CET", "h", 50),
        ("%d.%m.%Y %H:%M CET", "h", 50), ("%Y-%m-%d %H:%M:%S GMT+1", "h", 50),
        ("%Y-%m-%dT%H:%M UTC+01:00", "h", 50), ("%d/%m/%Y %H:%M:%S (MEZ)", "h", 50),
    ],
)  # fmt: skip
def test_times_that_can_mean_one_thing_only(load: Load, form: str, freq: str, n: int) -> None:
    times = pd.date_range("2026-01-01", periods=n, freq=freq)
    rows = "".join(f"A,{time.strftime(form)},{i % 7}\n" for i, time in enumerate(times))
    found = load(f"asset_id,timestamp,f\n{rows}").streams[0].timestamps
    ahead = any(zone in form for zone in ("CET", "MEZ", "+"))
    expected = times.to_numpy().astype("datetime64[us]") - np.timedelta64(int(ahead), "h")
    np.testing.assert_array_equal(found, expected)


def test_points_mean_day_month_and_year_if_they_may(load: Load) -> None:
    rows = "".join(f"A,0{i + 1}.02.2026,{i}\n" for i in range(9))
    found = load(f"asset_id,timestamp,f\n{rows}").streams[0].timestamps
    assert str(found[0]) == "2026-02-01T00:00:00.000000"


@pytest.mark.parametrize(
    "between", ["{0:%Y-%m-%dT%H:%MZ}/{1:%Y-%m-%dT%H:%MZ}", "{0:%Y-%m-%dT%H:%M:%S}/PT1H",
                "{0:%d.%m.%Y %H:%M} - {1:%d.%m.%Y %H:%M}", "{0:%d/%m/%Y %H:%M} to {1:%H:%M}"]
)  # fmt: skip
def test_the_start_of_an_interval_is_taken(load: Load, between: str) -> None:
    times = pd.date_range("2026-01-01", periods=401, freq="h")
    pairs = itertools.pairwise(times)
    rows = "".join(f"A,{between.format(*pair)},{i % 7}\n" for i, pair in enumerate(pairs))
    data = load(f"asset_id,timestamp,f\n{rows}")
    expected = times[:-1].to_numpy().astype("datetime64[us]")
    np.testing.assert_array_equal(data.streams[0].timestamps, expected)
    assert data.notes[0].startswith("of intervals such as")


def test_codes_that_look_like_months_stay_texts(load: Load) -> None:
    rows = "".join(f"A,2026-01-{i + 1:02d},2001-{i % 12 + 1:02d},{i % 7}\n" for i in range(31))
    data = load(f"asset_id,day,part,f\n{rows}")
    assert data.streams[0].timestamps[0] == np.datetime64(START)
    assert "column 'part' holds no number" in "\n".join(data.notes)


@pytest.mark.parametrize(
    ("head", "cells", "problem"),
    [
        ("asset_id,Time,f", "A,2026-01-01 10:00 EST,1", "'Time' holds '2026-01-01 10:00 EST'.*not"),
        ("asset_id,Time,f", "A,60 sec,1", "times since a start .* --time-unit row counts"),
        ("asset_id,Time,f", "A,0 days 00:01:00,1", "times since a start"),
        ("asset_id,Time,f", "A,45361.25,1", "a spreadsheet's days since 1900"),
        ("asset_id,2026-01-01 00:00,2026-01-01 00:10,2026-01-01 00:20", "A,1,2,3", "transpose"),
    ],
)
def test_why_no_column_is_a_time(load: Load, head: str, cells: str, problem: str) -> None:
    with pytest.raises(DatasetError, match=problem):
        load(f"{head}\n{cells}\n{cells.replace('.25', '.26')}\n")


@pytest.mark.parametrize(
    ("name", "hours"),
    [("Time (UTC+1)", 1), ("timestamp GMT-05:00", -5), ("Time UTC+0", 0), ("Time (UTC)", 0),
     ("Time [UTC +2]", 2), ("Date/Time (Europe/Berlin)", 1)],
)  # fmt: skip
def test_an_offset_in_the_name_of_the_times(load: Load, name: str, hours: int) -> None:
    rows = "".join(f"A,2026-01-01 {i:02d}:00,{i}\n" for i in range(24))
    data = load(f"asset_id,{name},f\n{rows}")
    assert data.streams[0].timestamps[0].item() == START - timedelta(hours=hours)
    said = "times without an offset have that of their column's name"
    assert (said in data.notes) == bool(hours)
    data = load(f"asset_id,{name},f\n{rows}", time_zone="Asia/Tokyo")
    assert data.streams[0].timestamps[0].item() == START - timedelta(hours=9)


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [("TZ", "Europe/Berlin", True), ("UTC offset (min)", "60", True), ("time_zone", "+1", True),
     ("TZ", "UTC", False), ("utc_offset", "+00:00", False), ("Zone", "B", False)],
)  # fmt: skip
def test_a_zone_in_a_column_of_its_own_is_pointed_out(
    load: Load, name: str, cell: str, said: bool
) -> None:
    rows = "".join(f"A,2026-01-01 {i:02d}:00,{cell},{i}\n" for i in range(24))
    note = f"times are read in UTC, yet column {name!r} says {cell}"
    text = f"asset_id,timestamp,{name},f\n{rows}"
    assert any(found.startswith(note) for found in load(text).notes) == said
    assert not any(note in found for found in load(text, time_zone="Europe/Berlin").notes)
    assert not any(note in found for found in load(text.replace(":00,", ":00Z,")).notes)


def test_a_zone_in_a_column_of_its_own_completes_the_times(load: Load) -> None:
    utc = [datetime(2026, 10, 24, 22) + timedelta(minutes=10 * i) for i in range(60)]
    zones = [("CEST", 2) if time < datetime(2026, 10, 25, 1) else ("CET", 1) for time in utc]
    rows = [
        (time + timedelta(hours=hours), zone, i)
        for i, (time, (zone, hours)) in enumerate(zip(utc, zones, strict=True))
    ]
    for form in ("%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S"):
        text = "".join(f"A,{time:{form}},{zone},{i}\n" for time, zone, i in rows)
        data = load(f"asset_id,Time,Zone,f\n{text}")
        assert data.streams[0].timestamps.tolist() == utc
        assert "columns 'Time' and 'Zone' are read as timestamp" in data.notes
        data = load(f"asset_id,Time,Zone,f\n{text}", columns={"timestamp": "Time+Zone"})
        assert data.streams[0].timestamps.tolist() == utc


def test_a_time_without_a_zone_beside_others_is_told_as_such(load: Load) -> None:
    """The column of zones was said not to be read."""
    times = [START + timedelta(minutes=i) for i in range(6000)]
    rows = [
        f"A,{time:%Y-%m-%d %H:%M},{'CET' if i != 5000 else ''},{i}" for i, time in enumerate(times)
    ]
    data = load("asset_id,Time,tz,f\n" + "\n".join(rows) + "\n")
    assert any("1 times have no offset, others have one" in note for note in data.notes)
    assert not any("which is not read" in note for note in data.notes)


def test_am_and_pm_in_a_column_of_their_own_complete_the_times(load: Load) -> None:
    times = [START + timedelta(hours=i) for i in range(400)]
    for head, form in (
        ("Date,Time,AM/PM", "%m/%d/%Y,%I:%M:%S,%p"),
        ("Time,x", "%m/%d/%Y %I:%M,%p"),
    ):
        text = f"{head},f\n" + "".join(f"{time:{form}},{i}\n" for i, time in enumerate(times))
        assert load(text, asset_id="A").streams[0].timestamps.tolist() == times
    named = load(text, asset_id="A", columns={"timestamp": "Time+x"})
    assert named.streams[0].timestamps.tolist() == times


def test_milliseconds_in_a_column_of_their_own_complete_the_times(load: Load) -> None:
    times = [START + timedelta(milliseconds=107 * i) for i in range(400)]
    day, hour = "%Y-%m-%d", "%H:%M:%S"
    for head, form in (("Date,Time,Millitm", f"{day},{hour}"), ("Time,ms", f"{day} {hour}")):
        rows = (f"{time:{form}},{time.microsecond // 1000},{i}" for i, time in enumerate(times))
        text = f"{head},f\n" + "\n".join(rows) + "\n"
        columns = {"timestamp": head.replace(",", "+")}
        for options in ({}, {"columns": columns}, {"time_format": form.replace(",", " ")}):
            data = load(text, asset_id="A", **options)
            assert data.streams[0].timestamps.tolist() == times
            assert data.feature_names == ["f"]


def test_milliseconds_of_readings_minutes_apart_are_known_by_factorytalks_name(load: Load) -> None:
    times = [START + timedelta(minutes=i, milliseconds=i * 37 % 1000) for i in range(200)]
    rows = (f"{t:%m/%d/%Y,%H:%M:%S},{t.microsecond // 1000},{i}" for i, t in enumerate(times))
    data = load("Date,Time,Millitm,f\n" + "\n".join(rows) + "\n", asset_id="A")
    assert data.feature_names == ["f"]
    assert data.streams[0].timestamps.tolist() == times


def test_milliseconds_that_a_request_took_are_a_feature(load: Load) -> None:
    rows = (f"A,2026-01-01 00:00:{i // 4:02d},{i * 37 % 100},{i}" for i in range(200))
    data = load("asset_id,Time,ms,f\n" + "\n".join(rows) + "\n", exclude="f")
    assert data.feature_names == ["ms"]


@pytest.mark.parametrize("word", ["OK", "EST.", "AUTO", "S", ""])
def test_other_words_beside_the_times_do_not(load: Load, word: str) -> None:
    text = "".join(f"A,2026-01-01 {i:02d}:00:00,{word},{i}\n" for i in range(24))
    assert load(f"asset_id,Time,State,f\n{text}").streams[0].timestamps[1].item().hour == 1


@pytest.mark.parametrize(
    ("name", "zone", "note"),
    [
        ("Time (CET)", None, "read in UTC, yet the name of column 'Time (CET)' says CET"),
        ("Local Time", None, "read in UTC, yet the name of column 'Local Time' says Local"),
        ("date_time_local", None, "says local"), ("Datum/Uhrzeit MESZ", None, "says MESZ"),
        ("timestamp_utc", "Europe/Berlin", "read in Europe/Berlin, yet the name of column"),
        ("Time (CET)", "Europe/Berlin", None), ("timestamp_utc", None, None),
        ("timestamp_utc", "UTC", None), ("TIMESTAMP", None, None), ("Time (UTC+1)", None, None),
        ("Time (UTC+1)", "Europe/Berlin", None), ("DateTime", "Europe/Berlin", None),
        ("Test Date", None, None), ("DATE_TIME", None, None),
    ],
)  # fmt: skip
def test_a_zone_that_the_name_of_the_times_contradicts(
    load: Load, name: str, zone: str | None, note: str | None
) -> None:
    rows = "".join(f"A,2026-01-01 {i:02d}:00,{i}\n" for i in range(24))
    data = load(f"asset_id,{name},f\n{rows}", time_zone=zone)
    told = [each for each in data.notes if " says " in each]
    assert len(told) == (note is not None)
    assert all(str(note) in each for each in told)
    with_offset = load(f"asset_id,{name},f\n{rows.replace(':00,', ':00Z,')}", time_zone=zone)
    assert not any(" says " in each for each in with_offset.notes)


@pytest.mark.parametrize("first", ["0,0", "0,000", "7,25", "1200,500"])
def test_seconds_since_the_start_may_have_decimal_commas(load: Load, first: str) -> None:
    step = 10 ** -len(first.split(",")[1])
    start = float(first.replace(",", "."))
    rows = "".join(f"{start + i * step:.3f};{i},5\n".replace(".", ",") for i in range(9))
    form = {"asset_id": "A", "columns": {"timestamp": "Zeit"}, "time_unit": "s"}
    text = f"Zeit;Druck\n{rows}"
    with pytest.raises(DatasetError, match="--columns timestamp=Zeit --time-unit s reads them"):
        load(text, asset_id="A")
    if first == "7,25":  # 7,250 may be a thousand
        with pytest.raises(DatasetError, match=r"a decimal comma\? --decimal , reads it"):
            load(text, **form)
        form["decimal"] = ","
    times = load(text, **form).streams[0].timestamps
    assert times[0] == np.datetime64("1970-01-01") + np.timedelta64(round(start * 1000), "ms")
    assert times[1] - times[0] == np.timedelta64(round(step * 1000), "ms")


_MIXED = {
    "%d/%m/%Y %H:%M": "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M": "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M": "%d/%m/%Y %H:%M",
}


@pytest.mark.parametrize(("first", "second"), _MIXED.items())
@pytest.mark.parametrize("time_format", [None, "first"])
def test_times_in_two_ways_are_refused_with_the_cause(
    load: Load, first: str, second: str, time_format: str | None
) -> None:
    values = readings(24 * 40)
    half = len(values) // 2
    lines, others = (table(values, stamp=stamp, step_s=3600).splitlines(True) for stamp in
                     (first, second))  # fmt: skip
    text = "".join([*lines[: half + 1], *others[half + 1 :]])
    with pytest.raises(DatasetError, match=r"row \d+: .*write all times in one way"):
        load(text, time_format=first if time_format else None)


def test_a_line_of_totals_without_a_time_of_day_is_left_out(load: Load) -> None:
    times = [START + timedelta(hours=i) for i in range(400)]
    text = "Datum;Uhrzeit;Temp\n" + "".join(f"{t:%d.%m.%Y;%H:%M};{t.hour},5\n" for t in times)
    data = load(text + "Summe;;4800,00\n", asset_id="A")
    assert data.streams[0].timestamps.tolist() == times
    assert any("row 401: timestamp is empty" in note for note in data.notes)


def test_times_of_day_without_a_date_are_refused_with_advice_that_helps(load: Load) -> None:
    text = "Time,f\n" + "".join(f"08:{i:02d}:00,{i}\n" for i in range(20))
    with pytest.raises(DatasetError, match="times of day such as '08:00:00'") as raised:
        load(text, asset_id="A")
    assert "--time-format" not in raised.value.message
    assert len(load(text, asset_id="A", time_unit="row").streams[0].timestamps) == 20
