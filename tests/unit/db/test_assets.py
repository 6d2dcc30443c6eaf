"""The CSV of assets is read whole, or its line at fault is named."""

from __future__ import annotations

import io

import pytest

from db.assets import read_csv
from errors import DatasetError


def test_columns_are_found_by_name_and_others_passed_over() -> None:
    lines = "site,criticality,asset_id\nZ, High ,A\nZ,low, B \nZ,high,A\n"
    assert read_csv(io.StringIO(lines)) == {"A": "high", "B": "low"}


def test_a_spreadsheets_mark_at_the_beginning_belongs_to_no_column() -> None:
    lines = "\ufeffasset_id,criticality\r\nA,high\r\n"
    assert read_csv(io.StringIO(lines, newline="")) == {"A": "high"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "lacks the column asset_id, criticality"),
        ("asset_id\nA\n", "lacks the column criticality"),
        ("asset_id,criticality\nA,grave\n", "line 2: criticality: 'grave' is none of"),
        ("asset_id,criticality\nA\n", "line 2: criticality: ''"),
        ("asset_id,criticality\n ,low\n", "line 2: asset_id"),
        ("asset_id,criticality\nA,low\nA,high\n", "A has two criticalities, low and high"),
    ],
)
def test_the_line_at_fault_is_named(lines: str, message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_csv(io.StringIO(lines))
    assert message in caught.value.message
