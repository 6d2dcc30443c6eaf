"""Files as plants have them: what can only mean one thing is read and noted, the rest is named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError

HEAD = "asset_id,timestamp,vib,temp,flow"
START = datetime(2026, 1, 1)
Load = Callable[..., datasets.Dataset]


def readings(n: int = 40, seed: int = 0) -> np.ndarray:
    """Three sensors (n, 3) with four decimals."""
    return np.round(np.random.default_rng(seed).normal([2, 60, 30], [0.2, 2, 1], (n, 3)), 4)


def table(
    values: np.ndarray, sep: str = ",", decimal: str = ".", head: str | None = HEAD,
    stamp: str = "%Y-%m-%dT%H:%M:%SZ", step_s: int = 60, asset: str = "P1",
) -> str:  # fmt: skip
    """A wide file as text."""
    lines = [] if head is None else [head.replace(",", sep)]
    for i, row in enumerate(values):
        cells = [f"{v:g}".replace(".", decimal) for v in row]
        lines.append(sep.join([asset, f"{START + timedelta(seconds=step_s * i):{stamp}}", *cells]))
    return "\r\n".join(lines) + "\r\n"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a text and load it."""

    def act(content: str | bytes, name: str = "plant.csv", **options: Any) -> datasets.Dataset:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        features = options.pop("features", None)
        return datasets.load(path, features, FileFormat(**options))

    return act


def same(data: datasets.Dataset, values: np.ndarray, names: Sequence[str] | None = None) -> None:
    assert data.feature_names == list(names or HEAD.split(",")[2:])
    np.testing.assert_array_equal(data.streams[0].values, values)
    assert data.streams[0].timestamps[0] == np.datetime64(START)


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_separators_and_decimal_signs_are_found_out(load: Load, sep: str, decimal: str) -> None:
    if sep == decimal:
        pytest.skip("needs quotes")
    values = readings()
    data = load(table(values, sep, decimal))
    same(data, values)
    assert ("numbers are read with decimal commas" in data.notes) == (decimal == ",")


def test_quoted_decimal_commas_between_commas(load: Load) -> None:
    text = 'asset_id,timestamp,f\nA,2026-01-01,"1,5"\nA,2026-01-02,"12,25"\n'
    assert load(text).streams[0].values.tolist() == [[1.5], [12.25]]


@pytest.mark.parametrize(
    ("head", "sep"),
    [
        ('asset_id;timestamp;"Vibration, DE [mm/s]";Temp, winding;Flow, in', ";"),
        ("asset_id,timestamp,vib;de;rms,temp;u1;C,flow;in", ","),
        ('asset_id,timestamp,"Motor current, A","Temp; U1",flow', ","),
    ],
)
def test_separators_within_names(load: Load, head: str, sep: str) -> None:
    values = readings()
    lines = table(values, sep, head=None)
    data = load(head + "\n" + lines)
    np.testing.assert_array_equal(data.streams[0].values, values)
    assert len(data.feature_names) == 3


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "Temp [°C]"), ("utf-8-sig", "Temp [°C]"), ("utf-16", "Temp [°C]"),
        ("cp1252", "Temp [°C]"), ("cp850", "Wind Direction (°)"), ("cp1252", "Öldruck m³/h"),
        ("cp1251", "Температура"), ("cp1252", "Débit"),         ("utf-16-le", "Temp [°C]"),
    ],
)  # fmt: skip
def test_encodings_are_found_out(load: Load, encoding: str, name: str) -> None:
    values = readings()
    text = table(values, head=f"asset_id,timestamp,{name},temp,flow")
    data = load(text.encode(encoding))
    same(data, values, [name, "temp", "flow"])
    assert any(encoding in note for note in data.notes) == (not encoding.startswith("utf"))


def test_an_encoding_can_be_named_and_a_wrong_one_is_refused(load: Load) -> None:
    text = table(readings(), head="asset_id,timestamp,Grüße,temp,flow")
    assert load(text.encode("mac_roman"), encoding="mac_roman").feature_names[0] == "Grüße"
    with pytest.raises(DatasetError, match=r"is not ascii.*--encoding"):
        load(text.encode(), encoding="ascii")
    late = table(np.ones((9000, 3))).encode() + "Ä1,2026-02-01,1,1,1\r\n".encode("cp1252")
    with pytest.raises(DatasetError, match="not UTF-8: --encoding"):
        load(late)
    assert load(late, encoding="cp1252").streams[-1].asset_id == "Ä1"


@pytest.mark.parametrize(
    ("top", "bottom"),
    [
        ("sep=,\r\n", ""), ("", ",,,,\r\n,,,,\r\n"), ("", "\r\n\r\n"),
        ("Plant 7\r\nexported 2026-02-01\r\n\r\n", ""), ("# a comment\r\n", ""),
    ],
)  # fmt: skip
def test_what_spreadsheets_and_loggers_add_is_left_out(load: Load, top: str, bottom: str) -> None:
    values = readings()
    same(load(top + table(values) + bottom), values)


UNREADABLE = {
    "a line cut short": ("", "A,2026-01-01 0", "lines left out.*row 200 has 2 fields, not 3"),
    "a footer": ("", "(199 rows)", "lines left out.*row 200 has 1 fields"),
    "totals": ("", "Total,,7.5", "rows left out.*row 200: timestamp is empty"),
    "names again": ("", "asset_id,timestamp,f", "rows left out.*row 200: .*'timestamp'"),
    "a comment": ("# mm/s", "", "lines left out.*row 1 has 1 fields"),
    "a second line of names": ("-,UTC,10 bar", "", "rows left out.*row 1: timestamp"),
    "no asset": (",2026-01-01,7", "", "rows left out.*row 1: asset_id"),
}


@pytest.mark.parametrize(("first", "last", "note_like"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_is_left_out_and_named(
    tmp_path: Path, first: str, last: str, note_like: str
) -> None:
    good = [f"A,2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z,{i}.5" for i in range(199)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(filter(None, ["asset_id,timestamp,f", first, *good, last])))
    data = datasets.load(path)
    stream = data.streams[0]
    np.testing.assert_array_equal(stream.values[:, 0], np.arange(199) + 0.5)
    assert stream.rows is not None
    assert stream.rows[0] == 1 + bool(first)
    assert any(re.search(note_like, note) for note in data.notes)
    assert len(list(datasets.readings(path))) == 199
    path.write_text("\n".join(filter(None, ["asset_id,timestamp,f", first, *good[:9], last])))
    with pytest.raises(DatasetError, match=r"x\.csv: row"):  # one of ten is no accident
        datasets.load(path)


def test_a_quote_that_does_not_close_loses_nothing_silently(load: Load) -> None:
    rows = [f"A,2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z,{i}\n" for i in range(400)]
    rows[300] = '"' + rows[300]
    with pytest.raises(DatasetError, match=r"row 301 has 1 fields, not 3 .*a quote that does not"):
        load("asset_id,timestamp,f\n" + "".join(rows))
    rows[300], rows[350] = 'A,2026-01-01T05:00:00Z,"1\n', '2"\n'  # fifty rows in one value
    with pytest.raises(DatasetError, match="row 301: column 'f' holds"):
        load("asset_id,timestamp,f\n" + "".join(rows))
    rows[300], rows[350] = '"' + rows[0], rows[1]
    many = [row.strip() + "0" * 90 + "\n" for row in rows * 200]  # several of Arrow's blocks
    with pytest.raises(DatasetError, match="does not close"):
        load("asset_id,timestamp,f\n" + "".join(many))


@pytest.mark.parametrize("cell", ["1e", "Stoerung", "<0.01", "-inf", "1e999", "12.3*"])
def test_a_rare_value_that_cannot_be_read_is_not_measured_and_named(load: Load, cell: str) -> None:
    values = [f"{i}.5" for i in range(200)]
    values[149] = cell
    text = "asset_id,timestamp,f\n" + "".join(
        f"A,2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z,{value}\n" for i, value in enumerate(values)
    )
    data = load(text)
    assert np.flatnonzero(np.isnan(data.streams[0].values[:, 0])).tolist() == [149]
    assert any("taken as not measured (1): row 150" in note for note in data.notes)
    assert np.isnan(load(text, null=[cell]).streams[0].values[149, 0])


def test_a_line_of_units_is_left_out_and_said(load: Load) -> None:
    values = readings()
    head, _, rest = table(values).partition("\r\n")
    data = load(f"{head}\r\n,,mm/s,C,m3/h\r\n{rest}")
    same(data, values)
    assert any("left out" in note and "mm/s" in note for note in data.notes)


def test_blanks_after_commas(load: Load) -> None:
    values = readings()
    same(load(table(values).replace(",", ", ")), values)


def test_states_of_a_historian_are_missing_values_and_said_by_row(load: Load) -> None:
    values = readings()
    lines = table(values).split("\r\n")
    for row, state in ((7, "Bad Input"), (9, "I/O Timeout"), (11, "#N/A"), (12, "")):
        cells = lines[row].split(",")
        cells[2] = state
        lines[row] = ",".join(cells)
        values[row - 1, 0] = np.nan
    data = load("\r\n".join(lines))
    same(data, values)
    assert "vib: 'Bad Input' is read as not measured (row 7)" in data.notes


def test_a_state_far_down_is_met_by_reading_on_as_text(load: Load) -> None:
    values = np.ones((30_000, 3))
    values[:, 0] = np.arange(30_000)
    text = table(values)
    data = load(
        text.replace("\r\nP1,2026-01-21T10:00:00Z,29400,", "\r\nP1,2026-01-21T10:00:00Z,Bad,")
    )
    column = data.streams[0].values[:, 0]
    assert np.flatnonzero(np.isnan(column)).tolist() == [29_400]
    assert data.notes == ["vib: 'Bad' is read as not measured (row 29401)"]
    np.testing.assert_array_equal(np.delete(column, 29_400), np.delete(values[:, 0], 29_400))


def test_thousands_set_apart_are_read_where_the_decimal_sign_is_known(load: Load) -> None:
    text = "asset_id;timestamp;f\nA;2026-01-01;1.234,5\nA;2026-01-02;12,25\n"
    assert load(text).streams[0].values.tolist() == [[1234.5], [12.25]]
    text = 'asset_id,timestamp,f\nA,2026-01-01,"1,234.5"\nA,2026-01-02,12.25\n'
    assert load(text).streams[0].values.tolist() == [[1234.5], [12.25]]


def test_each_column_has_its_own_decimal_sign(load: Load) -> None:
    rows = "".join(f"A;2026-01-{i:02d};{i},5;{i}.25;{990 + i:_}\n" for i in range(1, 29))
    text = "asset_id;timestamp;f;g;h\n" + rows.replace("_", ".")
    data = load(text)
    expected = [[i + 0.5, i + 0.25, 990 + i] for i in range(1, 29)]
    np.testing.assert_array_equal(data.streams[0].values, expected)
    assert "f: numbers are read with decimal commas" in data.notes
    assert "column 'h' separates thousands: '1.000' is read as 1000" in data.notes


def test_a_sign_that_cannot_be_told_is_refused_and_the_option_settles_it(load: Load) -> None:
    rows = "".join(f"A;2026-01-{i:02d};4,9{i:02d};1500.{i}\n" for i in range(10, 29))
    text = "asset_id;timestamp;f;g\n" + rows
    with pytest.raises(DatasetError, match=r"column 'f': the comma in '4,910' may .*--decimal"):
        load(text)
    assert load(text, exclude="f").feature_names == ["g"]
    assert load(text, decimal=",").streams[0].values[0].tolist() == [4.91, 1500.1]
    assert load(text, decimal=".").streams[0].values[0].tolist() == [4910, 1500.1]


AT = "asset_id,timestamp,f\nA,2026-01-01,"
TWO_WAYS = {
    f'{AT}"1,234"\n': "'1,234' may separate thousands or decimals.*--decimal",
    "asset_id;timestamp;f\nA;2026-01-01;1,5\nA;2026-01-02;1.5\n": "'1,5' and '1.5'.*--decimal",
    "asset_id;timestamp;f;g\nA;2026-01-01;1,500;2.500\n": "'1,500' may .*'2.500'.*--decimal",
    "timestamp,f\n2026-01-01,1\n": "'asset_id' is missing.*--asset-id NAME.*--columns asset_id=",
    "asset_id,f\nA,1\n": "'timestamp' is missing.*--columns timestamp=.*--time-unit row",
    "asset_id,timestamp,f\nA,1767225600,1\n": "--time-unit s, ms, us or ns",
    "asset_id,begin,end,f\nA,2026-01-01,2026-01-02,1\n": "each of 'begin', 'end' may be it",
    "asset_id,timestamp,f\nA,01/02/2026,1\nA,01/05/2026,1\n": "may be read as .*--time-format",
    f"{AT}1\nA,2026-01-02,1,2\n": "4 fields, not 3",
    f"{AT}7\nA,2026-01-02,on\n": "row 2.*'on' among numbers: --null on",
    "1,2,3\n4,5,6\n": "not column names: --no-header",
    "asset_id,timestamp,state\nA,2026-01-01,RUN\n": "no feature column.*'state' holds no number",
}


@pytest.mark.parametrize(("text", "message"), TWO_WAYS.items())
def test_what_can_be_read_in_two_ways_is_refused_with_the_option(
    load: Load, text: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        load(text)
    assert "\n" not in caught.value.message


@pytest.mark.filterwarnings("error")
def test_many_values_near_the_limits_of_a_float_are_read_without_a_word(load: Load) -> None:
    text = "asset_id,timestamp,f\n" + "".join(f"A,2026-01-{i:02d},1e308\n" for i in range(1, 29))
    assert load(text).notes == []


def test_a_long_table_is_refused_with_what_helps(load: Load) -> None:
    text = "asset_id,timestamp,tag,value\n" + "".join(
        f"A,2026-01-01T00:{i:02d}:00Z,{tag},{i}\n" for i in range(20) for tag in ("p", "t")
    )
    with pytest.raises(
        DatasetError, match=r"'tag' \(p, t\) .*--columns sensor_id=tag.*--exclude tag"
    ):
        load(text)
    assert len(load(text, columns={"sensor_id": "tag"}).streams) == 2
    assert load(text, exclude="tag").feature_names == ["value"]


def test_a_column_that_appears_twice_can_be_left_out(load: Load) -> None:
    text = "asset_id,timestamp,f,g,g\nA,2026-01-01,1,2,3\n"
    with pytest.raises(DatasetError, match="'g' appears twice: --exclude 'g'"):
        load(text)
    assert load(text, exclude="g").feature_names == ["f"]


def test_what_a_power_cut_leaves_at_the_end_is_no_reading(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = "".join(f"A,2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z,{i}\n" for i in range(200))
    path.write_bytes(f"asset_id,timestamp,f\n{rows}".encode() + bytes(512))
    assert len(datasets.load(path).streams[0].values) == 200


@pytest.mark.parametrize("zeros", [8, 512, 4096])
def test_a_block_of_zeros_within_a_file_costs_one_line(tmp_path: Path, zeros: int) -> None:
    rows = "".join(f"A,2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z,{i}.5\n" for i in range(900))
    content = bytearray(f"asset_id,timestamp,f\n{rows}".encode())
    content[9000 : 9000 + zeros] = bytes(zeros)
    path = tmp_path / "x.csv"
    path.write_bytes(bytes(content))
    data = datasets.load(path)
    lost = zeros * 900 // len(rows)
    assert abs(len(data.streams[0].values) - (900 - lost)) < 4
    assert any("left out, since they cannot be read (1)" in note for note in data.notes)


def test_text_and_times_are_no_features_and_that_is_said(load: Load) -> None:
    head = "asset_id,timestamp,state,received_at,f\n"
    data = load(head + "A,2026-01-01,RUN,2026-01-01 00:00:01,1\nA,2026-01-02,STOP,2026-01-02,2\n")
    assert data.feature_names == ["f"]
    assert "column 'state' holds no number (RUN, STOP): left out" in data.notes


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
    with pytest.raises(DatasetError, match="--time-unit"):
        datasets.load(path)


def test_an_epoch_in_the_wrong_unit_is_refused(load: Load) -> None:
    with pytest.raises(DatasetError, match="no plausible time in s"):
        load("asset_id,timestamp,f\nA,1767225600000,1\n", time_unit="s")


def test_rows_as_time_and_a_count_of_cycles(load: Load) -> None:
    data = load("asset_id,f\nA,1\nB,5\nA,2\n", time_unit="row")
    assert (data.streams[0].timestamps[1] - data.streams[0].timestamps[0]).item().seconds == 60
    data = load("asset_id,timestamp,f\nA,1,1\nA,2,2\nA,5,3\n", time_unit="row")
    assert np.diff(data.streams[0].timestamps).astype("timedelta64[m]").astype(int).tolist() == [
        1,
        3,
    ]


def test_roles_can_be_named(load: Load) -> None:
    text = "Unit,Date/Time,Who,f,g\nT1,2026-01-01,0,1,2\nT1,2026-01-02,1,3,4\n"
    columns = {"asset_id": "Unit", "timestamp": "Date/Time"}
    data = load(text, columns=columns, label="Who", exclude="g")
    assert (data.feature_names, data.streams[0].asset_id) == (["f"], "T1")
    assert data.streams[0].labels.tolist() == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(DatasetError, match="--exclude: column 'h' is missing; it has Unit"):
        load(text, columns=columns, exclude="f,h")


@pytest.mark.parametrize(
    "name", ["Timestamp", "datetime", "Date/Time", "Zeitstempel", "when it was"]
)
def test_the_one_column_of_times_is_found(load: Load, name: str) -> None:
    data = load(f"Asset ID,{name},f\nA,2026-01-01,1\n")
    assert data.streams[0].asset_id == "A"
    assert any(f"{name!r} is read as timestamp" in note for note in data.notes)


def test_an_asset_can_be_named_but_not_over_a_column(load: Load) -> None:
    assert load("timestamp,f\n2026-01-01,1\n", asset_id="T1").streams[0].asset_id == "T1"
    with pytest.raises(DatasetError, match="--asset-id is for files that have none"):
        load("asset_id,timestamp,f\nA,2026-01-01,1\n", asset_id="T1")


@pytest.mark.parametrize(
    "typed", ["Motor current, A", "Motor current, A,flow", '"Motor current, A",flow', "flow"]
)
def test_features_with_commas_can_be_named(load: Load, typed: str) -> None:
    text = 'asset_id,timestamp,"Motor current, A",flow\nA,2026-01-01,1,2\n'
    expected = [n for n in ("Motor current, A", "flow") if n in typed]
    assert load(text, features=typed).feature_names == expected


def test_values_that_mean_not_measured(load: Load) -> None:
    text = "asset_id,timestamp,f,g\nA,2026-01-01,-200,5\nA,2026-01-02,1,-999.0\nA,2026-01-03,x,3\n"
    data = load(text, null=["-200", "-999", "x"])
    expected = [[np.nan, 5], [1, np.nan], [np.nan, 3]]
    np.testing.assert_array_equal(data.streams[0].values, expected)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "__index_level_0__", "row"])
def test_numbers_of_rows_are_no_feature(load: Load, name: str) -> None:
    lines = table(readings()).split("\r\n")[:-1]
    text = "\n".join(f"{i - 1 if i else name},{line}" for i, line in enumerate(lines))
    data = load(text)
    assert data.feature_names == ["vib", "temp", "flow"]
    assert any("numbers the rows: left out" in note for note in data.notes)


@pytest.mark.parametrize(
    ("labels", "expected", "noted"),
    [
        (["0", "1", "0"], [0, 1, 0], None),
        (["0.0", "1.0", "0.0"], [0, 1, 0], None),
        (["False", "True", "False"], [0, 1, 0], None),
        (["0", "4", "2"], [0, 1, 1], "graded labels: 0 is normal, 2, 4 are faults"),
        (["0", "", "1"], [0, -1, 1], "1 readings have no label"),
        (["1", "-1", "1"], [0, 1, 0], "the rarer one is the fault: -1"),
        (["-1", "1", "-1"], [0, 1, 0], "the rarer one is the fault: 1"),
        (["normal", "bearing", "Normal"], [0, 1, 0], "'bearing' taken as faults"),
        (["NORMAL", "?", "Attack"], [0, -1, 1], "have no label"),
        (["0", "-1", "1"], [0, -1, 1], "-1 unknown"),
        (["a", "b", "c"], None, "not used, since none of its texts"),
        (["", "", ""], None, None),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_no_label_keeps_a_file_out(
    load: Load, tmp_path: Path, labels: list[str], expected: list[int] | None, noted: str | None,
    suffix: str,
) -> None:  # fmt: skip
    if suffix == "csv":
        rows = [f"A,2026-01-0{i + 1},{i},{label}" for i, label in enumerate(labels)]
        data = load("\n".join(["asset_id,timestamp,f,label", *rows]))
    else:
        columns = {
            "asset_id": ["A"] * 3, "timestamp": [START + timedelta(days=i) for i in range(3)],
            "f": [0.0, 1, 2], "label": [label or None for label in labels],
        }  # fmt: skip
        pa.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
        data = datasets.load(tmp_path / "x.parquet")
    assert data.feature_names == ["f"]
    found = data.streams[0].labels
    assert (None if found is None else found.tolist()) == expected
    assert noted is None or any(noted in note for note in data.notes)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("name", "labels", "faults"),
    [
        ("anomaly", [1, -1], 100), ("Anomaly", [0, 2], 100), ("is_anomaly", ["no", "yes"], 100),
        ("anomaly", ["normal", "anomaly"], 100), ("is_fault", [0, 1], 100),
        ("Machine failure", [0, 1], 100), ("ground_truth", [False, True], 100),
    ],
)  # fmt: skip
def test_a_label_is_known_by_its_name_when_its_faults_come_late(
    tmp_path: Path, name: str, labels: list[Any], faults: int, suffix: str
) -> None:
    columns = {
        "asset_id": ["A"] * 900, "timestamp": list(range(900)),
        "f": [i / 8 for i in range(900)], name: [labels[0]] * 800 + [labels[1]] * 100,
    }  # fmt: skip
    write = pa.csv.write_csv if suffix == "csv" else pa.parquet.write_table
    write(pa.table(columns), tmp_path / f"x.{suffix}")
    form = FileFormat(time_unit="s")
    data = datasets.load(tmp_path / f"x.{suffix}", None, form)
    assert data.feature_names == ["f"]
    assert data.streams[0].labels is not None
    assert data.streams[0].labels.sum() == faults
    assert f"column {name!r} is read as label" in data.notes


def test_what_may_be_a_label_is_said_and_two_labels_are_none(load: Load) -> None:
    head = "asset_id,timestamp,f,fault,is_fault,anomaly\n"
    text = head + "".join(f"A,{i},{i / 8},{i // 90},{i // 90},{i // 80}\n" for i in range(100))
    data = load(text, time_unit="s")
    assert data.feature_names == ["f", "fault"]
    assert data.streams[0].labels is None
    assert any("'is_fault', 'anomaly': may each be the label, so left out" in n for n in data.notes)
    assert "column 'fault' is read as a feature: --label fault reads it as the label" in data.notes
    data = load(text, time_unit="s", label="anomaly", exclude="fault")
    assert data.feature_names == ["f"]
    assert load(text, time_unit="s", features="f,anomaly").feature_names == ["f", "anomaly"]


@pytest.mark.parametrize("unit", ["", " bar"])
def test_a_text_before_the_first_number_is_named(load: Load, unit: str) -> None:
    cells = ["not installed"] * 350 + [f"{i / 8}{unit}" for i in range(650)]
    rows = "".join(f"A,{i},{cell},{i / 8}\n" for i, cell in enumerate(cells))
    text = "asset_id,timestamp,f,g\n" + rows
    with pytest.raises(DatasetError, match=r"'f' holds 'not installed', .*--null 'not installed'"):
        load(text, time_unit="s")
    data = load(text, time_unit="s", null=["not installed"])
    assert data.feature_names == ["f", "g"]
    assert np.isnan(data.streams[0].values).sum(axis=0).tolist() == [350, 0]


def test_a_text_that_comes_late_or_hardly_ever_holds_a_number_is_left_out(load: Load) -> None:
    notes = ["" if i < 500 else "7" if i == 700 else f"filter {i % 3}" for i in range(1000)]
    rows = "".join(f"A,{i},{note},{i / 8}\n" for i, note in enumerate(notes))
    data = load("asset_id,timestamp,note,g\n" + rows, time_unit="s")
    assert data.feature_names == ["g"]


@pytest.mark.parametrize(("sep", "sign"), [(";", "."), ("\t", ","), (",", ",")])
def test_thousands_that_come_late_are_thousands(load: Load, sep: str, sign: str) -> None:
    flow = [f"{900 + i // 100:,d}".replace(",", sign) for i in range(20_000)]
    quoted = [f'"{cell}"' if sep == sign else cell for cell in flow]
    rows = "".join(f"A{sep}{i}{sep}{cell}{sep}{i / 8}\n" for i, cell in enumerate(quoted))
    data = load(f"asset_id{sep}timestamp{sep}flow{sep}g\n" + rows, time_unit="s")
    np.testing.assert_array_equal(data.streams[0].values[:, 0], 900 + np.arange(20_000) // 100)


def test_labels_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "asset_id,timestamp,f,label\nA,2026-01-01,1,0\nA,2026-01-02,1,3\nA,2026-01-03,1,\n"
    )
    notes: list[str] = []
    rows = list(datasets.readings(path, say=notes.append))
    assert [row.label for row in rows] == [0, 1, None]
    assert any("graded labels" in note for note in notes)


def damaged(packed: bytes, at: float) -> bytes:
    """Change some bytes, at a share of the whole."""
    start = int(len(packed) * at)
    changed = bytes(byte ^ 0x55 for byte in packed[start : start + 20])
    return packed[:start] + changed + packed[start + 20 :]


def zipped(text: bytes, flag: int = 0, method: int | None = None) -> bytes:
    """A zip of one file whose headers have a flag or say another method of compression."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plant.csv", text)
    raw = bytearray(out.getvalue())
    for at in (6, raw.rfind(b"PK\1\2") + 8):  # of the file, and of the directory
        raw[at] |= flag
        raw[at + 2] = method or raw[at + 2]
    return bytes(raw)


BODY = "".join(f"P1,{i},{i % 7}.{i * i}\n" for i in range(60_000)).encode()
BROKEN = {
    "early.csv.gz": (damaged(gzip.compress(BODY), 0.01), "cannot be decompressed"),
    "late.csv.gz": (damaged(gzip.compress(BODY), 0.9), "cannot be decompressed"),
    "late.csv.bz2": (damaged(bz2.compress(BODY), 0.95), "Invalid data"),
    "late.csv.xz": (damaged(lzma.compress(BODY), 0.9), "cannot be decompressed"),
    "late.zip": (damaged(zipped(BODY), 0.9), "cannot be decompressed"),
    "cut.zip": (zipped(BODY)[:-99], "cannot be decompressed"),
    "secret.zip": (zipped(BODY, flag=1), "is encrypted: unpack it first"),
    "deflate64.zip": (zipped(BODY, method=9), "cannot be decompressed .*: unpack it first"),
    "mark.csv": (b"\xef\xbb\xbf", "is empty"),
    "mark16.csv": (b"\xff\xfe", "is empty"),
    "zeros.csv": (bytes(600), "is empty"),
    "sep.csv": (b"sep=\n\n\n", "'asset_id' is missing"),
    "quote.csv": (b'a,b,c\n"' + b"1,2,3\n" * 50_000, "'asset_id' is missing"),
}


@pytest.mark.parametrize(("name", "content", "reason"), [(n, *b) for n, b in BROKEN.items()],
                         ids=BROKEN)  # fmt: skip
def test_no_broken_file_stops_a_folder(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    form = FileFormat(time_unit="s", header=False, columns={"asset_id": "1", "timestamp": "2"})
    form = form if content[:2] in (b"\x1f\x8b", b"BZ", b"\xfd7", b"PK") else FileFormat()
    with pytest.raises(DatasetError, match=rf"^{re.escape(name)}: .*{reason}"):
        datasets.load(tmp_path / name, None, form)
    good = f"{HEAD}\n" if form == FileFormat() else ""
    (tmp_path / "good.csv").write_text(good + ("P1,2026-01-01,1,2,3\n" if good else "P1,1,2\n"))
    data = datasets.load_files(datasets.files_of(str(tmp_path)), None, form)
    assert [stream.asset_id for stream in data.streams] == ["P1"]
    assert any(name in note and "left out" in note for note in data.notes)


@pytest.mark.parametrize("normal", [1, -1])
def test_labels_row_by_row_are_those_of_the_whole_file(tmp_path: Path, normal: int) -> None:
    labels = [normal] * 30_000 + [-normal] * 1000
    path = tmp_path / "x.csv"
    path.write_text(
        "asset_id,timestamp,f,anomaly\n"
        + "".join(f"A,{1_767_225_600 + i},{i / 8},{label}\n" for i, label in enumerate(labels))
    )
    form = FileFormat(time_unit="s")
    whole = datasets.load(path, None, form).streams[0].labels
    assert whole is not None
    assert (whole.sum(), whole[-1]) == (1000, 1)
    assert [row.label for row in datasets.readings(path, form=form)] == whole.tolist()


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst", "zip"])
def test_compressed_text(tmp_path: Path, suffix: str) -> None:
    values = readings()
    text = table(values).encode()
    path = tmp_path / f"plant.csv.{suffix}"
    if suffix == "zst":
        with pa.output_stream(str(path), compression="zstd") as file:
            file.write(text)
    elif suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("plant.csv", text)
    else:
        packed = {"gz": gzip.compress(text), "bz2": bz2.compress(text), "xz": lzma.compress(text)}
        path.write_bytes(packed[suffix])
    same(datasets.load(path), values)


def test_a_broken_archive_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv.gz"
    path.write_bytes(gzip.compress(table(readings(5000)).encode())[:-2000])
    with pytest.raises(DatasetError, match=r"plant\.csv\.gz"):
        datasets.load(path)


def test_texts_of_a_parquet_file_are_read_as_those_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    good = {
        "asset_id": pa.array(["A", "A"], pa.string_view()),
        "timestamp": pa.array(["2026-01-01", "2026-01-02"], pa.string_view()),
        "f": ["1,25", "2,5"],
    }
    pa.parquet.write_table(pa.table(good), path)
    assert datasets.load(path).streams[0].values[:, 0].tolist() == [1.25, 2.5]
    for column in ("asset_id", "timestamp"):
        pa.parquet.write_table(pa.table({**good, column: [{"x": "A"}, {"x": "A"}]}), path)
        with pytest.raises(DatasetError, match=rf"x\.parquet: column '{column}' holds struct"):
            datasets.load(path)


@pytest.mark.parametrize("label", [[1, 2], {"x": 1}, b"\xff"])
def test_a_label_that_is_a_list_or_a_structure_is_left_out(tmp_path: Path, label: Any) -> None:
    path = tmp_path / "x.parquet"
    columns = {"asset_id": ["A"] * 2, "timestamp": ["2026-01-01", "2026-01-02"], "f": [1.0, 2.0]}
    pa.parquet.write_table(pa.table({**columns, "label": [label, None]}), path)
    data = datasets.load(path)
    assert (data.feature_names, data.streams[0].labels) == (["f"], None)
    assert any("column 'label' holds no number" in note for note in data.notes)
    with pytest.raises(DatasetError, match="column 'label' holds"):
        datasets.load(path, None, FileFormat(label="label"))


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary(2), pa.dictionary(pa.int8(), pa.binary())]
)
def test_bytes_of_a_parquet_file_are_text_if_they_are_utf8(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "x.parquet"

    def write(asset: bytes) -> None:
        columns = {
            "asset_id": pa.array([asset] * 2).cast(kind),
            "timestamp": ["2026-01-01", "2026-01-02"],
            "f": [b"1.5", b"2.5"],
        }
        pa.parquet.write_table(pa.table(columns), path)

    write(b"P1")
    data = datasets.load(path)
    assert data.streams[0].asset_id == "P1"
    assert data.streams[0].values.tolist() == [[1.5], [2.5]]
    write(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"'asset_id' holds bytes that are not UTF-8"):
        datasets.load(path)


def test_decimal_commas_in_a_text_of_a_parquet_file_leave_its_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {
        "asset_id": ["A"] * 3, "timestamp": ["2026-01-01", "2026-01-02", "2026-01-03"],
        "f": [1.5, 2.25, 1.013], "g": ["1,5", "2,25", "1,125"],
    }  # fmt: skip
    pa.parquet.write_table(pa.table(columns), path)
    data = datasets.load(path)
    assert data.feature_names == ["f", "g"]
    assert data.streams[0].values.tolist() == [[1.5, 1.5], [2.25, 2.25], [1.013, 1.125]]


def test_dates_and_times_of_day_of_a_parquet_file_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(
        pa.table({"asset_id": ["A"], "Date": pa.array([START.date()]),
                  "Time": pa.array([34_200], pa.time32("s")), "f": [1.0]}), path
    )  # fmt: skip
    assert datasets.load(path).streams[0].timestamps.tolist() == [datetime(2026, 1, 1, 9, 30)]


def test_parquet_columns_are_read_as_the_same_csv_would_be(tmp_path: Path) -> None:
    n = 5
    columns = pa.table(
        {
            "asset_id": pa.array(["A"] * n).dictionary_encode(),
            "timestamp": pa.array([START + timedelta(minutes=i) for i in range(n)]),
            "running": [False, True, True, None, True],
            "spare": pa.nulls(n),
            "energy": [2**53 + 1 + i for i in range(n)],
            "text": ["1.5", "2", None, "Bad", "3"],
            "__index_level_0__": list(range(n)),
        }
    )
    pa.parquet.write_table(columns, tmp_path / "x.parquet")
    pa.csv.write_csv(columns, tmp_path / "x.csv")
    one, other = (datasets.load(tmp_path / name) for name in ("x.parquet", "x.csv"))
    assert one.feature_names == other.feature_names == ["running", "spare", "energy", "text"]
    np.testing.assert_array_equal(one.streams[0].values, other.streams[0].values)
    assert any("beyond 2^53" in note for note in one.notes)


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


def test_times_with_an_offset_are_not_moved_by_a_zone(load: Load) -> None:
    data = load("asset_id,timestamp,f\nA,2026-01-01T00:00:00Z,1\n", time_zone="Europe/Berlin")
    assert data.streams[0].timestamps[0] == np.datetime64(START)


def test_exact_repetitions_count_once_and_equal_times_stay(load: Load) -> None:
    rows = [
        "A,2026-01-01,1,2",
        "A,2026-01-01,1,3",
        "A,2026-01-01,1,2",
        "A,2026-01-02,,2",
        "A,2026-01-02,,2",
    ]
    data = load("\n".join(["asset_id,timestamp,f,g", *rows]))
    expected = [[1, 2], [1, 3], [np.nan, 2]]
    np.testing.assert_array_equal(data.streams[0].values, expected)
    assert "2 readings occur twice (time and values): counted once" in data.notes
    assert data.streams[0].rows is not None
    assert data.streams[0].rows.tolist() == [1, 2, 4]


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_of_files_is_an_asset_each(tmp_path: Path) -> None:
    for name in ("pump_1.csv", "pump_2.csv"):
        head, rest = "timestamp,vib,temp,flow", table(readings(), head=None).replace("P1,", "")
        (tmp_path / name).write_text(head + "\n" + rest)
    (tmp_path / "notes.md").write_text("nothing")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert [s.asset_id for s in data.streams] == ["pump_1", "pump_2"]


def test_overlapping_exports_count_once(tmp_path: Path) -> None:
    lines = table(readings(100)).split("\r\n")[:-1]
    (tmp_path / "a.csv").write_text("\n".join(lines[:71]) + "\n")
    (tmp_path / "b.csv").write_text("\n".join([lines[0], *lines[51:]]) + "\n")
    data = datasets.load_files(datasets.files_of(str(tmp_path / "*.csv")))
    np.testing.assert_array_equal(data.streams[0].values, readings(100))
    assert any("20 readings occur in more than one file" in note for note in data.notes)


def test_a_bad_file_among_good_ones_is_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(readings()))
    (tmp_path / "b.csv").write_text("nothing of use\n")
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert len(data.streams) == 1
    assert any("left out" in note and "b.csv" in note for note in data.notes)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DatasetError, match=r"b\.csv"):
        datasets.load_files(datasets.files_of(str(tmp_path)))


# --- forms of whole exports ---------------------------------------------------------------------


def scada(rows: int = 300) -> bytes:
    """A wind turbine's export: no asset, blanks within times, the degree sign of a code page."""
    random = np.random.default_rng(0)
    out = io.StringIO()
    out.write("Date/Time,LV ActivePower (kW),Wind Speed (m/s),Wind Direction (°)\r\n")
    for i in range(rows):
        wind = 5 + 3 * np.sin(i / 50) + random.normal() * 0.3
        moment = datetime(2018, 1, 1) + timedelta(minutes=10 * i)
        out.write(f"{moment:%d %m %Y %H:%M},{wind**3:.10f},{wind:.11f},{259 + wind:.10f}\r\n")
    return out.getvalue().encode("cp1252")


def gas_sensor(rows: int = 300) -> str:
    """A gas sensor's export: two columns for the time, decimal commas, an empty tail, -200."""
    random = np.random.default_rng(0)
    lines = ["Date;Time;CO(GT);PT08.S1(CO);T;AH;;"]
    for i in range(rows):
        moment = datetime(2004, 3, 10, 18) + timedelta(hours=i)
        cells = [2 + random.normal() * 0.3, 1200 + random.normal() * 90, 14 + random.normal(), 0.8]
        if i % 9 == 4:
            cells = [-200.0] * 4
        shown = ";".join(f"{c:.1f}".replace(".", ",").removesuffix(",0") for c in cells)
        lines.append(f"{moment:%d/%m/%Y};{moment:%H.%M.%S};{shown};;")
    return "\r\n".join([*lines, *[";;;;;;;"] * 20]) + "\r\n"


def test_the_export_of_a_wind_turbine(load: Load) -> None:
    data = load(scada(), asset_id="T1")
    assert data.feature_names[2] == "Wind Direction (°)"
    times = data.streams[0].timestamps
    assert times[:2].tolist() == [datetime(2018, 1, 1), datetime(2018, 1, 1, 0, 10)]
    assert not np.isnan(data.streams[0].values).any()


def test_the_export_of_a_gas_sensor(load: Load) -> None:
    data = load(gas_sensor(), asset_id="AQ", null=["-200"])
    assert data.feature_names == ["CO(GT)", "PT08.S1(CO)", "T", "AH"]
    stream = data.streams[0]
    assert len(stream.timestamps) == 300
    assert stream.timestamps[6].item() == datetime(2004, 3, 11)
    assert np.isnan(stream.values).all(axis=1).sum() == len(range(4, 300, 9))
    assert "20 rows are empty and are left out" in data.notes


def test_runs_to_failure_as_text_without_names(load: Load) -> None:
    random = np.random.default_rng(0)
    lines = [
        f"{unit} {cycle} " + " ".join(f"{v:.4f}" for v in random.normal(500, 5, 24)) + "  "
        for unit in (1, 2) for cycle in range(1, 31)
    ]  # fmt: skip
    data = load(
        "\n".join(lines) + "\n", "train.txt", header=False, time_unit="row",
        columns={"asset_id": "1", "timestamp": "2"}, exclude="3,4,5",
    )  # fmt: skip
    assert [(s.asset_id, s.values.shape) for s in data.streams] == [
        ("1", (30, 21)),
        ("2", (30, 21)),
    ]


def test_a_test_rig_with_two_kinds_of_labels(load: Load) -> None:
    text = "datetime;Accelerometer1RMS;Current;anomaly;changepoint\n" + "".join(
        f"2020-03-09 10:14:{i:02d};0.{i};{i};{float(i > 20)};0.0\n" for i in range(10, 50)
    )
    data = load(text, asset_id="rig", exclude="changepoint")
    assert data.feature_names == ["Accelerometer1RMS", "Current"]
    assert data.streams[0].labels is not None
    assert data.streams[0].labels.sum() == 29
    assert any("'anomaly' is read as label" in note for note in data.notes)


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"decimal": ";"}, "--decimal"), ({"delimiter": ",,"}, "--delimiter"),
        ({"encoding": "klingon"}, "--encoding"), ({"time_zone": "Mars/Base"}, "--time-zone"),
        ({"time_unit": "h"}, "--time-unit"), ({"columns": {"unit": "x"}}, "--columns"),
        ({"time_unit": "s", "time_format": "%Y"}, "--time-format"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(wrong: dict[str, Any], option: str) -> None:
    with pytest.raises(DatasetError, match=option):
        FileFormat(**wrong)


JUNK = (
    b",", b";", b'"', b"\n", b"\x00", b"\xff", b"NaN", b"-", b"1e400", b"Bad", b" ", b"\t",
    b"9" * 20, b"inf", b"-999", b"2026", b"=1+1", b"\xef\xbb\xbf",
)  # fmt: skip


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] if n % 4 else []) for n in range(60)]
)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_sentence(
    tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    whole = [table(readings(30)).encode(), scada(40), gas_sensor(40).encode()][seed % 3]
    forms = [FileFormat(asset_id="A"), FileFormat(), FileFormat(time_unit="row"),
             FileFormat(asset_id="A", header=False)]  # fmt: skip
    messages: list[str] = []
    for form in forms:
        content = bytearray(whole)
        for _ in range(3):
            at = int(random.integers(len(content)))
            content[at : at + int(random.integers(4))] = JUNK[int(random.integers(len(JUNK)))]
        path = tmp_path / "x.csv"
        path.write_bytes(bytes(content))
        for read in (datasets.load, lambda *given: list(datasets.readings(*given))):
            try:
                read(path, None, form)
            except DatasetError as error:
                messages.append(error.message)
    assert all("\n" not in text and text.startswith("x.csv: ") for text in messages)


@pytest.mark.parametrize(
    ("separator", "cell", "unit"),
    [
        (",", "{}.5 °C", "°C"),
        (";", "{},5 bar", "bar"),
        (",", "{}.5%", "%"),
        (",", "{}.5 K", "K"),
        ("\t", "{}.5 m³/h", "m³/h"),
    ],
)
def test_numbers_are_read_without_the_unit_in_their_cells(
    load: Load, separator: str, cell: str, unit: str
) -> None:
    rows = [["asset_id", "timestamp", "f", "state"]]
    rows += [["A", f"2026-01-01 00:{i:02}", cell.format(i), "run"] for i in range(60)]
    bare = "3" if unit in ("bar", "m³/h") else "0" if unit != "°C" else ""  # same without a unit
    rows[7][2], rows[8][2] = "", bare
    data = load("".join(separator.join(row) + "\n" for row in rows))
    assert data.feature_names == ["f"]
    expected = np.arange(60) + 0.5
    expected[6:8] = np.nan, float(bare or "nan")
    np.testing.assert_array_equal(data.streams[0].values[:, 0], expected)
    assert f"column 'f' holds {unit!r} after each number: read without it" in data.notes


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.205 K", "998"), ("50.1%", "0.503"), ("122 °F", "51"), ("122 °F", "51 °C"),
     ("1.2 K", "1 M"), ("1.2 Mil", "9 K"), ("5 mm", "0.1 m"), ("0.9 kW", "870 W"), ("122 °F", "0")],
)  # fmt: skip
def test_numbers_that_are_scaled_differently_are_refused(load: Load, one: str, other: str) -> None:
    cells = [one if i % 3 else other for i in range(900)]
    orders = [cells, sorted(cells), sorted(cells, reverse=True)]  # the first 300 hold one of both
    for number, order in enumerate(orders):
        rows = "".join(f"A,{i},{cell},1\n" for i, cell in enumerate(order))
        text = "asset_id,timestamp,p,f\n" + rows
        if number == 0:
            with pytest.raises(DatasetError, match=r"'p' holds '.*' and '.*', .*--exclude 'p'"):
                load(text, time_unit="s")
        else:
            with pytest.raises(DatasetError, match=r"row \d+: column 'p' holds .*--exclude 'p'"):
                load(text, time_unit="s")
        assert load(text, time_unit="s", exclude="p").feature_names == ["f"]
        assert load(text, features="f", time_unit="s").feature_names == ["f"]


def test_a_rare_number_without_its_scale_is_not_measured_and_named(load: Load) -> None:
    cells = [f"{i}.5 K" for i in range(1, 401)]
    cells[350] = "998"
    rows = "".join(f"A,{i},{cell}\n" for i, cell in enumerate(cells))
    data = load("asset_id,timestamp,p\n" + rows, time_unit="s")
    assert np.flatnonzero(np.isnan(data.streams[0].values)).tolist() == [350]
    assert any("row 351: column 'p' holds '998' without the 'K'" in note for note in data.notes)


def test_exponents_are_no_units(load: Load) -> None:
    cells = ["4.98 e+01", "4.9760D+01", "4.98 E1", "4.98x10^1", "4.98 * 10^+1", "49.8"] * 20
    rows = "".join(f"A,{1_700_000_000 + i},{cell}\n" for i, cell in enumerate(cells))
    data = load("asset_id,timestamp,p\n" + rows, time_unit="s")
    np.testing.assert_allclose(data.streams[0].values[:6, 0], [49.8, 49.76, *[49.8] * 4])
    assert data.notes == []


def test_a_column_of_two_units_is_left_out_with_its_cells(load: Load) -> None:
    rows = "".join(f"A,2026-01-01 00:{i:02},{i} {'bar' if i % 2 else 'kPa'},1\n" for i in range(60))
    data = load("asset_id,timestamp,p,f\n" + rows)
    assert data.feature_names == ["f"]
    assert "column 'p' holds no number (0 kPa, 1 bar, 10 kPa): left out" in data.notes


@pytest.mark.parametrize("at", [20, 1500])  # among the first cells, which show the unit, or not
def test_a_rare_cell_of_another_unit_is_not_measured_and_named(load: Load, at: int) -> None:
    cells = [f"{i} bar" for i in range(2000)]
    cells[at] = f"{at} psi"
    rows = "".join(f"A,{i},{cell}\n" for i, cell in enumerate(cells))
    data = load("asset_id,timestamp,p\n" + rows, time_unit="s")
    assert np.isnan(data.streams[0].values[:, 0]).nonzero()[0].tolist() == [at]
    assert any(f"row {at + 1}: column 'p' holds '{at} psi'" in note for note in data.notes)
