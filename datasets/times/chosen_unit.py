"""Check that numbers are times of our days in the unit of time that the caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from datasets.format import TIME_UNITS
from datasets.sampled_columns import plain_name
from datasets.times.epochs import EPOCHS, is_counted, likely_epoch
from datasets.times.time_formats import epoch_unit
from datasets.values.numbers import is_number
from errors import DatasetError

#: Numbers that count from 1970 to less than a year later may count from the start of a test.
_YEAR_S: Final = 365 * 86_400


def check_unit(unit: str, cells: Sequence[str]) -> list[str]:
    """Refuse numbers that are times of our days in another unit than the caller's.

    If they may count from the start of a test, or are of no unit's days, a note says it.

    Parameters
    ----------
    unit : of TIME_UNITS or EPOCHS.
    cells : some of the numbers.

    Returns
    -------
    list of str
        The note, if there is one.

    Raises
    ------
    DatasetError
        Names the unit that the numbers look like.
    """
    cells = [cell for cell in cells if is_number(cell) or is_number(cell, ",")]
    if unit in TIME_UNITS:
        fits = epoch_unit(cells) == unit
    else:
        fits = any(is_counted(cell, unit) for cell in cells)
    if fits or not cells:
        return []
    other = epoch_unit(cells) or likely_epoch(cells)
    if not other:
        odd = f"times such as {cells[0]} are not of our days by --time-unit {unit}"
        return [odd] if unit in EPOCHS else []
    what = EPOCHS[other].what if other in EPOCHS else f"{other} since 1970"
    problem = f"times such as {cells[0]} look like {what}: --time-unit {other} reads them so"
    ticks = float(cells[0].replace(",", "."))
    if unit in TIME_UNITS and ticks < TIME_UNITS[unit] * _YEAR_S:
        return [f"{problem}, not as {unit} since the start"]
    raise DatasetError(f"{problem}, not --time-unit {unit}", field="timestamp")


def check_gps(name: str, cells: Sequence[str]) -> None:
    """Refuse seconds that GPS may have counted: read since 1970 they are ten years too early.

    Parameters
    ----------
    name, cells : the name of the column of times, and some of its cells.

    Raises
    ------
    DatasetError
        Names the two units.
    """
    if "gps" not in plain_name(name) or epoch_unit(cells[:40]) != "s":
        return
    if all(is_counted(cell, "gps") for cell in cells):
        raise DatasetError(
            f"column {name!r} holds numbers such as {cells[0]}: --time-unit gps reads them as"
            f" {EPOCHS['gps'].what}, --time-unit s as those since 1970",
            field="timestamp",
        )
