"""Cells of columns are read as numbers: thousands, units, states; what is no number is named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import datasets
from errors import DatasetError
from tests.unit.datasets.plant_files import Load, readings, same, table


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


@pytest.mark.filterwarnings("error")
def test_many_values_near_the_limits_of_a_float_are_read_without_a_word(load: Load) -> None:
    text = "asset_id,timestamp,f\n" + "".join(f"A,2026-01-{i:02d},1e308\n" for i in range(1, 29))
    assert load(text).notes == []


def test_values_that_mean_not_measured(load: Load) -> None:
    text = "asset_id,timestamp,f,g\nA,2026-01-01,-200,5\nA,2026-01-02,1,-999.0\nA,2026-01-03,x,3\n"
    data = load(text, null=["-200", "-999", "x"])
    expected = [[np.nan, 5], [1, np.nan], [np.nan, 3]]
    np.testing.assert_array_equal(data.streams[0].values, expected)


@pytest.mark.parametrize("text", [r"\void", "not a number"])
def test_the_option_that_reads_a_text_as_missing_can_be_typed_as_shown(
    load: Load, text: str
) -> None:
    table = "asset_id,timestamp,f\n" + f"A,2026-01-01,{text}\nA,2026-01-02,1.5\n" * 20
    with pytest.raises(DatasetError, match=f"--null '{re.escape(text)}' reads it as missing"):
        load(table)
    assert np.isnan(load(table, null=[text]).streams[0].values).sum() == 1  # the same 20 times


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


def test_a_longer_unit_that_ends_alike_is_named_with_its_cell(load: Load) -> None:
    head = "asset_id,timestamp,p\n"
    bars = [f"P1,{i},{i % 7 + 0.5} bar" for i in range(300)]
    other = [f"P1,{i},{i % 7 + 4000} mbar" for i in range(300, 400)]
    message = "row 301: column 'p' holds '4006 mbar' among numbers in 'bar': convert it"
    with pytest.raises(DatasetError, match=message):
        load(head + "\n".join([*bars, *other]) + "\n", time_unit="s")
    data = load(head + "\n".join([*bars, *other[:2]]) + "\n", time_unit="s")
    assert np.flatnonzero(np.isnan(data.streams[0].values[:, 0])).tolist() == [300, 301]
    assert any(message in note for note in data.notes)


@pytest.mark.parametrize("cell", ["NaN bar", "--- bar", "n/a bar"])
def test_what_is_not_measured_may_have_a_unit(load: Load, cell: str) -> None:
    cells = [cell if i > 2000 and i % 3 else f"{i % 7 + 0.5} bar" for i in range(4000)]
    data = load("asset_id,timestamp,p\n" + "".join(f"P1,{i},{c}\n" for i, c in enumerate(cells)),
                time_unit="s")  # fmt: skip
    expected = [each == cell for each in cells]
    np.testing.assert_array_equal(np.isnan(data.streams[0].values[:, 0]), expected)


def test_temperatures_in_two_units_are_not_called_hexadecimal(load: Load) -> None:
    rows = "\n".join(f"P1,{i},{'70F' if i % 2 else '21C'}" for i in range(300))
    with pytest.raises(DatasetError, match=r"'.*' and '.*', which are not in the same unit"):
        load("asset_id,timestamp,p\n" + rows + "\n", time_unit="s")


def test_hexadecimal_numbers_are_called_so(load: Load) -> None:
    rows = "\n".join(f"P1,{i},{i + 0x4B0:04X}" for i in range(300))
    with pytest.raises(DatasetError, match=r"column 'p' holds .*: hexadecimal numbers"):
        load("asset_id,timestamp,p\n" + rows + "\n", time_unit="s")


@pytest.mark.parametrize("at", [20, 1500])  # among the first cells, which show the unit, or not
def test_a_rare_cell_of_another_unit_is_not_measured_and_named(load: Load, at: int) -> None:
    cells = [f"{i} bar" for i in range(2000)]
    cells[at] = f"{at} psi"
    rows = "".join(f"A,{i},{cell}\n" for i, cell in enumerate(cells))
    data = load("asset_id,timestamp,p\n" + rows, time_unit="s")
    assert np.isnan(data.streams[0].values[:, 0]).nonzero()[0].tolist() == [at]
    assert any(f"row {at + 1}: column 'p' holds '{at} psi'" in note for note in data.notes)


def test_exports_put_on_end_repeat_the_names(load: Load) -> None:
    values = readings(200)
    head, *rows = table(values).splitlines()
    parts = [
        line for i, row in enumerate(rows) for line in ((head, row) if i % 20 == 19 else (row,))
    ]
    data = load("\n".join([head, *parts]) + "\n")
    same(data, values)
    assert "10 lines repeat the names and are left out" in data.notes


@pytest.mark.parametrize(
    ("on", "off"), [("WAHR", "FALSCH"), ("Ein", "Aus"), ("VRAI", "FAUX"), ("ja", "nein")]
)
def test_switches_in_other_languages(load: Load, on: str, off: str) -> None:
    rows = "".join(f"P1,2026-01-{i + 1:02d},{on if i % 3 else off}\n" for i in range(31))
    data = load(f"asset_id,timestamp,motor\n{rows}")
    assert data.streams[0].values[:4, 0].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("head", ["asset_id,timestamp,a,vib", "asset_id,timestamp,vib,a"])
def test_a_second_table_below_the_first_is_refused(tmp_path: Path, head: str) -> None:
    rows = [f"P1,2026-01-01T{i // 60:02d}:{i % 60:02d}Z,{i}.5,{i % 7}.25" for i in range(400)]
    path = tmp_path / "plant.csv"
    top = "asset_id,timestamp,vib,temp"
    path.write_text("\n".join([top, *rows[:200], "", head, *rows[200:]]))
    with pytest.raises(DatasetError) as error:
        datasets.load(path)
    assert error.value.message.startswith("plant.csv: row 201 names other columns (")
    assert "a second table begins there" in error.value.message
    path.write_text("\n".join([top, *rows[:200], "", top, *rows[200:]]))
    assert "1 lines repeat the names and are left out" in datasets.load(path).notes


def test_switches_are_said_and_a_word_for_off_among_modes_is_none(load: Load) -> None:
    modes = ["Auto", "Auto", "Manual", "Off"]
    rows = [(("On", "Off")[i % 2], modes[i % 4], i % 7) for i in range(60)]
    text = "asset_id,timestamp,run,Mode,f\n" + "".join(
        f"A,2026-01-01T00:{i:02d}:00Z,{run},{mode},{f}\n" for i, (run, mode, f) in enumerate(rows)
    )
    data = load(text)
    assert data.feature_names == ["run", "f"]
    assert data.streams[0].values[:2, 0].tolist() == [1, 0]
    assert "run: read as 0 and 1" in data.notes
    assert "column 'Mode' holds no number (Auto, Manual, Off): left out" in data.notes


@pytest.mark.parametrize("blank", [" ", "\xa0", "\u202f"])
def test_thousands_set_apart_by_blanks_may_have_a_unit(load: Load, blank: str) -> None:
    cells = [f"1{blank}0{i},5{blank}mbar" if i % 2 else f"{i},5{blank}mbar" for i in range(10, 60)]
    rows = [f"A;2026-01-01T00:{i:02d}:00Z;{cell}" for i, cell in enumerate(cells)]
    data = load("asset_id;timestamp;p\n" + "\n".join(rows) + "\n")
    assert data.streams[0].values[:3, 0].tolist() == [10.5, 1011.5, 12.5]
    assert "column 'p' holds 'mbar' after each number: read without it" in data.notes
