"""Define maintenance windows: spans of time in which alarms of some streams are suppressed.

A window is a span of local time: one from 22:00 to 06:00 ends at 06:00 even when the clocks change
that night. It may recur by an RRULE (RFC 5545). A local time skipped by the clock change means the
moment of the change. Of a local time that occurs twice, a window begins at the first and ends at
the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from typing import Final

from errors import InputError
from models.scoring.maintenance.recurrence_rule import RECURRING_YEARS, instant, parse_rule, zone_of

#: Longest recurring window: the search for spans goes back this far.
_LONGEST: Final = timedelta(days=366)
_DAY: Final = timedelta(days=1)
#: How far ahead to search for the next spans of a rule.
_HORIZON: Final = timedelta(days=731)


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """A span of time, possibly recurring, in which alarms of some streams are suppressed.

    Parameters
    ----------
    id : identifies the window in results.
    start, end : aware; read as local times of ``time_zone`` if the window recurs.
    rrule : RFC 5545, such as ``FREQ=WEEKLY;BYDAY=SU``; None: the window does not recur.
    time_zone : IANA name.
    asset_id, sensor_id, group : patterns (``*``, ``?``) of the streams; None matches all.
    reason : shown in results.
    alarms, training : whether to suppress alarms, and to leave readings out of training.

    Raises
    ------
    InputError
        Names the invalid field and its value.
    """

    id: str
    start: datetime
    end: datetime
    rrule: str | None = None
    time_zone: str = "UTC"
    asset_id: str | None = None
    sensor_id: str | None = None
    group: str | None = None
    reason: str | None = None
    alarms: bool = True
    training: bool = True

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if getattr(self, name).tzinfo is None:
                raise InputError(f"{name}: {getattr(self, name)} has no offset", field=name)
        if self.end <= self.start:
            end = self.end.astimezone(UTC)
            raise InputError(f"end: {end:%Y-%m-%d %H:%M:%S} UTC does not lie after the start",
                             field="end")  # fmt: skip
        zone_of(self.time_zone)
        if self.rrule is not None:
            if self.end - self.start > _LONGEST:
                raise InputError("end: a recurring window lasts at most 366 days", field="end")
            if self.start.year not in RECURRING_YEARS:
                raise InputError(
                    f"start: {self.start} does not lie in the years {RECURRING_YEARS[0]} to"
                    f" {RECURRING_YEARS[-1]}, in which windows may recur",
                    field="start",
                )
            parse_rule(self.rrule, self.time_zone, self._local(self.start))

    def concerns(self, asset_id: str, sensor_id: str | None, group: str) -> bool:
        """Return whether the window applies to a stream.

        Parameters
        ----------
        asset_id, sensor_id, group
            Names of the stream; each must match the window's pattern.
        """
        return (
            matches(self.asset_id, asset_id)
            and matches(self.sensor_id, sensor_id or "")
            and matches(self.group, group)
        )

    def covers(self, at: datetime) -> bool:
        """Return whether an aware time lies in the window; its end does not."""
        if self.rrule is None:
            return self.start <= at < self.end
        if at < self.start or at.year not in RECURRING_YEARS:
            return False
        return any(begin <= at < end for begin, end in _spans(self, at.astimezone(UTC).date()))

    def upcoming(self, since: datetime, limit: int) -> list[tuple[datetime, datetime]]:
        """Return at most ``limit`` spans (UTC) that end after ``since``.

        A rule is searched for two years from ``since``, or from its start if that is later: the
        search must end even if no day matches the rule.
        """
        if self.rrule is None:
            return [(self.start, self.end)] if self.end > since else []
        now = self._local(max(since, self.start))
        spans = self._between(now - _DAY, now + _HORIZON)
        return list(islice((span for span in spans if span[1] > since), limit))

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(zone_of(self.time_zone)).replace(tzinfo=None)

    def spans(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """Return the spans (UTC) that may overlap a day (UTC)."""
        midnight = datetime.combine(day, time())
        return tuple(self._between(midnight - _DAY, midnight + 2 * _DAY))

    def _between(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the rule's spans (UTC) that overlap these local times, perhaps earlier ones too."""
        assert self.rrule is not None  # noqa: S101
        zone, first = zone_of(self.time_zone), self._local(self.start)
        lasts = self._local(self.end) - first
        if lasts <= timedelta():  # the clock was put back in between
            lasts = self.end - self.start
        rule = parse_rule(self.rrule, self.time_zone, first)
        for at in rule.between(since - lasts, until):
            # of a start in the hour that comes twice, the first moment may lie before it
            yield max(instant(at, zone, 0), self.start), instant(at + lasts, zone, 1)


def matches(pattern: str | None, name: str) -> bool:
    """Return whether a name matches a pattern (``*``, ``?``); no pattern matches all."""
    return pattern is None or pattern == name or fnmatchcase(name, pattern)


@lru_cache(maxsize=4096)
def _spans(window: MaintenanceWindow, day: date) -> tuple[tuple[datetime, datetime], ...]:
    return window.spans(day)
