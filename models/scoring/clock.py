"""Where a stream stands in time, and what happens when its clock ran ahead and is right again.

A reading that is older than the stream's last is late: scored, but in no window. One of the same
time is the next: several a second are no rarity. Soon after its
time it can still open an event or go on with one (:mod:`models.scoring.decision`), never end one.
A clock that ran ahead once would make everything late for as long as it ran ahead. So after
``IN_A_ROW`` late readings that follow one another the stream goes on from there, if

- they came when the stream's last time lay after their own arrival (the time that Kafka gave them,
  or the bridge's clock if that is earlier): it had not happened yet,
- they lie after the place where the stream stood before it leapt to that time,
- there are more of them than were taken since the leap, and
- either that time lies in the future of the bridge's own clock, or it was a leap of a few readings
  into a time that is long past: no stream that is alive stands there.

Old data sent again fulfil the first two at most, so they never move a stream that is alive. Only
the time is set back (and the window starts again): what was learnt of the values stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from models.scoring.state_values import as_count

#: Late readings in a row after which a stream goes on from there: more than come out of order.
IN_A_ROW: Final = 10
#: Steps by which a stream's own rate is known, and how many of them have to be.
_PACE: Final = 9
_PACE_KNOWN: Final = 3
#: A longer step is a leap (seconds), where the stream's own gap is not shorter.
LEAP_S: Final = 600.0


class Step(Enum):
    """What a reading's time is to its stream."""

    NEXT = "next"
    GAP = "gap"
    LATE = "late"
    SET_BACK = "set back"


@dataclass(slots=True)
class StreamClock:
    """The time of one stream's newest reading, and whether it can be believed.

    Attributes
    ----------
    last : time of the newest reading; None for a new stream.
    before : where the stream stood before it last leapt; None: it never did.
    since : readings taken since then, or since the first; 0: not known.
    steps : the newest seconds between readings, oldest first: the stream's own rate.
    late : late readings in a row that contradict ``last``; ``newest`` the newest one's time.
    """

    last: datetime | None = None
    before: datetime | None = None
    since: int = 0
    late: int = 0
    newest: datetime | None = None
    steps: list[float] = field(default_factory=list)

    def gap(self, gap_s: float | None, factor: float | None) -> float | None:
        """Seconds from which on a pause of this stream is a gap.

        ``factor`` times the second longest of its newest steps: one pause changes nothing, a rate
        that changed is followed after two readings, and readings in bursts are no gaps. The
        group's ``gap_s`` while the rate is not known; also where there is no ``factor``.
        """
        if gap_s is None or factor is None or len(self.steps) < _PACE_KNOWN:
            return gap_s
        return factor * sorted(self.steps)[-2]

    def take(
        self,
        at: datetime,
        gap_s: float | None,
        arrived: datetime | None = None,
        now: datetime | None = None,
        factor: float | None = None,
    ) -> Step:
        """Take in a reading's time.

        Parameters
        ----------
        at : of the reading.
        gap_s : a longer pause is a gap; None: none is.
        factor : a pause of so many of the stream's own steps is one; None: ``gap_s`` decides.
        arrived, now : when it reached Kafka, and the time at the bridge; None: not known, then
            nothing is set back.
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
        """Return whether a late reading says that the stream's last time was wrong."""
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
        """Return it ready for JSON; without ``last``, which others read by itself."""
        return [self.since, _text(self.before), self.late, _text(self.newest), list(self.steps)]

    def read(self, data: Any) -> None:
        """Take over what :meth:`to_list` gave.

        Raises
        ------
        ValueError, TypeError
            It is not that.
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
