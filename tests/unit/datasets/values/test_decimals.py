"""Which decimal sign a column has: by its own cells, by others, or as the caller says."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from datasets.values.decimals import Decimals

LEADS_UP = ["987", "999", "1,001", "1,013", "1,150"]


def pointed(cells: Collection[str]) -> list[str]:
    """The same cells with points for commas, and commas for points."""
    return [cell.translate(str.maketrans(".,", ",.")) for cell in cells]


@pytest.mark.parametrize(
    "cells",
    [
        ["1,5", "2"], ["0,123"], ["1234,567"], ["2.003,75"], ["2.003,750"], ["2 003,75"],
        ["2\u202f003,75"], ["2'003,75"], ["1.234.567"], ["-,5"], ["1,5e3"], ["4,970", "4,97"],
    ],
)  # fmt: skip
def test_a_cell_that_can_only_be_read_in_one_way_decides_for_its_column(cells: list[str]) -> None:
    found = Decimals([cells, ["1.5"], pointed(cells), ["7"], None])
    assert [found.sign(index) for index in range(5)] == [",", ".", ".", ".", "."]
    assert not found.problems


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_whole_numbers_that_lead_up_to_a_thousand_show_what_separates_it(delimiter: str) -> None:
    for other in (["1.5"], ["1,5"], ["7"]):
        found = Decimals([LEADS_UP, other], delimiter)
        assert found.sign(0) == "."
        assert found.thousands == {0: "1,001"}
        assert Decimals([pointed(LEADS_UP), other], delimiter).sign(0) == ","
    # one alone is no habit where the sign stands before decimals elsewhere
    assert Decimals([["987", "1,013"], ["1,5"]], delimiter).problems
    # and whole numbers that are far away, or larger, do not lead up to it
    assert not Decimals([["120", "9.013"]], delimiter).thousands
    assert not Decimals([["2750", "1.013"]], delimiter).thousands


@pytest.mark.parametrize(
    ("columns", "delimiter", "signs"),
    [
        ([["4,970"], ["1,5"]], "\t", ",,"),
        ([["4.970"], ["1.5"]], ";", ".."),
        ([["4,970"]], ";", ","),  # as semicolons are where commas are decimal signs
        ([["4.970"]], ",", "."),
        ([["4,970"], ["1.5"]], ",", ".."),  # an English file, since commas separate its columns
        ([["4,970"], ["1,234.5"]], "\t", ".."),  # commas separate thousands elsewhere
        ([["4.970"], ["1.234.567"]], ";", ",,"),
        ([["4,970"], LEADS_UP], "\t", ".."),
        ([["4,970"]], "\t", "?"),
        ([["4,970"]], ",", "?"),
        ([["4,970"], ["1.5"]], ";", "?."),
        ([["4.970"], ["1,5"]], ";", "?,"),
        ([["4,970"], ["4.970"]], ";", "??"),
        ([["4,970", "4.970"]], ";", "?"),
        ([["1,5", "1.5"]], ";", "?"),
        ([["1,5", *(f"{i}.5" for i in range(200))]], ";", "."),  # one is an accident
        ([["4.5", *(f"1,{i}" for i in range(100, 300))]], ";", ","),  # and decides nothing
    ],
)
def test_a_column_that_does_not_decide_is_read_as_the_others_or_not_at_all(
    columns: list[list[str]], delimiter: str, signs: str
) -> None:
    found = Decimals(columns, delimiter)
    shown = ["?" if i in found.problems else found.sign(i) for i in range(len(columns))]
    assert "".join(shown) == signs
    for given in ",.":  # the caller decides for what is unclear, and for nothing else
        settled = Decimals(columns, delimiter, given)
        assert not settled.problems
        assert all(settled.sign(i) == given for i, sign in enumerate(signs) if sign == "?")


def test_further_cells_are_taken_into_account() -> None:
    found = Decimals([["987"], ["1.5"]], ";")
    assert found.sign(0) == "."
    found.add({0: ["1.001", "1.013", "1.150"]})
    assert (found.sign(0), found.thousands) == (",", {0: "1.001"})
