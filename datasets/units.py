"""Read columns whose cells hold a number with its unit, such as ``12.5 bar``."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

import pyarrow.compute as pc

from datasets.numbers import is_number, missing

#: A number, then a unit: it begins with a letter or sign and has no blank.
_WITH_UNIT: Final = re.compile(
    r"(?P<number>[+-]?[\d.,'\u2019]+(?:[eE][+-]?\d+)?)\s*(?P<unit>(?:[%‰°Ω]|[^\W\d_])\S{0,11})"
)


def unit_of(cells: Collection[str]) -> str:
    """Return the unit after the numbers of most cells, or ``""``.

    Missing cells do not count. All other cells must be bare numbers or have the same unit.
    """
    filled = [cell.strip() for cell in cells if not missing(cell)]
    units = [_unit(cell) for cell in filled if not any(is_number(cell, sign) for sign in ".,")]
    return units[0] if len(set(units)) == 1 and 2 * len(units) > len(filled) else ""


def bare(cells: Collection[str]) -> list[str]:
    """Return the cells of a column, stripped, and without their unit."""
    unit = unit_of(cells)
    return [cell.strip().removesuffix(unit).rstrip() for cell in cells]


def without_unit(column: Any, unit: str) -> Any:
    """Return a text column (pyarrow) with ``unit`` removed from its cells."""
    return pc.replace_substring_regex(column, rf"\s*{re.escape(unit)}\s*$", "")


def _unit(cell: str) -> str:
    match = _WITH_UNIT.fullmatch(cell)
    if match is None or not any(is_number(match["number"], sign) for sign in ".,"):
        return ""
    return match["unit"]
