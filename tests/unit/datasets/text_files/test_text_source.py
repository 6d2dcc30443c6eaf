"""Text files are read as spreadsheets, loggers and damage leave them, or refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.plant_files import HEAD, Load, readings, same, table


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
    with pytest.raises(DatasetError, match=r"line 9002 has 'Ä1,2026.*not UTF-8 .*: --encoding"):
        load(late)
    assert load(late, encoding="cp1252").streams[-1].asset_id == "Ä1"


def test_a_stray_byte_is_named_also_in_a_line_that_cannot_be_split(load: Load) -> None:
    begin = table(readings(9000)).encode()
    for line in (b"P1,2026-02-01,1,\xff1,1\r\n", b"P1,2026-02-01,1,\xff1,1,1,1\r\n"):
        with pytest.raises(DatasetError, match=r"line 9002 has '\S*ÿ1,\S*', which is not UTF-8"):
            load(begin + line + b"P1,2026-02-02,1,1,1\r\n")


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
    "a comment": ("# mm/s", "", "lines left out.*row 1 has 1 fields"),
    "a line of limits": ("-,UTC,10", "", "rows left out.*row 1: timestamp"),
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
    with pytest.raises(DatasetError, match="row 301: column 'f' has a quote"):
        load("asset_id,timestamp,f\n" + "".join(rows))
    rows[300], rows[350] = '"' + rows[0], rows[1]
    many = [row.strip() + "0" * 90 + "\n" for row in rows * 200]  # several of Arrow's blocks
    with pytest.raises(DatasetError, match="does not close"):
        load("asset_id,timestamp,f\n" + "".join(many))


@pytest.mark.parametrize("column", [0, 2, 4])
@pytest.mark.parametrize("closes", [None, 51, 300])
@pytest.mark.parametrize("options", [{}, {"exclude": "note,tag,remark"}])
def test_rows_swallowed_by_a_quote_in_a_column_of_texts_are_not_lost_silently(
    load: Load, column: int, closes: int | None, options: dict[str, str]
) -> None:
    rows = [
        [f"P{i % 9}", f"2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z", f"ok {i % 3}", f"{i}.5", "none"]
        for i in range(400)
    ]
    for at in (50, closes):
        if at is not None:
            rows[at][column] = '"' + rows[at][column]
    text = "tag,timestamp,note,f,remark\n" + "".join(f"{','.join(row)}\n" for row in rows)
    with pytest.raises(DatasetError, match=r"row 51\b.* a quote that does not close"):
        load(text, asset_id="A", **options)


def test_cells_of_several_lines_are_read_wherever_the_blocks_of_the_file_end(load: Load) -> None:
    notes = ['"changed the filter,\nand greased it"', '"Checked by A, B, and C"', "", "ok"]
    notes.append('"see list:\na, b, c, d"')  # as many commas as a row
    long = '"' + "word " * 30 + '\nend"'
    rows = [f"2026-01-{1 + i // 1440:02d}T{i // 60 % 24:02d}:{i % 60:02d}:00Z,{i % 7}.5,"
            f"{i % 5}.25,{notes[i % 5]},{long}\n" for i in range(30_000)]  # fmt: skip
    data = load("timestamp,f,g,note,more\n" + "".join(rows), asset_id="A")
    assert data.feature_names == ["f", "g"]
    assert len(data.streams[0].timestamps) == 30_000
    assert not any("\n" in note for note in data.notes)
    assert data.streams[0].values[-1].tolist() == [29_999 % 7 + 0.5, 4.25]


def test_a_line_of_units_is_left_out_and_said(load: Load) -> None:
    values = readings()
    head, _, rest = table(values).partition("\r\n")
    data = load(f"{head}\r\n,,mm/s,C,m3/h\r\n{rest}")
    same(data, values)
    assert any("left out" in note and "mm/s" in note for note in data.notes)


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_file_of_names_only_holds_no_rows(load: Load, end: str) -> None:
    with pytest.raises(DatasetError, match=r"plant\.csv: holds no rows"):
        load("asset_id,timestamp,f" + end)


def test_blanks_after_commas(load: Load) -> None:
    values = readings()
    same(load(table(values).replace(",", ", ")), values)


AT = "asset_id,timestamp,f\nA,2026-01-01,"

TWO_WAYS = {
    f'{AT}"1,234"\n': "'1,234' may separate thousands or decimals.*--decimal",
    "asset_id;timestamp;f\nA;2026-01-01;1,5\nA;2026-01-02;1.5\n": "'1,5' and '1.5'.*--decimal",
    "asset_id;timestamp;f;g\nA;2026-01-01;1,500;2.500\n": "'1,500' may .*'2.500'.*--decimal",
    "timestamp,f\n2026-01-01,1\n": "'asset_id' is missing.*--asset-id NAME.*--columns asset_id=",
    "asset_id,f\nA,1\n": "'timestamp' is missing.*--columns timestamp=.*--time-unit row",
    "asset_id,timestamp,f\nA,67225600,1\n": "--time-unit s, ms, us or ns",
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


@pytest.mark.parametrize("more", [f"{HEAD},load", "asset_id,timestamp,vib"])
def test_a_second_table_of_other_columns_is_called_one(load: Load, more: str) -> None:
    rows = table(readings(60)).splitlines()
    below = [f"P1,2026-01-02T00:00:{i:02d}Z" + ",1" * (more.count(",") - 1) for i in range(60)]
    message = rf"row 61 names other columns \({more.replace(',', ', ')}\): a second table begins"
    with pytest.raises(DatasetError, match=message):
        load("\n".join([*rows, more, *below]) + "\n")


@pytest.mark.parametrize(
    ("name", "start", "what"),
    [
        ("A-1.npy", b"\x93NUMPY\x01\x00", "is an array of NumPy: save"),
        ("a.csv", b"\x93NUMPY\x01\x00", "is an array of NumPy, despite its name: save"),
        ("a.rar", b"Rar!\x1a\x07\x01\x00", "is a RAR archive: save"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "is an HDF5 file: save"),
    ],
)
def test_files_of_other_programs_are_named(
    tmp_path: Path, name: str, start: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(start + bytes(range(256)))
    with pytest.raises(DatasetError, match=what):
        datasets.load(tmp_path / name)
