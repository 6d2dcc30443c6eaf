"""Times as people write them: which form a column has, and each of its values as UTC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from datasets.format import FileFormat
from datasets.times.local_clock import LocalTime, clocks_went_back, half_day_clock
from datasets.times.time_formats import formats_of, is_time
from datasets.times.time_parsing import clock_of
from errors import DatasetError


def parsed(cells: list[str], **form: Any) -> np.ndarray:
    column = pa.array(cells, pa.string())
    clock = clock_of(FileFormat(**form), [cells], True, [column])
    return clock.parse(column, 1)[0]


@pytest.mark.parametrize(
    ("cell", "utc"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00"),
        ("2026-01-31 12:00:00+02:00", "2026-01-31T10:00:00"),
        ("31.01.2026 12:00", "2026-01-31T12:00:00"),
        ("01/31/2026 01:00:00 PM", "2026-01-31T13:00:00"),
        ("31-Jan-26 12:00:00", "2026-01-31T12:00:00"),
        ("20260131 120000", "2026-01-31T12:00:00"),
        ("20260131120000", "2026-01-31T12:00:00"),
        ("2026-01-31 12:00:00 UTC", "2026-01-31T12:00:00"),
        ("Sat, 31 Jan 2026 13:00:00 +0100", "2026-01-31T12:00:00"),
        ("Sat Jan 31 12:00:00 2026", "2026-01-31T12:00:00"),
        ("12:00 31.01.2026", "2026-01-31T12:00:00"),
        ("31-Jan-26 01.00.00.500000 PM", "2026-01-31T13:00:00.5"),
        ("31-JAN-26 01.00.00.500000000 PM", "2026-01-31T13:00:00.5"),
        ("31/01/2026 12:00:00.1234567", "2026-01-31T12:00:00.123456"),
        ("31.01.2026 12:00:00,1234567", "2026-01-31T12:00:00.123456"),
    ],
)
def test_a_form_is_recognised_where_it_can_only_mean_one_thing(cell, utc):
    assert parsed([cell]).tolist() == [np.datetime64(utc, "us").tolist()]
    assert is_time([cell])


@pytest.mark.parametrize("offset", ["+00:00", "Z", "-0500"])
def test_the_order_of_day_and_month_is_found_for_times_with_an_offset(offset: str) -> None:
    when = pd.date_range("2026-01-09 15:30", periods=200, freq="10min")
    cells = [f"{time:%d/%m/%Y %H:%M:%S}{offset}" for time in when]
    hours = 5 if offset == "-0500" else 0
    assert parsed(cells)[-1] == (when[-1] + pd.Timedelta(hours=hours)).to_datetime64()


def test_the_sample_in_the_note_was_read() -> None:
    cells = ["T", *(f"7/{day}/26 0:00" for day in range(1, 30))]
    clock = clock_of(FileFormat(), [cells], True, [pa.array(cells)])
    assert clock.notes[0].startswith("times such as '7/1/26 0:00' are read as %m/%d/%y %H:%M")


@pytest.mark.parametrize("cell", ["0", "0.0104", "1.5e+00"])
def test_a_number_is_no_date_and_the_options_for_numbers_are_named(cell: str) -> None:
    with pytest.raises(DatasetError, match=r"--time-unit s, ms, us or ns .*, row a count"):
        parsed([cell])


def test_a_time_of_day_alone_is_told_to_lack_its_date() -> None:
    with pytest.raises(DatasetError, match=r"it has no date: --columns timestamp=Date\+Time"):
        parsed(["12:30:00", "12:31:00"])


def test_a_spreadsheets_day_number_may_have_a_decimal_comma() -> None:
    with pytest.raises(DatasetError, match="a spreadsheet's days since 1900"):
        parsed(["46083,25"])


@pytest.mark.parametrize("cell", ["1.70E+12", "1,70E+12", "1.700000e+12", "1.7e+09"])
def test_times_that_lost_their_digits_are_refused(cell: str) -> None:
    with pytest.raises(DatasetError, match="has lost its last digits"):
        parsed([cell] * 4, time_unit="ms")
    exact = [f"1.70000000{i}e+12" for i in range(4)]
    assert len(set(parsed(exact, time_unit="ms").tolist())) == 4


def test_a_year_of_two_digits_may_come_first():
    hours = [f"24/03/{day:02d} {hour:02d}:00" for day in (5, 6) for hour in range(24)]
    assert str(parsed(hours)[-1]).startswith("2024-03-06T23")
    assert str(parsed(["31/01/24 10:00"])[0]).startswith("2024-01-31")  # 2031 is yet to come
    with pytest.raises(DatasetError, match="--time-format chooses one"):
        parsed(["24/03/05 10:00", "24/03/05 11:00"])


@pytest.mark.parametrize("less", ["31.01.2026", "31.01.2026 00:00", "31.01.2026 00:00:00.000"])
def test_a_time_of_which_a_part_is_zero_may_be_written_without_it(less):
    hours = [f"30.01.2026 {hour:02d}:00:00" for hour in range(24)]
    assert str(parsed([*hours, less])[-1]) == "2026-01-31T00:00:00.000000"


@pytest.mark.parametrize("cell", ["30.01.2026 24:00", "2026-01-30T24:00:00"])
def test_the_end_of_a_day_is_the_beginning_of_the_next(cell):
    assert str(parsed([cell])[0]) == "2026-01-31T00:00:00.000000"


def test_one_bad_time_does_not_hide_the_form_of_the_others():
    with pytest.raises(DatasetError, match=r"row 12: timestamp 'Total' does not follow %d.%m.%Y"):
        parsed([*(f"{day}.01.2026 12:00" for day in range(20, 31)), "Total"])


def test_day_and_month_are_settled_by_all_of_the_times_or_asked_for():
    hours = [f"{day:02d}/02/2026 {hour:02d}:00:00" for day in (3, 4) for hour in range(24)]
    assert str(parsed(hours)[0]).startswith("2026-02-03")  # the other way leaps by a month
    with pytest.raises(DatasetError, match="--time-format chooses one"):
        parsed(["03/02/2026", "05/07/2026"])
    assert str(parsed(["03/02/2026"], time_format="%m/%d/%Y")[0]).startswith("2026-03-02")


@pytest.mark.parametrize(
    ("unit", "cell", "utc"),
    [("us", "1769860800000000.0", "2026-01-31T12:00:00"),
     ("ns", "1.769860800e18", "2026-01-31T12:00:00"),
     ("s", "1769860800.5", "2026-01-31T12:00:00.5"),
     ("ms", "1769860800000", "2026-01-31T12:00:00"),
     ("ns", "1769860800000000001", "2026-01-31T12:00:00"), ("row", "2", "2000-01-01T00:02:00")],
)  # fmt: skip
def test_numbers_are_read_in_the_unit_that_is_named(unit, cell, utc):
    assert parsed([cell], time_unit=unit).tolist() == [np.datetime64(utc, "us").tolist()]


def test_another_unit_than_the_numbers_have_is_noticed():
    with pytest.raises(DatasetError, match=r"look like ms since 1970: .*, not --time-unit s"):
        parsed(["1769860800000"], time_unit="s")
    with pytest.raises(DatasetError, match=r"row 1: .*--time-unit s, ms, us or ns"):
        parsed(["69860800"])
    with pytest.raises(DatasetError, match=r"row 1: .*a spreadsheet's days .*--time-unit excel"):
        parsed(["45356.916667"])
    with pytest.raises(DatasetError, match="row 1: timestamp 'soon' is not a number"):
        parsed(["soon"], time_unit="ms")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "row"])
@pytest.mark.parametrize("kind", [pa.string(), pa.float64()])
@pytest.mark.parametrize("bad", ["inf", "-inf", "1e30", "-1e30", "1e+308"])
def test_what_is_no_finite_number_is_named_among_epochs(unit: str, kind: Any, bad: str) -> None:
    column = pa.array(["1.5", bad]).cast(kind)
    clock = clock_of(FileFormat(time_unit=unit), [[]], True, [column])
    with pytest.raises(DatasetError, match=r"row 2: timestamp -?(inf|1e\+?308?) is no plausible"):
        clock.parse(column, 1)


def test_words_are_no_times():
    assert formats_of(["pump"]) == []
    assert not is_time(["17.5"])
    with pytest.raises(DatasetError, match="row 2: timestamp is empty"):
        parsed(["2026-01-31T12:00:00Z", ""])


def test_the_hour_that_comes_twice_is_known_by_the_order_of_the_readings():
    local = np.array(["2026-10-25T01:30", "2026-10-25T02:30", "2026-10-25T02:10",
                      "2026-10-25T03:10"], "datetime64[us]")  # fmt: skip
    utc = LocalTime("Europe/Berlin").utc("A", local)
    assert [str(time)[11:16] for time in utc] == ["23:30", "00:30", "01:10", "02:10"]


def test_a_clock_set_back_by_an_hour_at_night_is_found_once():
    minutes = np.arange(240) * np.timedelta64(1, "m")
    times = np.datetime64("2026-10-25T00:30", "us") + minutes
    times[150:] -= np.timedelta64(60, "m")
    assert clocks_went_back(times) == [150]
    assert clocks_went_back(times[:150]) == []
    assert clocks_went_back(times + np.timedelta64(12, "h")) == []  # not at noon


def berlin(start: str, n: int, minutes: int) -> tuple[np.ndarray, np.ndarray]:
    """UTC and local times (n,)."""
    utc = pd.date_range(start, periods=n, freq=f"{minutes}min", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").tz_localize(None)
    naive = utc.tz_localize(None).to_numpy().astype("datetime64[us]")
    return naive, local.to_numpy().astype("datetime64[us]")


@pytest.mark.parametrize("minutes", [120, 60, 30, 20, 10, 1])
@pytest.mark.parametrize("order", [1, -1])
def test_local_times_of_three_years_become_utc_in_either_order(minutes: int, order: int) -> None:
    for start in ("2023-10-20", "2024-10-20", "2025-10-20"):
        utc, local = berlin(start, 14 * 1440 // minutes, minutes)
        np.testing.assert_array_equal(
            LocalTime("Europe/Berlin").utc("A", local[::order]), utc[::order]
        )
    utc, local = berlin("2023-01-01T00:00", 3 * 365 * 24, 60)
    np.testing.assert_array_equal(LocalTime("Europe/Berlin").utc("A", local[::order]), utc[::order])


@pytest.mark.parametrize("minutes", [60, 10])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_local_times_become_utc_however_they_are_cut(minutes: int, size: int) -> None:
    utc, local = berlin("2024-10-26T20:00", 600 // minutes, minutes)
    zone = LocalTime("Europe/Berlin")
    parts = [zone.utc("A", local[i : i + size]) for i in range(0, len(local), size)]
    np.testing.assert_array_equal(np.concatenate(parts), utc)


def test_readings_sorted_by_the_local_clock_have_the_second_hour_in_pairs() -> None:
    utc, local = berlin("2024-10-26T00:00", 288, 10)
    found = LocalTime("Europe/Berlin").utc("A", np.sort(local))
    np.testing.assert_array_equal(np.sort(found), utc)


def test_overlapping_exports_pass_the_second_hour_twice() -> None:
    utc, local = berlin("2024-10-26T00:00", 288, 10)
    both = LocalTime("Europe/Berlin").utc("A", np.concatenate([local, local]))
    np.testing.assert_array_equal(both, np.concatenate([utc, utc]))


def test_hourly_data_show_a_clock_set_back_by_two_equal_times() -> None:
    _, local = berlin("2024-10-26T00:00", 48, 60)
    assert clocks_went_back(local) == [25]
    repeated = np.zeros(48, bool)
    repeated[25] = True
    assert clocks_went_back(local, repeated) == []
    _, local = berlin("2023-10-01T00:00", 24 * 500, 60)
    assert len(clocks_went_back(local)) == 2


def test_a_time_without_an_offset_is_local_among_others() -> None:
    column = pa.array(["2024-07-01T12:00:00+02:00", "2024-07-01T12:10:00", "2024-07-01 10:20Z"])
    clock = clock_of(FileFormat(), [column.to_pylist()], True, [column])
    assert clock.parse(column, 1)[1].tolist() == [False, True, False]


def stamps(form: str, start: str, n: int, minutes: int) -> list[str]:
    at = pd.date_range(start, periods=n, freq=f"{minutes}min")
    return [str(text) for text in at.strftime(form)]


@pytest.mark.parametrize("form", ["%y.%m.%d %H:%M", "%d.%m.%y %H:%M", "%y/%m/%d %H:%M"])
def test_a_year_of_two_digits_is_found_by_days_in_a_row(form: str) -> None:
    for start, n, minutes in (("2021-10-09", 300, 10), ("2024-03-15", 900, 60)):
        assert str(parsed(stamps(form, start, n, minutes))[-1])[:10] == str(
            pd.Timestamp(start) + pd.Timedelta(minutes=(n - 1) * minutes)
        )[:10]  # fmt: skip


@pytest.mark.parametrize("form", ["%y.%m.%d", "%d.%m.%y"])
def test_daily_dates_of_two_digits_are_days_in_a_row(form: str) -> None:
    found = parsed(stamps(form, "2021-10-09", 16, 1440))
    assert [str(found[0])[:10], str(found[-1])[:10]] == ["2021-10-09", "2021-10-24"]


def test_one_day_of_two_digits_is_asked_about() -> None:
    with pytest.raises(DatasetError, match=r"%d.%m.%y.*%y.%m.%d.*--time-format"):
        parsed(stamps("%y.%m.%d %H:%M", "2021-10-09", 100, 10))


@pytest.mark.parametrize("at", [0, 7, 1500, 2999])
@pytest.mark.parametrize(("form", "odd"), [("%d/%m/%Y %H:%M", "05/13/2024 10:00"),
                                           ("%m/%d/%Y %H:%M", "13/05/2024 10:00")])  # fmt: skip
def test_one_mistyped_date_decides_nothing(form: str, odd: str, at: int) -> None:
    cells = stamps(form, "2024-05-01", 3000, 1)
    cells[at] = odd
    column = pa.array(cells, pa.string())
    clock = clock_of(FileFormat(), [cells[:300]], True, [column])
    assert clock.formats == (form,)
    with pytest.raises(DatasetError, match=rf"row {at + 1}: timestamp '{odd}'"):
        clock.parse(column, 1)


def test_times_of_one_day_do_not_tell_day_and_month_apart() -> None:
    with pytest.raises(DatasetError, match="--time-format chooses one"):
        parsed(stamps("%d/%m/%Y %H:%M", "2024-05-01", 1000, 1))


@pytest.mark.parametrize("form", ["%I", "%I:%M"])
@pytest.mark.parametrize("order", ["rows", "sorted"])
def test_a_clock_of_twelve_hours_without_am_and_pm_is_noticed(form: str, order: str) -> None:
    at = pd.date_range("2024-03-15", periods=500, freq="10min" if "M" in form else "1h")
    times = np.array([np.datetime64(t) for t in at.strftime(f"%Y-%m-%dT{form}")], "datetime64[us]")
    if order == "sorted":
        times = np.sort(times)
    found = half_day_clock(times)
    assert found is not None
    whole = at.to_numpy().astype("datetime64[us]")
    assert half_day_clock(whole) is None
    assert half_day_clock(whole[(at.hour < 12)]) is None
    assert half_day_clock(np.tile(whole[:60], 3)) is None
    hours = [*range(8, 13), *range(1, 6)]  # a shift
    shift = np.array([f"2024-03-15T{hour:02}:00" for hour in hours], "datetime64[us]")
    assert half_day_clock(shift) == 5


@pytest.mark.parametrize(
    ("cell", "utc"),
    [("1/3/2024 5:00 a. m.", "2024-03-01T05:00"), ("15/3/2024 5:00 p.m.", "2024-03-15T17:00"),
     ("15/03/2024 0h00", "2024-03-15T00:00"), ("3/15/2024 5:00\u202fPM", "2024-03-15T17:00"),
     ("15/03/2024 5:00\u00a0p.\u00a0m.", "2024-03-15T17:00")],
)  # fmt: skip
def test_further_forms_of_times_of_day_are_read(cell: str, utc: str) -> None:
    cells = [cell, *([cell.replace("1/3", "15/3")] if cell[:3] == "1/3" else [])]
    assert str(parsed(cells)[0])[:16] == utc


def test_midnights_without_a_time_of_day_may_be_many() -> None:
    cells = stamps("%d/%m/%Y %H:%M", "2024-03-10", 100, 360)
    found = parsed([cell.replace(" 00:00", "") for cell in cells])
    assert (np.diff(found) == np.timedelta64(6, "h")).all()


@pytest.mark.parametrize("cell", ["13/3/2024 13:00 PM", "1/3/2024 5 o'clock", "15/03/2024 0 Uhr"])
def test_a_date_that_is_not_read_names_the_option(cell: str) -> None:
    with pytest.raises(DatasetError, match=r"row 1: .*; --time-format gives its format") as caught:
        parsed([cell])
    assert "send" not in caught.value.message
