"""Read a clock that shows local time: hours that occur twice, and half days without AM or PM."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.types import Flags, Times

_HOUR: Final = np.timedelta64(3600, "s")
#: The zone of a fixed offset; they are named after UTC minus local time.
FIXED_ZONE: Final = "Etc/GMT{:+d}"
_NO_TIME: Final = np.timedelta64(0, "us")


class LocalTime:
    """Convert local times to UTC, by stream, in the order of the readings.

    When the clocks go back, one hour occurs twice. The order resolves it: after a step back, or
    where a reading of hourly data has the time of the one before, it is the second occurrence.
    When the clocks go forward, one hour is skipped: times within it are taken to have the offset
    from before, as of a clock that was not set, and counted for a note.
    """

    def __init__(self, zone: str) -> None:
        self._zone = zone
        #: stream -> its last two local times, and the last one that was in the second hour.
        self._before: dict[Any, Times] = {}
        self._second: dict[Any, np.datetime64] = {}
        self._skipped = 0
        self._skipped_first: np.datetime64 | None = None

    def utc(self, key: Any, local: Times) -> Times:
        """Convert the times (n,) of one stream's next readings."""
        if not len(local):
            return local
        early, late = (self._assumed(local, which) for which in ("earliest", "latest"))
        twice = early != late
        skipped = self._assumed(local, "earliest", "earliest") != early
        if skipped.any():  # Arrow itself moves all of them to the moment of the change
            moved = self._assumed(local - _HOUR, "earliest") + _HOUR
            early, late = (np.where(skipped, moved, utc) for utc in (early, late))
            self._skipped += int(skipped.sum())
            if self._skipped_first is None:
                self._skipped_first = local[np.flatnonzero(skipped)[0]]
        if 2 * (np.diff(local) < _NO_TIME).sum() > len(local):  # newest first
            return np.where(second_hour(local[::-1], twice[::-1])[::-1], late, early)
        before = self._before.get(key, local[:0])
        if twice.any():
            whole = np.concatenate([before, local])
            known = np.concatenate([np.zeros(len(before), bool), twice])
            again = second_hour(whole, known, self._second.get(key))[len(before) :]
            if again.any():
                self._second[key] = local[np.flatnonzero(again)[-1]]
            early = np.where(again, late, early)
        self._before[key] = np.concatenate([before, local])[-2:]
        return early

    def notes(self) -> list[str]:
        """Return a note if times were read that the zone's clocks never show."""
        if self._skipped_first is None:
            return []
        shown = str(self._skipped_first.astype("datetime64[s]")).replace("T", " ")
        before = self._skipped_first - _HOUR
        hours = (before - self._assumed(np.array([before]), "earliest")[0]) / _HOUR
        fixed = f" ({FIXED_ZONE.format(-int(hours))})" if hours == int(hours) else ""
        return [
            f"{self._skipped:,} times, such as {shown}, do not exist in {self._zone}, whose clocks"
            " go forward there. If the file's clock keeps the same time all year, --time-zone names"
            f" that time{fixed}, or the readings of half the year are an hour off"
        ]

    def _assumed(self, local: Times, ambiguous: str, nonexistent: str = "latest") -> Times:
        """Return local times in UTC; see :func:`pyarrow.compute.assume_timezone`."""
        zoned = pc.assume_timezone(
            pa.array(local, pa.timestamp("us")), self._zone,
            ambiguous=ambiguous, nonexistent=nonexistent,
        )  # fmt: skip
        utc: Times = zoned.cast(pa.int64()).to_numpy().view("datetime64[us]")
        return utc


def second_hour(times: Times, twice: Flags, second: np.datetime64 | None = None) -> Flags:
    """Return which readings (n,) lie in the second of two hours that the clock shows alike.

    Parameters
    ----------
    times : (n,)
        Local times of one stream, in the order of the readings.
    twice : (n,)
        Which of them the clock shows twice.
    second : datetime64, optional
        The newest earlier time that lay in a second hour.
    """
    again = np.zeros(len(times), bool)
    at = np.flatnonzero(twice)
    far = np.abs(np.diff(times[at])) > 2 * _HOUR
    for i in np.flatnonzero(~far & (np.diff(at) > 1)):  # away and back, as in overlapping exports
        between = times[at[i] : at[i + 1]]
        far[i] = (np.abs(between - times[at[i]]) > 2 * _HOUR).any()
    for visit in np.split(at, np.flatnonzero(far) + 1):
        if not len(visit):
            continue
        begin = int(visit[0])
        came = times[begin] - times[begin - 1] if begin else _NO_TIME
        if second is not None and begin <= 2 and abs(times[begin] - second) <= 2 * _HOUR:
            again[visit] = abs(came) <= 2 * _HOUR
            if again[begin]:
                continue
        steps = np.concatenate([[came], np.diff(times[visit])])
        back = np.where(steps >= -2 * _HOUR, np.minimum(steps, _NO_TIME), _NO_TIME)
        turn = int(back.argmin())
        if back[turn] == _NO_TIME:
            pairs = _in_pairs(times[visit])
            if pairs is not None:  # sorted by the local clock
                again[visit[pairs]] = True
                continue
            equal = [i for i in range(len(visit)) if steps[i] == _NO_TIME
                     and _alone_in_its_hour(times, int(visit[i]))]  # fmt: skip
            turn = equal[0] if equal else len(visit)
            if len(visit) == 1 and came >= _HOUR / 2 and begin + 1 < len(times):
                leave = times[begin + 1] - times[begin]
                turn = 0 if leave - came == _HOUR else turn  # as far from both in UTC
        again[visit[turn:]] = True
    return again


def _in_pairs(times: Times) -> Flags | None:
    """Return the second of each two equal times (n,); None unless all occur exactly twice."""
    same = np.append(False, np.diff(times) == _NO_TIME)
    return same if len(times) > 2 and np.array_equal(same, np.arange(len(times)) % 2 == 1) else None


def _alone_in_its_hour(times: Times, at: int) -> bool:
    """Return whether the reading before that of equal time, and the next, are an hour away."""
    before = times[at - 1] - times[at - 2] if at > 1 else _HOUR
    after = times[at + 1] - times[at] if at + 1 < len(times) else _HOUR
    return bool(at > 0 and before >= _HOUR and after >= _HOUR)


def clocks_went_back(times: Times, repeated: Flags | None = None) -> list[int]:
    """Return the indices of readings at which a local clock was set back by an hour.

    Parameters
    ----------
    times : (n,)
        Times of one stream, in the order of the readings.
    repeated : (n,), optional
        Which readings have the values of the one before, so that an equal time is no step.

    Returns
    -------
    list of int
        Empty unless all steps back, at most one per year, are an hour less one usual interval, at
        night and in a month in which clocks go back. Hourly readings have two equal times.
    """
    if len(times) < 3:
        return []
    steps = np.diff(times)
    usual = np.median(steps.astype(np.int64)).astype("timedelta64[us]")
    back = steps < _NO_TIME
    if usual >= _HOUR:
        sunday = (times[1:].astype("datetime64[D]").astype(np.int64) + 4) % 7 == 0
        alike = np.zeros(len(steps), bool) if repeated is None else repeated[1:]
        back |= (steps == _NO_TIME) & sunday & ~alike
    found = np.flatnonzero(back) + 1
    night = (times[found - 1] - times[found - 1].astype("datetime64[D]")) <= 4 * _HOUR
    month = times[found].astype("datetime64[M]").astype(np.int64) % 12 + 1
    hour = np.abs(steps[found - 1] + _HOUR - usual) <= usual
    if not (night & hour & np.isin(month, (3, 4, 9, 10, 11))).all():
        return []
    years = times[found].astype("datetime64[Y]")
    return [int(at) for at in found] if len(np.unique(years)) == len(found) else []


def half_day_clock(times: Times) -> int | None:
    """Return the index of a reading that shows a 12-hour clock without AM and PM.

    Parameters
    ----------
    times : (n,)
        Local times of one stream, in the order of the readings.

    Returns
    -------
    int or None
        None unless all hours are 1 to 12 (or 0 to 11), and the clock steps back by twelve hours
        less one usual interval on several occasions, or once from 12 to 1; or, if the times are
        sorted, unless most times of two days or more occur twice.
    """
    hours = ((times - times.astype("datetime64[D]")) // _HOUR).astype(np.int64)
    if len(times) < 4 or not (hours.max() <= 11 or (hours.min() >= 1 and hours.max() <= 12)):
        return None
    steps = np.diff(times)
    if not (steps > _NO_TIME).any():
        return None
    usual = np.median(steps[steps > _NO_TIME].astype(np.int64)).astype("timedelta64[us]")
    back = (steps < _NO_TIME) & (np.abs(steps + 12 * _HOUR - usual) <= usual)
    found = np.flatnonzero(back) + 1
    if len(found) > 1 or (len(found) and hours[found[0] - 1] == 12):
        return int(found[0])
    known, first, counts = np.unique(times, return_index=True, return_counts=True)
    twice = counts == 2
    days = len(np.unique(known.astype("datetime64[D]")))
    if days > 1 and len(np.unique(hours)) == 12 and twice.mean() > 0.6:
        return int(first[twice][0]) + 1
    return None
