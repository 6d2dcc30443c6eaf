"""Read columns whose cells hold a number with its unit, such as ``12.5 bar``.

A suffix that scales (``1.2 K`` is 1,200; ``50 %`` is 0.5; ``122 °F`` is 50 degrees elsewhere) must
follow each number of a column: without it a number may mean something else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from itertools import combinations
from operator import itemgetter
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from datasets.unreadable import ONE_OF
from datasets.values.numbers import is_number, missing

#: A number, then a unit: it begins with a letter or sign and has no blank.
_WITH_UNIT: Final = re.compile(
    r"(?P<number>(?:\+|[-\u2212\u2013]\s?)?"
    r"[\d.,'\u2019]+(?:\s\d{3}(?!\d))*(?:[.,]\d+)?(?:[eE][+-]?\d+)?)\s*"
    r"(?P<unit>(?:[%‰°Ω]|[^\W\d_])\S{0,11})"
)
#: Suffixes that scale a number: alone, or before a unit of measurement.
_PREFIX: Final = "kKMGTBmµμun"
_ALONE: Final = re.compile(
    rf"[{_PREFIX}]|[%‰°].*|pp[mb]|[KMGTPE]i|[MBTmb]il|Tri|mln|mrd|(?:Mio|Mrd|Tsd)\.?|C|F"
)
_PREFIXED: Final = re.compile(
    rf"(?P<prefix>[{_PREFIX}hdc]i?)"
    r"(?P<base>Wh?|Pa|Hz|VA?|var|Ah?|Nm?|J|g|s|m|m/s|[lL](?:/min)?|bar|Ω|Ohm|[bB](?:/s)?|bit|bps|"
    r"cal|mol|S|F|H|T)"
)


def unit_of(cells: Collection[str]) -> str:
    """Return the unit after the numbers of most cells, or ``""``.

    Missing cells do not count. The other cells must be bare numbers or have the same unit, except
    as few as :mod:`datasets.unreadable` takes as not measured.
    """
    filled = [cell.strip() for cell in cells if not missing(cell)]
    units = _units(filled)
    unit, often = max(units.items(), key=itemgetter(1), default=("", 0))
    few_others = ONE_OF * (units.total() - often) <= len(filled)
    return unit if 2 * often > len(filled) and few_others else ""


def mixed_scales(cells: Collection[str]) -> tuple[str, str] | None:
    """Return two cells of a column whose numbers are scaled differently; None if none are.

    As few cells as :mod:`datasets.unreadable` takes as not measured do not count, nor does 0.
    """
    filled = [cell.strip() for cell in cells if not missing(cell)]
    often = {unit for unit, count in _units(filled).items() if ONE_OF * count > len(filled)}
    if not often or "" in often:
        return None
    shown = {unit: next(cell for cell in filled if _unit(cell) == unit) for unit in often}
    for unit in filter(scales, shown):
        alone = [cell for cell in filled if _is_bare(cell) and not means_the_same(cell, unit)]
        if ONE_OF * len(alone) > len(filled):
            return shown[unit], alone[0]
    for unit, other in combinations(shown, 2):
        if _bases(unit) & _bases(other):
            return shown[unit], shown[other]
    return None


def scales(unit: str) -> bool:
    """Return whether a number with this suffix differs from the same number without it."""
    return bool(_ALONE.fullmatch(unit) or _PREFIXED.fullmatch(unit))


def means_the_same(cell: str, unit: str) -> bool:
    """Return whether a bare number is the same with a unit that scales: 0, but not 0 degrees."""
    return not unit.startswith("°") and not re.search("[1-9]", cell)


def differ(unit: str, other: str) -> bool:
    """Return whether two units measure the same in different scales: °C and °F, bar and mbar."""
    first, second = plain_unit(unit), plain_unit(other)
    return first != second and bool(_bases(first) & _bases(second))


def plain_unit(unit: str) -> str:
    """Return a unit without brackets and the sign of degrees: C for °C, [°C], degC and C."""
    return re.sub(r"^[\[(]?(?:[°º]\s?|deg\s?(?=[CF]))?|[\])]$", "", unit.strip())


def bare(cells: Collection[str]) -> list[str]:
    """Return the cells of a column, stripped, and without their unit."""
    unit = unit_of(cells)
    return [cell.strip().removesuffix(unit).rstrip() for cell in cells]


def without_unit(column: Any, unit: str) -> Any:
    """Return a text column (pyarrow) with ``unit`` removed from its cells."""
    return pc.replace_substring_regex(column, _ends_with(unit), r"\1")


def in_another_unit(column: Any, unit: str) -> list[int]:
    """Return the rows of a text column (pyarrow) whose numbers have a unit, and not ``unit``."""
    other = pc.and_(
        pc.match_substring_regex(column, r"^\s*[+-]?[.,]?\d"),
        pc.invert(pc.match_substring_regex(column, rf"(?:{_ends_with(unit)})|\d\s*$")),
    )
    rows = np.flatnonzero(pc.fill_null(other, False).to_numpy(zero_copy_only=False))
    return [int(row) for row in rows if _unit(column[int(row)].as_py().strip())]


def _ends_with(unit: str) -> str:
    """Return a pattern (Arrow's) of the unit at the end of a cell; bar does not end 5 mbar.

    What is before it may be no number: NaN bar.
    """
    return rf"(^|[^\p{{L}}°º/])\s*{re.escape(unit)}\s*$"


def _units(filled: Collection[str]) -> Counter[str]:
    """Count the units after the numbers; cells that are no numbers have the unit ``""``."""
    return Counter(_unit(cell) for cell in filled if not _is_bare(cell))


def _is_bare(cell: str) -> bool:
    return any(is_number(cell, sign) for sign in ".,")


def _bases(unit: str) -> set[str]:
    """Return what a unit may measure without its scale: m may be metres, or thousandths."""
    match = _PREFIXED.fullmatch(unit)
    return {unit, *([match["base"]] if match else []), *([""] if _ALONE.fullmatch(unit) else [])}


def _unit(cell: str) -> str:
    match = _WITH_UNIT.fullmatch(cell)
    if match is None or not any(is_number(match["number"], sign) for sign in ".,"):
        return ""
    return match["unit"]
