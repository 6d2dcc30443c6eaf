"""Sheets of workbooks are read like the CSV files that a spreadsheet program saves."""

from __future__ import annotations

import gzip
import io
import random
import re
import tarfile
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
from datasets import FileFormat
from errors import DatasetError
from tests.unit.datasets.workbooks.workbook_files import (
    FORMATTED,
    Error,
    Formula,
    sheet_xml,
    workbook,
)

START = datetime(2026, 1, 1)
N = 40


def rows(n: int = N, step: timedelta = timedelta(minutes=10)) -> list[list[Any]]:
    """Readings of two sensors every ten minutes."""
    return [[START + i * step, 50 + i % 7 / 8, 3.125 + i % 5] for i in range(n)]


HEAD = ["Time", "Temp", "Flow"]
TABLE = [HEAD, *rows()]


def load(path: Path, **options: Any) -> datasets.Dataset:
    return datasets.load(path, None, FileFormat(asset_id="P1", **options))


def book(tmp_path: Path, *table: list[Any], name: str = "plant.xlsx", **more: Any) -> Path:
    return workbook(tmp_path / name, {"Data": list(table)}, **more)


def same(data: datasets.Dataset, table: list[list[Any]] = TABLE) -> None:
    """Check that a table was read, whose first column is the time."""
    assert data.feature_names == table[0][1:]
    times = np.array([row[0] for row in table[1:]], "datetime64[us]")
    np.testing.assert_array_equal(data.streams[0].timestamps, times)
    np.testing.assert_array_equal(data.streams[0].values, [row[1:] for row in table[1:]])


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as error:
        load(path, **options)
    assert error.value.message.startswith(f"{path.name}: ")
    return error.value.message


def sentence_or_data(path: Path) -> None:
    """Read a damaged file: anything but a sentence that names it would fail the test."""
    problem = None
    try:
        load(path)
    except DatasetError as error:
        problem = error.message
    assert problem is None or problem.startswith(f"{path.name}: ")


def test_times_and_numbers_are_read_as_they_are(tmp_path):
    same(load(book(tmp_path, *TABLE)))
    same(load(book(tmp_path, *TABLE, from_1904=True)))
    same(load(book(tmp_path, *TABLE, name="macros.xlsm")))


def test_times_are_right_across_the_day_that_1900_did_not_have(tmp_path):
    xml = sheet_xml([["Date", "T"], *[[n, 1.5 * n] for n in (58, 59, 61, 62)]])  # 60 is the day
    xml = re.sub(r'r="A(\d)"><v>', r'r="A\1" s="2"><v>', xml)
    times = load(workbook(tmp_path / "a.xlsx", {"S": xml})).streams[0].timestamps
    assert [str(time)[:10] for time in times] == [
        "1900-02-27", "1900-02-28", "1900-03-01", "1900-03-02",
    ]  # fmt: skip


def test_every_tenth_of_a_second_is_exact(tmp_path):
    table = [HEAD, *rows(3000, timedelta(milliseconds=100))]
    same(load(book(tmp_path, *table)), table)


def test_titles_units_and_empty_rows_and_columns_are_left_out(tmp_path):
    table = [
        [None, "Pump station 3"], [], [None, "Exported", "2026-02-01"], [],
        [None, *HEAD, None, "Level\n(m)"], [None, "", "°C", "m³/h", None, "m"],
        *[[None, *row, None, i % 9 / 4] for i, row in enumerate(rows())],
        *[[FORMATTED] * 7] * 200,
    ]  # fmt: skip
    data = load(book(tmp_path, *table))
    assert data.feature_names == ["Temp", "Flow", "Level (m)"]
    np.testing.assert_array_equal(data.streams[0].values[:, :2], [row[1:] for row in rows()])
    assert any("line of units is left out" in note for note in data.notes)


def test_date_and_time_of_day_in_two_columns_are_joined(tmp_path):
    table = [["Date", "Clock", "Temp"], *[[t.date(), t.time(), v] for t, v, _ in rows()]]
    same(load(book(tmp_path, *table)), [["t", "Temp"], *[[t, v] for t, v, _ in rows()]])


def test_days_alone_are_times(tmp_path):
    table: list[list[Any]] = [["Day", "Temp"]]
    table += [[date(2026, 1, 1) + timedelta(days=i), i / 4] for i in range(N)]
    same(load(book(tmp_path, *table)), table)


def test_durations_of_days_are_hours(tmp_path):
    table = [
        ["Time", "Temp", "Run"],
        *[[t, v, timedelta(hours=20, minutes=15 * i)] for i, (t, v, _) in enumerate(rows())],
    ]
    data = load(book(tmp_path, *table))
    np.testing.assert_allclose(data.streams[0].values[:, 1], 20 + np.arange(N) / 4)
    assert any("read as hours" in note for note in data.notes)


def test_texts_with_decimal_commas_and_numbers_share_a_column(tmp_path):
    times = [t for t, *_ in rows()]
    cells: list[Any] = [1.013 + i / 1000 if i % 2 else f"{1 + i},{i:02d}" for i in range(N)]
    numbers = [cell if type(cell) is float else float(cell.replace(",", ".")) for cell in cells]
    path = book(tmp_path, ["Time", "P"], *map(list, zip(times, cells, strict=True)))
    same(load(path), [["Time", "P"], *map(list, zip(times, numbers, strict=True))])


@pytest.mark.parametrize("decimal", [None, ".", ","])
def test_a_number_with_three_decimals_is_no_thousand(tmp_path, decimal):
    table = [["Time", "P"], *[[t, 1.001 + i / 1000] for i, (t, *_) in enumerate(rows())]]
    same(load(book(tmp_path, *table), decimal=decimal), table)


def test_errors_and_booleans_and_texts_of_numbers(tmp_path):
    table = [["Time", "A", "B", "C"]] + [
        [t, Error("#N/A") if i == 3 else Error("#DIV/0!") if i == 4 else 1.5 * i, i % 3 == 0,
         f" {i}.25"]
        for i, (t, *_) in enumerate(rows())
    ]  # fmt: skip
    data = load(book(tmp_path, *table))
    values = data.streams[0].values
    assert np.flatnonzero(np.isnan(values[:, 0])).tolist() == [3, 4]
    assert values[:4, 1:].tolist() == [[1, 0.25], [0, 1.25], [0, 2.25], [1, 3.25]]
    assert "2 cells of the workbook are errors (#N/A, #DIV/0!): read as not measured" in data.notes


def test_formulas_count_by_their_values(tmp_path):
    table = [HEAD, *[[t, Formula("B1+1", a), b] for t, a, b in rows()]]
    same(load(book(tmp_path, *table)))


def test_a_workbook_that_was_never_calculated_is_refused(tmp_path):
    table = [HEAD, *[[t, Formula("B1+1"), b] for t, _, b in rows()]]
    assert "40 formulas have no value, since no program has" in refused(book(tmp_path, *table))
    few = [HEAD, *rows(200)]
    few[7][1] = Formula("B1+1")
    data = load(book(tmp_path, *few))
    assert np.isnan(data.streams[0].values).sum() == 1
    assert "1 formulas have no value: read as not measured" in data.notes


def test_a_cell_merged_over_many_rows_stands_in_each(tmp_path):
    table = [
        ["Unit", *HEAD],
        *[["" if i % 10 else f"U{i // 10}", *r] for i, r in enumerate(rows())],
    ]
    xml = sheet_xml(table, merged=[f"A{2 + 10 * k}:A{11 + 10 * k}" for k in range(4)])
    path = workbook(tmp_path / "plant.xlsx", {"Data": xml})
    data = datasets.load(path, None, FileFormat(columns={"asset_id": "Unit"}))
    assert [(s.asset_id, len(s.timestamps)) for s in data.streams] == [(f"U{k}", 10) for k in
                                                                      range(4)]  # fmt: skip


def test_the_first_sheet_with_a_table_is_read_and_the_others_are_named(tmp_path):
    other = [HEAD, *[[t, 2 * a, b] for t, a, b in rows()]]
    sheets: dict[str, Any] = {
        "Cover": [["Report"], ["by", "Anna"]], "Secret": other, "Jan": TABLE, "Feb": other,
    }  # fmt: skip
    path = workbook(tmp_path / "year.xlsx", sheets, hidden=["Secret"])
    data = load(path)
    same(data)
    assert "read from the sheet 'Jan'; --sheet chooses another: Feb" in data.notes
    same(load(path, sheet="feb "), other)
    same(load(path, sheet="Secret"), other)
    message = refused(path, sheet="Mar")
    assert "--sheet: it has no sheet 'Mar', but Cover, Secret, Jan, Feb" in message


def test_a_hidden_sheet_is_read_if_there_is_no_other_table(tmp_path):
    path = workbook(tmp_path / "a.xlsx", {"Chart": [["see below"]], "Raw": TABLE}, hidden=["Raw"])
    data = load(path)
    same(data)
    assert "read from the sheet 'Raw' (hidden)" in data.notes


def test_a_workbook_without_a_table_is_refused(tmp_path):
    path = workbook(tmp_path / "a.xlsx", {"A": [["nothing here"]], "B": []})
    assert "holds no table of times and numbers (sheets: A, B)" in refused(path)


def test_cells_that_do_not_say_where_they_are(tmp_path):
    path = workbook(tmp_path / "a.xlsx", {"S": sheet_xml(TABLE, places=False)})
    same(load(path))


def test_names_that_mislead(tmp_path):
    text = "Time,Temp,Flow\n" + "".join(f"{t:%Y-%m-%d %H:%M},{a},{b}\n" for t, a, b in rows())
    path = tmp_path / "export.xlsx"
    path.write_text(text)
    data = load(path)
    same(data)
    assert "is no workbook, despite its name: read as text" in data.notes
    path.write_text("<html><body><table><tr><td>1</td></tr></table></body></html>")
    assert "is a web page or XML, not a table: open it in a spreadsheet program" in refused(path)
    same(load(book(tmp_path, *TABLE, name="plant.csv")))
    path.write_bytes(bytes(range(256)))
    assert "is no workbook, despite its name: " in refused(path)


def test_a_packed_workbook_is_refused(tmp_path):
    path = book(tmp_path, *TABLE)
    packed = tmp_path / "plant.xlsx.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert "holds a workbook or an archive: unpack it first" in refused(packed)
    packed = tmp_path / "plant.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(path, "plant.xlsx")
    assert "holds a workbook or an archive: unpack it first" in refused(packed)


@pytest.mark.parametrize("inner", ["zip of gz", "gz of gz", "gz of tar"])
def test_what_is_packed_twice_is_refused(tmp_path, inner):
    text = b"asset_id,timestamp,f\nA,2026-01-01,1.5\n" * 9
    path = tmp_path / ("plant.zip" if inner == "zip of gz" else "plant.csv.gz")
    if inner == "zip of gz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("plant.csv.gz", gzip.compress(text))
    elif inner == "gz of gz":
        path.write_bytes(gzip.compress(gzip.compress(text)))
    else:
        with tarfile.open(path, "w:gz") as archive:
            found = tarfile.TarInfo("plant.csv")
            found.size = len(text)
            archive.addfile(found, io.BytesIO(text))
    assert "holds a workbook or an archive: unpack it first" in refused(path)


def test_protected_workbooks_are_refused(tmp_path):
    path = tmp_path / "secret.xlsx"
    path.write_bytes(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
    )
    assert refused(path) == "secret.xlsx: is protected by a password: save it without one"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert refused(path).startswith("secret.xlsx: cannot be read as a workbook: ")


def test_dates_of_which_only_some_were_recognised_are_refused(tmp_path):
    table = [HEAD, *[[t if t.hour % 2 else f"{t:%d.%m.%Y %H:%M}", a, b] for t, a, b in rows()]]
    assert "column 1 holds dates and texts such as '01.01.2026 00:00'" in refused(
        book(tmp_path, *table)
    )


def test_lines_that_were_not_split_are_pointed_out(tmp_path):
    table = [["Time;Temp;Flow"], *[[f"{t};{a};{b}"] for t, a, b in rows()]]
    assert "lines such as '2026-01-01 00:00:00;50.0;3.125': split" in refused(
        book(tmp_path, *table)
    )


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_workbook_is_read_or_refused_in_a_sentence(tmp_path, seed):
    chance = random.Random(seed)
    raw = bytearray(book(tmp_path, *TABLE).read_bytes())
    if seed % 3:
        for _ in range(20):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    else:
        del raw[chance.randrange(len(raw)) :]
    path = tmp_path / "damaged.xlsx"
    path.write_bytes(raw)
    sentence_or_data(path)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_xml_is_read_or_refused_in_a_sentence(tmp_path, seed):
    chance = random.Random(seed)
    path = book(tmp_path, *TABLE)
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            raw = bytearray(old.read(name))
            for _ in range(3):
                raw[chance.randrange(len(raw))] = chance.choice(b'<>&"0A/')
            new.writestr(name, bytes(raw))
    path.write_bytes(out.getvalue())
    sentence_or_data(path)


def test_a_folder_of_workbooks_is_a_fleet(tmp_path):
    for name in ("P1.xlsx", "P2.xlsx"):
        book(tmp_path, *TABLE, name=name)
    (tmp_path / "~$P1.xlsx").write_bytes(b"\5Anna")  # while P1.xlsx is open
    data = datasets.load_files(datasets.files_of(str(tmp_path)))
    assert [stream.asset_id for stream in data.streams] == ["P1", "P2"]
    assert not any("left out" in note for note in data.notes)
