"""Read columns whose cells hold a number with its unit, such as ``12.5 bar``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from operator import itemgetter
from typing import Any, Final

import pyarrow.compute as pc

from datasets.numbers import is_number, missing
from datasets.unreadable import ONE_OF

#: A number, then a unit: it begins with a letter or sign and has no blank.
_WITH_UNIT: Final = re.compile(
    r"(?P<number>[+-]?[\d.,'\u2019]+(?:[eE][+-]?\d+)?)\s*(?P<unit>(?:[%‰°Ω]|[^\W\d_])\S{0,11})"
)


def unit_of(cells: Collection[str]) -> str:
    """Return the unit after the numbers of most cells, or ``""``.

    Missing cells do not count. The other cells must be bare numbers or have the same unit, except
    as few as :mod:`datasets.unreadable` takes as not measured.
    """
    filled = [cell.strip() for cell in cells if not missing(cell)]
    units = Counter(
        _unit(cell) for cell in filled if not any(is_number(cell, sign) for sign in ".,")
    )
    unit, often = max(units.items(), key=itemgetter(1), default=("", 0))
    few_others = ONE_OF * (units.total() - often) <= len(filled)
    return unit if 2 * often > len(filled) and few_others else ""


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
