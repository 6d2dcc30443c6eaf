"""Workbooks of Excel 97 (.xls), binary ones (.xlsb) and OpenDocument (.ods) are read like .xlsx."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
from datasets import FileFormat
from datasets.workbooks import workbook_checks
from errors import DatasetError
from tests.unit.datasets.workbooks.binary_workbooks import (
    compound,
    excel_5,
    xls,
    xls_stream,
    xlsb,
    xlsb_sheet,
)
from tests.unit.datasets.workbooks.open_documents import ods, table_xml
from tests.unit.datasets.workbooks.workbook_files import Error, Formula

START = datetime(2026, 1, 1)
HEAD = ["Time", "Temp", "Flow"]
TABLE: list[list[Any]] = [
    HEAD,
    *[[START + i * timedelta(milliseconds=100), 50 + i / 3, 0.1 * i] for i in range(1050)],
]
WRITERS: dict[str, Callable[..., Path]] = {".xls": xls, ".xlsb": xlsb, ".ods": ods}
Write = Callable[..., Path]


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Return what writes a workbook of each kind."""

    def written(sheets: Any, name: str = f"plant{request.param}", **options: Any) -> Path:
        return WRITERS[request.param](tmp_path / name, sheets, **options)

    return written


def load(path: Path, **options: Any) -> datasets.Dataset:
    return datasets.load(path, None, FileFormat(asset_id="P1", **options))


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as error:
        load(path, **options)
    assert error.value.message.startswith(f"{path.name}: ")
    return error.value.message


def same(data: datasets.Dataset, table: list[list[Any]] = TABLE) -> None:
    """Check that a table was read, whose first column is the time."""
    assert data.feature_names == table[0][1:]
    times = np.array([row[0] for row in table[1:]], "datetime64[us]")
    np.testing.assert_array_equal(data.streams[0].timestamps, times)
    np.testing.assert_array_equal(data.streams[0].values, [row[1:] for row in table[1:]])


def test_times_and_numbers_are_read_as_they_are(write):
    same(load(write({"Data": TABLE})))


@pytest.mark.parametrize("name", ["plant.xlsx", "plant.csv", "plant.xls", "plant.ods"])
def test_the_content_counts_and_not_the_name(write, name):
    same(load(write({"Data": TABLE}, name)))


@pytest.mark.parametrize("written", [xls, xlsb])
def test_dates_count_from_1904_if_the_workbook_says_so(tmp_path, written):
    same(
        load(written(tmp_path / "mac", {"Data": TABLE}, from_1904=True).rename(tmp_path / "m.xls"))
    )


def test_days_alone_and_times_of_day_are_read(write):
    table: list[list[Any]] = [["Day", "Temp"]]
    table += [[date(2026, 1, 1) + timedelta(days=i), i / 4] for i in range(40)]
    same(load(write({"Data": table})), table)
    joined = [
        ["Date", "Clock", "Temp"],
        *[[date(2026, 1, 1), time(i, 30), i / 4] for i in range(9)],
    ]
    times = load(write({"Data": joined})).streams[0].timestamps
    assert [str(at)[:16] for at in times[:2]] == ["2026-01-01T00:30", "2026-01-01T01:30"]


def test_durations_of_days_are_hours(write):
    table: list[list[Any]] = [["Time", "Temp", "Run"]]
    table += [
        [t, v, timedelta(hours=20, minutes=15 * i)] for i, (t, v, _) in enumerate(TABLE[1:41])
    ]
    data = load(write({"Data": table}))
    np.testing.assert_allclose(data.streams[0].values[:, 1], 20 + np.arange(40) / 4)


def test_errors_are_missing_and_formulas_have_their_stored_values(write):
    table = [list(row) for row in TABLE[:41]]
    table[3][1], table[4][1], table[5][2] = Error("#N/A"), Error("#DIV/0!"), Formula("1", 7.25)
    values = load(write({"Data": table})).streams[0].values
    assert np.isnan(values[2:4, 0]).all()
    assert np.isnan(values).sum() == 2
    assert values[4, 1] == 7.25


def test_sheets_are_chosen_as_in_other_workbooks(write):
    other = [["Time", "Speed"], *[[t, v] for t, v, _ in TABLE[1:]]]
    path = write({"Notes": [["Pump 3"]], "Old": other, "Data": TABLE}, hidden=["Old"])
    data = load(path)
    same(data)
    assert any("read from the sheet 'Data'" in note for note in data.notes)
    assert load(path, sheet="old").feature_names == ["Speed"]
    assert "--sheet: it has no sheet 'New', but Notes, Old, Data" in refused(path, sheet="New")


def test_sheets_with_the_same_columns_are_one_table(write):
    path = write({"Jan": TABLE[:500], "Feb": [HEAD, *TABLE[500:]]})
    same(datasets.load_files([path], None, FileFormat(asset_id="P1")))


def test_a_merged_cell_of_excel_97_stands_in_each_row(tmp_path):
    table = [["Time", "Temp", "Asset"], *[[t, v, None] for t, v, _ in TABLE[1:21]]]
    table[1][2], table[11][2] = "A", "B"
    stream = xls_stream({"Data": table}, merged=[(1, 10, 2, 2), (11, 20, 2, 2)])
    data = datasets.load(compound(tmp_path / "a.xls", stream))
    assert [(s.asset_id, len(s.values)) for s in data.streams] == [("A", 10), ("B", 10)]


def test_passwords_are_named(tmp_path):
    for number in (0, 1):
        stream = xls_stream({"Data": TABLE}, password=True)
        stream = stream.replace(b"\x2f\0\x36\0\0\0", bytes([0x2F, 0, 0x36, 0, number, 0]))
        path = compound(tmp_path / "a.xls", stream)
        assert "is protected by a password: save it without one" in refused(path)
    path = ods(tmp_path / "a.ods", {"Data": TABLE}, manifest="<manifest:encryption-data/>")
    assert "is protected by a password: save it without one" in refused(path)


def test_a_spreadsheet_that_was_never_calculated_is_refused(tmp_path):
    table = [HEAD, *[[t, Formula("B2"), v] for t, v, _ in TABLE[1:]]]
    message = refused(ods(tmp_path / "a.ods", {"Data": table}))
    assert "1,050 formulas have no value, since no program has calculated them" in message


def test_bombs_are_refused(tmp_path, monkeypatch):
    cells = '<table:table-cell table:number-columns-repeated="16384" office:value-type="float"'
    rows = f'{cells} office:value="1"/></table:table-row>'
    rows = f'<table:table-row table:number-rows-repeated="1000000">{rows}'
    bomb = ods(tmp_path / "a.ods", {"D": f'<table:table table:name="D">{rows}</table:table>'})
    assert "cannot be read as a workbook: Cell limit exceeded" in refused(bomb)
    # two rows, as far apart as they can be
    far = xlsb_sheet([[1.0], [1.0] * 16_384], apart=1_048_575)
    assert "takes more than 4 GiB of memory" in refused(xlsb(tmp_path / "a.xlsb", {"D": far}))
    far = xlsb_sheet([[1.0], [1.0] * 40], apart=1_048_575)
    message = refused(xlsb(tmp_path / "a.xlsb", {"D": far}))
    assert "has cells up to row 1,048,576 and column 40: export the table" in message
    monkeypatch.setattr(workbook_checks, "_MOST_BYTES", 4096)
    assert "has more than 0 MiB: export" in refused(xls(tmp_path / "a.xls", {"D": TABLE}))
    for path in (ods(tmp_path / "b.ods", {"D": TABLE}), xlsb(tmp_path / "b.xlsb", {"D": TABLE})):
        assert "unpacks to more than 0 MiB: export" in refused(path)


def test_other_documents_are_refused(tmp_path):
    text = ods(tmp_path / "a.ods", {"D": TABLE}, mime="application/vnd.oasis.opendocument.text")
    assert "is an OpenDocument file, but no spreadsheet" in refused(text)
    word = compound(tmp_path / "a.xls", xls_stream({"D": TABLE}), name="WordDocument")
    assert "cannot be read as a workbook" in refused(word)
    bare = tmp_path / "b.ods"
    with zipfile.ZipFile(bare, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
    assert "is no workbook, though it looks like one" in refused(bare)


def test_damaged_files_are_a_sentence(write):
    path = write({"Data": TABLE[:100]})
    raw = path.read_bytes()
    for seed in range(6):
        dice = random.Random(seed)
        content = bytearray(raw[: len(raw) * (4 + seed % 2) // 5])
        for _ in range(9):
            content[dice.randrange(600)] = dice.choice([0, 1, 255])
        path.write_bytes(bytes(raw[:8]) + bytes(content[8:]))
        problem = None
        try:
            load(path)
        except DatasetError as error:
            problem = error.message
        assert problem is None or problem.startswith(f"{path.name}: ")


def test_damage_that_ends_the_reading_process_is_a_sentence(tmp_path):
    """One byte makes a number the dimensions of the sheet: the library asks for petabytes."""
    stream = xls_stream({"Data": TABLE})
    damaged = stream.replace(b"\x03\x02\x0e\0", b"\0\x02\x0e\0", 100)
    path = compound(tmp_path / "a.xls", damaged)
    assert "is damaged, or takes more than 4 GiB of memory to read: open it" in refused(path)


def test_a_reading_process_that_cannot_start_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.workbooks.workbook_process.sys.executable", "/bin/false")
    path = xls(tmp_path / "a.xls", {"Data": TABLE})
    assert "cannot be read as a workbook: the process that reads it failed" in refused(path)


def test_modules_of_the_working_folder_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "errors.py").write_text("raise SystemExit(9)\n")
    (tmp_path / "datasets.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    same(load(xls(tmp_path / "a.xls", {"Data": TABLE}).relative_to(tmp_path)))


def test_a_workbook_of_excel_5_is_read(tmp_path):
    same(load(compound(tmp_path / "a.xls", excel_5(TABLE), name="Book")))


def test_annotated_cells_and_repeated_ones_are_read(tmp_path):
    xml = table_xml("D", TABLE[:21]).replace(
        '<table:table-cell office:value-type="float" office:value="50.0">',
        '<table:table-cell office:value-type="float" office:value="50.0"><office:annotation>'
        "<text:p>checked</text:p></office:annotation>",
    )
    same(load(ods(tmp_path / "a.ods", {"D": xml})), TABLE[:21])
