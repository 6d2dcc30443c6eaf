"""Text that stands for a number, or for the lack of one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from datasets.findings import Findings
from datasets.values.numbers import Nulls, is_number, missing, to_floats
from errors import DatasetError


def read(cells: list[str | None], decimal: str = ".", null: tuple[str, ...] = ()) -> np.ndarray:
    rows = np.arange(1, len(cells) + 1)
    found = Findings()
    column = pa.array(cells, pa.string())
    values = to_floats(column, "x", rows, decimal, Nulls(null, decimal), found)
    found.values.check(len(cells))
    return values


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [
        ("1.5", ".", 1.5), (" -2e3 ", ".", -2000.0), (".5", ".", 0.5), ("+3.", ".", 3.0),
        ("1,5", ",", 1.5), ("1,234.5", ".", 1234.5), ("1.234,5", ",", 1234.5),
        ("1 234 567", ".", 1234567.0), ("1'234.5", ".", 1234.5),
        ("\u22121.5", ".", -1.5), ("\u20131,5", ",", -1.5), ("- 1.5", ".", -1.5),
        ("\u22121 234,5", ",", -1234.5), ("\u2212 .5e3", ".", -500.0),
        ("-    1.5", ".", -1.5), ("+ 1.5", ".", 1.5), ("+     1,5", ",", 1.5),
        ("\u2212  7", ".", -7.0),
        ("1.5-", ".", -1.5), ("1.234,5 -", ",", -1234.5), ("7\u2212", ".", -7.0),
        (",5-", ",", -0.5),
    ],
)  # fmt: skip
def test_a_number_is_read_as_people_write_it(cell, decimal, value):
    assert is_number(cell, decimal)
    assert read([cell], decimal).tolist() == [value]


@pytest.mark.parametrize(
    "cell",
    [
        "", "NaN", "n/a", "Bad Input", "#DIV/0!", "I/O Timeout", "-", "-----", "....", "****", "OL",
        "[-11059] No Good Data For Calculation", "-254: I/O Timeout", "Kein Wert", "–",
        "[-11101] All data events are filtered in summary calculation", "Comm Lost", "{null}",
        "+OVER", "-over", "BURNOUT", "+++++++",
        "<NA>", "NaT", "(null)", r"\N", "#NV", "#WERT!", "#N/D", "#¡VALOR!", "#ИМЯ?", "#ZAHL!",
    ],
)  # fmt: skip
def test_what_says_that_nothing_was_measured_is_no_number(cell):
    assert missing(cell)
    assert np.isnan(read([cell])).all()


def test_why_nothing_was_measured_is_noted_with_its_rows():
    found = Findings()
    column = pa.array(["1", "Bad", "", "Bad"], pa.string())
    to_floats(column, "x", np.arange(1, 5), ".", Nulls(), found)
    assert found.states == {("x", "Bad"): [2, 4]}
    assert found.notes() == ["x: 'Bad' is read as not measured (2 readings, rows 2, 4)"]


@pytest.mark.parametrize("state", ["Störung", "Fault", "Wartung"])
def test_a_further_state_beside_on_and_off_may_be_a_fault_of_a_label(state):
    found = Findings()
    column = pa.array(["Ein", "Aus", state, "Ein", state], pa.string())
    to_floats(column, "Zustand", np.arange(1, 6), ".", Nulls(), found)
    (note,) = (note for note in found.notes() if repr(state) in note)
    assert "if it means a fault, --label Zustand reads the column as the label" in note


@pytest.mark.parametrize("text", ["#ff0000", "#12", "#pump", "#", "#5!"])
def test_what_only_begins_like_the_error_of_a_cell_is_a_text(text):
    assert not missing(text)


def test_a_cell_of_signs_that_cannot_be_typed_is_not_offered_as_an_option():
    with pytest.raises(DatasetError, match=r"not a number: --exclude 'x'") as caught:
        read(["\0\0\0"])
    assert "\0" not in str(caught.value)


def test_a_callers_code_is_missing_as_text_and_as_number():
    assert np.isnan(read(["-999", "-999.0", "void"], null=("-999", "void"))).all()
    np.testing.assert_array_equal(Nulls(("0",)).blank(np.array([0.0, 1.0])), [np.nan, 1.0])


def test_a_switch_is_zero_or_one_unless_it_stands_among_numbers():
    assert read(["on", "off", "Yes", "false"]).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert read(["ИСТИНА", "ЛОЖЬ", "Sim", "Não", "PRAWDA", "FAŁSZ"]).tolist() == [1.0, 0.0] * 3
    with pytest.raises(DatasetError, match="row 2: column 'x' holds 'on' among numbers"):
        read(["17.5", "on"])
    np.testing.assert_array_equal(read(["17.5", "On"], null=("on",)), [17.5, np.nan])


@pytest.mark.parametrize(
    ("cell", "decimal", "hint"),
    [
        ("1,5", ".", "a decimal comma"), ("12.345.678,x", ",", "--null"),
        ("inf", ".", "is not finite"), ("pump", ".", "--exclude 'x'"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_named_with_what_helps(cell, decimal, hint):
    with pytest.raises(DatasetError, match="row 1: ") as caught:
        read([cell], decimal)
    assert hint in str(caught.value)
    assert caught.value.field == "x"
