"""Find dates in the middle of a file whose day and month are exchanged: 05/03 among 03/05.

Each of them is a date, so nothing but the order of the rows shows it: the times leap by months, and
with day and month exchanged they would run on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from datasets.types import Flags, Times

#: What is a leap, in usual steps and at least, and what is running on, in usual steps.
_LEAP: Final = 10
_LEAST_LEAP: Final = np.timedelta64(1, "D")
_RUNS_ON: Final = 2


def first_swapped(times: Times) -> int | None:
    """Return the first row at which times (n,), in the order of the file, leap by a swapped date.

    None if they do not: at least two leaps, and most of all, must be of this kind, and one of them
    must lead to or from a date that is not swapped.
    """
    if 2 * (np.diff(times) < np.timedelta64(0)).sum() > len(times):  # newest first
        found = _leaps_by_swapping(times[::-1])
        return len(times) - int(found[-1]) if len(found) else None
    found = _leaps_by_swapping(times)
    return int(found[0]) if len(found) else None


def _leaps_by_swapping(times: Times) -> npt.NDArray[np.intp]:
    """Return the rows after leaps of times (n,) that swapped dates explain; empty if few do."""
    none = np.empty(0, np.intp)
    steps = np.diff(times)
    forward = steps[steps > np.timedelta64(0)]
    if not len(forward):
        return none
    usual = np.median(forward.astype(np.int64)).astype(np.int64).astype("timedelta64[us]")
    leaps = np.flatnonzero(np.abs(steps) > max(_LEAP * usual, _LEAST_LEAP)) + 1
    if len(leaps) < 2:
        return none
    before, after = times[leaps - 1], times[leaps]
    day_before, day_after = _single_days(times, leaps)
    enters = _runs_on(before, swapped(after), usual) & day_after
    leaves = _runs_on(swapped(before), after, usual) & day_before
    between = _runs_on(swapped(before), swapped(after), usual) & day_before & day_after
    edge = enters | leaves
    runs_on = between | edge
    if runs_on.sum() < 2 or 2 * runs_on.sum() <= len(leaps):
        return none
    # a whole day of readings each month also leaps from a day to the same day, but has no edge
    return leaps[runs_on] if (edge & ~between).any() else none


def _single_days(times: Times, leaps: npt.NDArray[np.intp]) -> tuple[Flags, Flags]:
    """Return for each leap whether the times before it, and after it, to the next leap are one day.

    Swapped days are: two of them are months apart, with a leap between them.
    """
    bounds = np.concatenate([[0], leaps, [len(times)]])
    days = times.astype("datetime64[D]")
    single = days[bounds[:-1]] == days[bounds[1:] - 1]
    return single[:-1], single[1:]


def swapped(times: Times) -> Times:
    """Return times (n,) with day and month exchanged; NaT if there is no such date."""
    months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
    first = times.astype("datetime64[Y]").astype("datetime64[M]")  # of the year
    day = (days - months.astype("datetime64[D]")).astype(np.int64)
    month = (months - first).astype(np.int64)
    out: Times = ((first + day).astype("datetime64[D]") + month) + (times - days)
    return np.where(day < 12, out, np.datetime64("NaT", "us"))


def _runs_on(before: Times, after: Times, usual: np.timedelta64) -> Flags:
    step: npt.NDArray[np.timedelta64] = after - before
    return (step > np.timedelta64(0)) & (step <= _RUNS_ON * usual)
