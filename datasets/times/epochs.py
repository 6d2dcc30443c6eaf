"""Read numbers that count from other beginnings than 1970, and tell which they look like.

In our days each of them has a size of its own, except those of GPS: its seconds of today are those
of 2014 since 1970. Only a column's name tells them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_DAY_US: Final = 86_400 * 10**6
#: Times that readings have, in microseconds since 1970: from 1990 until next year.
_EARLIEST_US: Final = 20 * 365 * _DAY_US
#: A spreadsheet's days of 1954 to 2119, which few other numbers in a column of times are.
_SPREADSHEET: Final = (20_000, 80_000)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What some numbers count.

    Parameters
    ----------
    begin_us : when they begin, in microseconds since 1970.
    tick_us : the length of one, in microseconds.
    what : what they are, in words.
    local : whether they count in local time.
    """

    begin_us: int
    tick_us: float
    what: str
    local: bool = False

    def micros(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return numbers (n,), whole or not, as microseconds since 1970."""
        if numbers.dtype.kind == "i":  # a float is not exact for ten millionths of a second
            whole: npt.NDArray[np.int64] = numbers // round(1 / self.tick_us) + self.begin_us
            return whole
        micros = (numbers + self.begin_us / self.tick_us) * self.tick_us
        if self.tick_us == _DAY_US:  # whose fractions are written with few digits
            micros = np.round(micros / 1000) * 1000
        return np.round(micros).astype(np.int64)


#: The units of --time-unit that do not count from 1970.
EPOCHS: Final = {
    "matlab": Epoch(-719_529 * _DAY_US, _DAY_US, "MATLAB's days since the year 0", local=True),
    "excel": Epoch(-25_569 * _DAY_US, _DAY_US, "a spreadsheet's days since 1900", local=True),
    "julian": Epoch(-24_405_875 * _DAY_US // 10, _DAY_US, "Julian days"),
    "filetime": Epoch(-134_774 * _DAY_US, 0.1, "Windows' FILETIME since 1601"),
    "ticks": Epoch(-719_162 * _DAY_US, 0.1, ".NET's ticks since the year 1", local=True),
    "1904": Epoch(-24_107 * _DAY_US, 10**6, "LabVIEW's seconds since 1904"),
    # ahead of UTC by the leap seconds since 1980, which have been 18 since 2017
    "gps": Epoch(3_657 * _DAY_US - 18 * 10**6, 10**6, "GPS's seconds since 1980"),
}


def is_counted(text: str, unit: str) -> bool:
    """Return whether a number is a time of our days in a unit of EPOCHS."""
    number = _number(text)
    if number is None:
        return False
    micros = number * EPOCHS[unit].tick_us + EPOCHS[unit].begin_us
    return _EARLIEST_US <= micros <= (datetime.now(UTC).timestamp() + 365 * 86_400) * 10**6


def likely_epoch(cells: Sequence[str]) -> str:
    """Return the unit of EPOCHS in which all numbers are times of our days; "" if none."""
    numbers = [_number(cell) for cell in cells]
    if all(n is not None and _SPREADSHEET[0] < n < _SPREADSHEET[1] for n in numbers):
        return "excel" if cells else ""
    units = (unit for unit in EPOCHS if unit != "gps")
    return next((u for u in units if all(is_counted(cell, u) for cell in cells)), "")


def how_to_read(cells: Sequence[str]) -> str:
    """Say which --time-unit reads numbers, by what they look like."""
    if unit := likely_epoch(cells):
        return f"{EPOCHS[unit].what}? --time-unit {unit} reads them"
    return "--time-unit s, ms, us or ns reads numbers since 1970, row a count"


def _number(text: str) -> float | None:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None
