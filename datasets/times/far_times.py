"""Find times that lie years from all others, such as a clock's zero or a year mistyped.

Times more than five years apart belong to different clusters. A time outside of the largest one is
far, unless it belongs to a stream that lies there as a whole, as that of a machine taken down long
ago. Far times are left out like rows that cannot be read: in at most one row of a hundred. If there
are more, the file is rejected if they are implausible (before 1971, or more than a year ahead of
today): the unit or the calendar of the times may be misjudged. Else they stay, with a note. The
caller, who knows better, may have them left out in either case, and with them streams that lie
before 1971 as a whole, beside others: those of a machine whose clock was never set.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from datasets.types import Flags, Times
from errors import DatasetError

#: The first and the last of some times.
Range = tuple[np.datetime64, np.datetime64]
#: Rows that a note names, at most.
_SHOWN: Final = 3
#: Characters of the streams' names in a note, at most.
_NAMES: Final = 300
_YEAR: Final = np.timedelta64(365 * 86_400, "s")
_GAP: Final = 5 * _YEAR  # a time further off than this is far
#: Before, a clock counted from zero; no sensor has been read since before 1900 or will be for long.
_EARLIEST: Final = np.datetime64("1971-01-01", "us")
_CENTURY: Final = np.datetime64("1900-01-01", "us")


def implausible(times: Times) -> Flags:
    """Return which times (n,) lie before 1971 or more than a year ahead of today."""
    return (times < _EARLIEST) | (times > _latest())


def implausible_note(count: int, first: np.datetime64, last: np.datetime64) -> str:
    """Return a note on times that are read though they are implausible.

    Parameters
    ----------
    count : how many.
    first, last : their range.
    """
    return (
        f"{count:,} times are before 1971 or more than a year ahead ({first} to {last}): a clock"
        " that was not set, another calendar or --time-unit?"
    )


def main_range(times: Times) -> Range:
    """Return first and last of the largest cluster of times (n,); a plausible one wins a tie."""
    if times.max() - times.min() <= _GAP:
        return times.min(), times.max()
    known = np.sort(times)
    ends = np.flatnonzero(np.diff(known) > _GAP)
    begins, ends = np.append(0, ends + 1), np.append(ends, len(known) - 1)
    odd = implausible(known[begins])
    best = max(range(len(begins)), key=lambda i: (ends[i] - begins[i], not odd[i], i))
    return known[begins[best]], known[ends[best]]


def far_times(times: Times, inside: Range, stream: npt.NDArray[np.intp] | None = None) -> Flags:
    """Return which times (n,) are years from a range.

    Parameters
    ----------
    times : (n,)
    inside : first and last time of the others.
    stream : (n,), optional
        Number of the stream of each. A stream that lies elsewhere as a whole, in at least two
        different times since 1900, is not far.
    """
    first, last = inside
    far = (times < first - _GAP) | (times > last + _GAP)
    if stream is None or not far.any():
        return far
    whole = np.bincount(stream) == np.bincount(stream[far], minlength=stream.max() + 1)
    for number in np.flatnonzero(whole):
        own = stream == number
        if not _sentinels(times[own]):
            far[own] = False
    return far


def never_set(times: Times, stream: npt.NDArray[np.intp]) -> Flags:
    """Return which times (n,) belong to streams that lie before 1971 as a whole, beside others.

    If no other stream has plausible times, none do: the times may be misread.

    Parameters
    ----------
    times, stream : (n,)
        The times, and the number of the stream of each.
    """
    early = times < _EARLIEST
    whole = np.bincount(stream) == np.bincount(stream[early], minlength=int(stream.max()) + 1)
    found: Flags = whole[stream]
    others = times[~found]
    return found if not implausible(others).all() else np.zeros(len(times), bool)


def clock_note(names: Sequence[str], times: Times, drop: bool) -> str:
    """Return a note on streams whose clocks were never set.

    Parameters
    ----------
    names : the streams' names.
    times : all of their times.
    drop : whether they are left out.
    """
    shown = ", ".join(names)
    shown = shown if len(shown) <= _NAMES else f"{shown[:_NAMES]} ..."
    what = f"{shown}: all {len(times):,} readings are from before 1971 ({times.min()} to"
    what += f" {times.max()}), by a clock that was never set"
    return (
        f"{what}: left out by --drop-far-times"
        if drop
        else (f"{what}? They are trained on as they are; --drop-far-times leaves them out")
    )


def problem(row: int, time: np.datetime64, inside: Range) -> DatasetError:
    """Return the error for a row whose time is far from the others.

    Parameters
    ----------
    row : number of the row in the file.
    time : its time.
    inside : first and last time of the others.
    """
    first, last = inside
    shown = str(time.astype("datetime64[s]")).replace("T", " ")
    years = int((first - time if time < first else time - last) / _YEAR)
    side = "before" if time < first else "after"
    return DatasetError(
        f"row {row}: timestamp {shown} lies {years:,} years {side} the other readings",
        field="timestamp",
    )


def too_many(first: DatasetError, count: int, total: int) -> DatasetError:
    """Return the error for a file with too many far times.

    Parameters
    ----------
    first : the problem of the first such row.
    count, total : the number of such rows, and of the rows read.
    """
    return DatasetError(
        f"{first.message}, as one of {count:,} of {total:,} rows: a clock that was not set?"
        " --drop-far-times leaves them out; --time-unit, --time-format or --columns timestamp"
        " reads them otherwise",
        field="timestamp",
    )


def dropped(rows: npt.NDArray[np.int64], times: Times, inside: Range) -> list[str]:
    """Return a note with the first rows that were left out on request, if there are any.

    Parameters
    ----------
    rows, times : (n,)
        The rows' numbers in the file, and their times.
    inside
        First and last time of the others.
    """
    some = list(zip(rows[:_SHOWN], times[:_SHOWN], strict=True))
    shown = "; ".join(problem(int(row), time, inside).message for row, time in some)
    more = f"; and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    return [f"rows left out by --drop-far-times ({len(rows):,}): {shown}{more}"] if some else []


def _sentinels(times: Times) -> bool:
    return len(np.unique(times)) < 2 or bool(((times < _CENTURY) | (times > _latest())).any())


def _latest() -> np.datetime64:
    return np.datetime64((datetime.now(UTC) + timedelta(days=365)).replace(tzinfo=None), "us")
