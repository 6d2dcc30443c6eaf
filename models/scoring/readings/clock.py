"""Keep a stream's time in order, and recover when its clock had run ahead.

A reading older than the stream's newest is late: it is scored but enters no window. It can open or
extend an event for a short while (:mod:`models.scoring.decision`), but never end one. A reading
with the same time is in order: many sources send several per second.

After a clock has run ahead once, every correct reading would be late until real time catches up.
The stream's time is therefore set back by ``IN_A_ROW`` or more consecutive late readings, in order
of time, if

- the stream's newest time lay in the future when they arrived (by Kafka's time stamp, or by the
  bridge's clock if that is earlier),
- they lie after the stream's time before its last leap,
- they outnumber the readings since that leap, and
- the newest time lies in the future of the bridge's clock, or the leap had few readings and went
  to a time that is now long past, where no live stream would be.

Old data sent again meet at most the first two conditions, so they never set back a live stream.
Only the time is set back and the window restarted; everything learnt from the values is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from models.scoring.state_values import as_count

#: Consecutive late readings that may set a stream back: more than usually arrive out of order.
IN_A_ROW: Final = 10
#: Newest intervals kept to estimate a stream's sampling interval, and the minimum needed.
_PACE: Final = 9
_PACE_KNOWN: Final = 3
#: Factor from which on a stream's interval is unlike that of training.
_UNLIKE: Final = 2.0
#: Share by which an interval may differ from the usual one and count as like it.
LIKE: Final = 0.25
#: A longer step (seconds) is a leap, unless the stream's own gap is shorter.
LEAP_S: Final = 600.0


class Step(Enum):
    """How a reading's time relates to its stream."""

    NEXT = "next"
    GAP = "gap"
    LATE = "late"
    SET_BACK = "set back"


@dataclass(slots=True)
class StreamClock:
    """The time of one stream's newest reading, and the evidence against it.

    Attributes
    ----------
    last : time of the newest reading; None for a new stream.
    before : time of the stream before its last leap; None if it never leapt.
    since : readings since that leap, or since the first reading; 0 if unknown.
    steps : newest intervals between readings in seconds, oldest first.
    late : consecutive late readings that contradict ``last``.
    newest : time of the newest of these late readings.
    """

    last: datetime | None = None
    before: datetime | None = None
    since: int = 0
    late: int = 0
    newest: datetime | None = None
    steps: list[float] = field(default_factory=list)

    def gap(self, gap_s: float | None, factor: float | None) -> float | None:
        """Return the pause in seconds above which this stream has a gap.

        The limit is ``factor`` times the second longest of the newest intervals: a single pause
        does not change it, a new sampling rate is adopted after two readings, and readings sent in
        bursts cause no gaps. The group's ``gap_s`` applies until the stream's rate is known, and
        without ``factor``.
        """
        if gap_s is None or factor is None or len(self.steps) < _PACE_KNOWN:
            return gap_s
        return factor * sorted(self.steps)[-2]

    def unlike(self, usual: float) -> float | None:
        """Return the median of the newest intervals if it differs from the usual one by a factor.

        Scores average over readings: at another pace they average over another time. None if the
        stream keeps to the usual interval, or its own is not known yet.
        """
        steps = self.steps
        if len(steps) < _PACE or usual / _UNLIKE <= steps[-1] <= usual * _UNLIKE:
            return None
        own = sorted(steps)[_PACE // 2]
        return None if usual / _UNLIKE <= own <= usual * _UNLIKE else own

    def take(
        self,
        at: datetime,
        gap_s: float | None,
        arrived: datetime | None = None,
        now: datetime | None = None,
        factor: float | None = None,
    ) -> Step:
        """Advance the clock to a reading's time; return how that time relates to the stream.

        Parameters
        ----------
        at : time of the reading.
        gap_s : a longer pause is a gap; None: no pause is.
        arrived, now : when the reading reached Kafka, and the bridge's clock; the stream is never
            set back while either is None.
        factor : multiple of the stream's own interval above which a pause is a gap; None:
            ``gap_s`` decides.
        """
        gap_s = self.gap(gap_s, factor)
        if self.last is not None and at < self.last:
            return self._late(at, gap_s, arrived, now)
        passed = (at - self.last).total_seconds() if self.last is not None else 0.0
        if passed > 0:
            self.steps.append(passed)
            if len(self.steps) > _PACE:
                del self.steps[0]
        gap = gap_s is not None and passed > gap_s
        if gap or passed > LEAP_S:
            self.before, self.since = self.last, 0
        self.last = at
        self.since += 1
        self.late, self.newest = 0, None
        return Step.GAP if gap else Step.NEXT

    def _late(
        self, at: datetime, gap_s: float | None, arrived: datetime | None, now: datetime | None
    ) -> Step:
        if arrived is None or now is None or not self._contradicts(at, gap_s, arrived, now):
            self.late, self.newest = 0, None
            return Step.LATE
        self.late, self.newest = self.late + 1, at
        if self.late < IN_A_ROW or self.late <= self.since:
            return Step.LATE
        self.last, self.before, self.since = at, None, 1
        self.late, self.newest = 0, None
        return Step.SET_BACK

    def _contradicts(
        self, at: datetime, gap_s: float | None, arrived: datetime, now: datetime
    ) -> bool:
        """Return whether a late reading is evidence that the stream's newest time is wrong."""
        last = self.last
        assert last is not None  # noqa: S101
        follows = (self.before is None or at > self.before) and (
            self.newest is None or at > self.newest
        )
        if not follows or last <= min(arrived, now):
            return False
        ahead = (last - now).total_seconds()
        if ahead > (LEAP_S if gap_s is None else min(gap_s, LEAP_S)):
            return True
        past = -ahead > max(gap_s or 0.0, LEAP_S)
        return past and self.before is not None and self.since <= IN_A_ROW

    def to_list(self) -> list[Any]:
        """Return the clock ready for JSON, without ``last``, which the state stores separately."""
        return [self.since, _text(self.before), self.late, _text(self.newest), list(self.steps)]

    def read(self, data: Any) -> None:
        """Restore what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a stored clock.
        """
        since, before, late, newest = list(data)[:4]
        self.since, self.late = as_count(since, 0), as_count(late, 0)
        self.before, self.newest = _time(before), _time(newest)
        self.steps = [_seconds(step) for step in (list(data)[4:5] or [[]])[0]][-_PACE:]


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: Any) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError(f"{value!r:.40} is no time between readings")
    return float(value)
