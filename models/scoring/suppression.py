"""Suppress alarms of a stream during maintenance windows and while the machine is off.

:class:`Suppressor` decides from a reading's own time and features, in the same way in service,
back-test and training. Suppressed readings are scored and marked. They change no adaptive state,
enter no window and open no incident. Afterwards smoothing, window and tail restart, as after a gap.

A maintenance window is a span of local time: one from 22:00 to 06:00 ends at 06:00 even when the
clocks change that night. It may recur by an RRULE (RFC 5545). A local time skipped by the clock
change means the moment of the change. Of a local time that occurs twice, a window begins at the
first and ends at the second.
"""

from __future__ import annotations

import logging
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from errors import InputError
from models.scoring.state_values import TIMES, check

log = logging.getLogger(__name__)
T = TypeVar("T")

OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
#: Frequencies of a rule: an even more frequent window would be an off condition by another name.
_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
_MAX_RULE: Final = 500
#: Largest COUNT and INTERVAL: a rule with COUNT is walked from its first time for each new day.
_MAX_STEPS: Final = 10_000
#: Years in which rules begin and recur; dateutil's calendar ends with 9999.
_YEARS: Final = range(1970, 3000)
_UNITS: Final = {
    "HOURLY": timedelta(hours=1), "DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)
}  # fmt: skip
_LONGEST: Final = timedelta(days=366)
_DAY: Final = timedelta(days=1)
#: How far ahead to search for the next spans of a rule.
_HORIZON: Final = timedelta(days=731)
_UNTIL: Final = re.compile(r";?\bUNTIL=(\d{8}(?:T\d{6})?)(Z?)", re.IGNORECASE)

MAINTENANCE: Final = "maintenance"
OFF: Final = "off"


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
        _zone(self.time_zone)
        if self.rrule is not None:
            if self.end - self.start > _LONGEST:
                raise InputError("end: a recurring window lasts at most 366 days", field="end")
            if self.start.year not in _YEARS:
                raise InputError(
                    f"start: {self.start} does not lie in the years {_YEARS[0]} to {_YEARS[-1]}, in"
                    " which windows may recur",
                    field="start",
                )
            _rule(self.rrule, self.time_zone, self._local(self.start))

    def concerns(self, asset_id: str, sensor_id: str | None, group: str) -> bool:
        """Return whether the window applies to a stream.

        Parameters
        ----------
        asset_id, sensor_id, group
            Names of the stream; each must match the window's pattern.
        """
        return (
            _fits(self.asset_id, asset_id)
            and _fits(self.sensor_id, sensor_id or "")
            and _fits(self.group, group)
        )

    def covers(self, at: datetime) -> bool:
        """Return whether an aware time lies in the window; its end does not."""
        if self.rrule is None:
            return self.start <= at < self.end
        if at < self.start or at.year not in _YEARS:
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
        return at.astimezone(_zone(self.time_zone)).replace(tzinfo=None)

    def spans(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """Return the spans (UTC) that may overlap a day (UTC)."""
        midnight = datetime.combine(day, time())
        return tuple(self._between(midnight - _DAY, midnight + 2 * _DAY))

    def _between(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the rule's spans (UTC) that overlap these local times, perhaps earlier ones too."""
        assert self.rrule is not None  # noqa: S101
        zone, first = _zone(self.time_zone), self._local(self.start)
        lasts = self._local(self.end) - first
        rule = _rule(self.rrule, self.time_zone, first)
        for at in rule.between(since - lasts, until):
            yield _instant(at, zone, 0), _instant(at + lasts, zone, 1)


@dataclass(frozen=True, slots=True)
class OffCondition:
    """A condition under which a machine counts as off.

    It is off once ``feature operator value`` has held for ``hold_s`` seconds, until ``run_up_s``
    seconds after the last such reading.

    Raises
    ------
    InputError
        Names the invalid field.
    """

    feature: str
    operator: str
    value: float
    hold_s: float = 0.0
    run_up_s: float = 0.0
    group: str | None = None

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise InputError(
                f"operator: {self.operator!r:.20} is not one of {' '.join(OPERATORS)}",
                field="operator",
            )
        if not abs(self.value) < 1e300:
            raise InputError(f"value: {self.value} is not a finite number", field="value")
        for name in ("hold_s", "run_up_s"):
            if not 0 <= getattr(self, name) <= 366 * 86_400:
                raise InputError(
                    f"{name}: {getattr(self, name)} does not lie between 0 and 366 days", field=name
                )

    @property
    def name(self) -> str:
        """Return the condition in words."""
        return f"{self.feature} {self.operator} {self.value:g}"

    def holds(self, features: Mapping[str, float]) -> bool | None:
        """Return whether a reading meets the condition; None if it lacks the feature."""
        value = features.get(self.feature)
        return None if value is None else OPERATORS[self.operator](value, self.value)


@dataclass(slots=True)
class OffState:
    """Whether a stream's machine is off.

    Attributes
    ----------
    since : by name of each condition that holds, when it began to hold (epoch seconds).
    until : end of the run-up after the last condition that held (epoch seconds).
    by : name of that condition.
    suppressed : whether the newest reading was suppressed, for any reason.
    """

    since: dict[str, float] = field(default_factory=dict)
    until: float = 0.0
    by: str = ""
    suppressed: bool = False

    def to_list(self) -> list[Any] | None:
        """Return the state ready for JSON; None if it is empty."""
        if not (self.since or self.by or self.suppressed):
            return None
        return [self.suppressed, self.until, self.by, self.since]

    @classmethod
    def from_list(cls, data: Any) -> OffState:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a stored off state.
        """
        state = cls()
        if data is None:
            return state
        suppressed, until, by, since = list(data)[:4]
        check("off", (until, *since.values()), TIMES)
        if not isinstance(suppressed, bool) or not isinstance(by, str):
            raise ValueError("off: not a stream's memory of its machine")
        state.suppressed, state.until, state.by = suppressed, float(until), by
        state.since = {str(name): float(at) for name, at in since.items()}
        return state


class Suppressor:
    """Decide for each reading of one stream, in order, whether its alarm is suppressed."""

    def __init__(
        self,
        windows: Iterable[MaintenanceWindow],
        conditions: Iterable[OffCondition],
        stream: tuple[str, str | None],
        group: str,
    ) -> None:
        self._windows = [one for one in windows if one.concerns(*stream, group)]
        self._conditions = [one for one in conditions if _fits(one.group, group)]

    def __bool__(self) -> bool:
        return bool(self._windows or self._conditions)

    @property
    def features(self) -> set[str]:
        """Return the features used by the conditions."""
        return {condition.feature for condition in self._conditions}

    def take(
        self, state: OffState, at: datetime, features: Mapping[str, float], late: bool = False
    ) -> dict[str, Any] | None:
        """Return why a reading is suppressed, for its metadata; None if it is not.

        Parameters
        ----------
        state
            Whether the machine is off; updated.
        at
            Time of the reading.
        features
            Its values by name.
        late
            The reading is late: leave ``state`` unchanged.
        """
        off = self._off(OffState.from_list(state.to_list()) if late else state, at, features)
        for window in self._windows:
            if window.covers(at):
                why: dict[str, Any] = {"by": MAINTENANCE, "window": window.id}
                if window.reason:
                    why["reason"] = window.reason
                return why
        return off

    def _off(
        self, state: OffState, at: datetime, features: Mapping[str, float]
    ) -> dict[str, Any] | None:
        now = at.timestamp()
        names = {condition.name for condition in self._conditions}
        for gone in state.since.keys() - names:  # conditions that were deleted since
            del state.since[gone]
        if state.by not in names:
            state.by = ""
        running: str | None = None
        for condition in self._conditions:
            holds = condition.holds(features)
            if holds is False:
                state.since.pop(condition.name, None)
            if holds:
                state.since.setdefault(condition.name, now)
            began = state.since.get(condition.name)
            if began is None or now - began < condition.hold_s:
                continue
            running = running or condition.name
            if holds and (not state.by or now + condition.run_up_s >= state.until):
                state.until, state.by = now + condition.run_up_s, condition.name
        if running is not None:
            return {"by": OFF, "condition": running}
        if state.by and now < state.until:
            return {"by": OFF, "condition": state.by, "run_up": True}
        state.by = ""
        return None


@dataclass(frozen=True, slots=True)
class Suppression:
    """All maintenance windows and off conditions for one effect: alarms or training.

    Parameters
    ----------
    windows, conditions : the usable ones.
    refused : errors of stored ones that are left out.
    """

    windows: tuple[MaintenanceWindow, ...] = ()
    conditions: tuple[OffCondition, ...] = ()
    refused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.windows or self.conditions)

    def of(self, stream: tuple[str, str | None], group: str) -> Suppressor:
        """Return the suppressor of a stream."""
        return Suppressor(self.windows, self.conditions, stream, group)

    def in_group(self, group: str) -> Suppression:
        """Return the part that applies to a group, with its group patterns removed."""
        return Suppression(
            tuple(replace(one, group=None) for one in self.windows if _fits(one.group, group)),
            tuple(replace(one, group=None) for one in self.conditions if _fits(one.group, group)),
        )

    @classmethod
    def from_rows(
        cls,
        windows: Iterable[Mapping[str, Any]],
        conditions: Iterable[Mapping[str, Any]],
        effect: str,
    ) -> Suppression:
        """Read rows of the database.

        An unusable row, written by plain SQL, does not affect the others: it is left out and its
        error logged.

        Parameters
        ----------
        windows, conditions
            The rows.
        effect
            ``alarms`` or ``training``: windows without this effect are ignored.
        """
        refused: list[str] = []
        planned = _usable(_window_of, (row for row in windows if row[effect]), refused)
        off = _usable(_condition_of, conditions, refused)
        return cls(planned, off, tuple(refused))


def _window_of(row: Mapping[str, Any]) -> MaintenanceWindow:
    known = {one.name: row[one.name] for one in fields(MaintenanceWindow)}
    return MaintenanceWindow(**known | {"id": str(row["id"])})


def _condition_of(row: Mapping[str, Any]) -> OffCondition:
    return OffCondition(**{one.name: row[one.name] for one in fields(OffCondition)})


def _usable(
    make: Callable[[Mapping[str, Any]], T], rows: Iterable[Mapping[str, Any]], refused: list[str]
) -> tuple[T, ...]:
    """Build objects from the usable rows; add the errors of the others to ``refused``."""
    found = []
    for row in rows:
        try:
            found.append(make(row))
        except InputError as error:
            what = (
                f"maintenance window {row['id']}"
                if "id" in row
                else f"off condition on {row['feature']!r:.80}"
            )
            refused.append(f"{what} is left out: {error.message}")
            _log_once(refused[-1])
    return tuple(found)


@lru_cache(maxsize=1000)
def _log_once(message: str) -> None:
    log.error("%s", message, extra={"action": "plan_refused"})


def suppressed_rows(
    suppressor: Suppressor, times: Sequence[datetime], rows: Iterable[Mapping[str, float]]
) -> list[bool]:
    """Return which readings of one stream are suppressed.

    Parameters
    ----------
    suppressor
        The stream's suppressor.
    times : (n,)
        Ascending times of the readings.
    rows : (n,)
        Their features by name.
    """
    state = OffState()
    return [
        suppressor.take(state, at, row) is not None for at, row in zip(times, rows, strict=True)
    ]


def _fits(pattern: str | None, name: str) -> bool:
    return pattern is None or pattern == name or fnmatchcase(name, pattern)


@lru_cache(maxsize=4096)
def _spans(window: MaintenanceWindow, day: date) -> tuple[tuple[datetime, datetime], ...]:
    return window.spans(day)


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise InputError(
            f"time_zone: {name!r:.80} is not an IANA time zone, such as Europe/Berlin",
            field="time_zone",
        ) from None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A recurrence rule with its first local time.

    Attributes
    ----------
    rule : None if it matches no day at all.
    step : period by which ``first`` may move without changing later times: a span, or years.
    """

    rule: rrule | None
    first: datetime
    step: timedelta | int
    count: int | None
    until: datetime | None

    def between(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the rule's times from ``since`` to ``until``, without walking earlier times.

        A rule with COUNT must be counted from its first time, so it yields earlier times too.
        """
        if self.rule is None:
            return iter(())
        until = until if self.until is None else min(until, self.until)
        if self.count is not None:
            return islice(self.rule.replace(until=until), self.count)
        begin = self.rule.replace(dtstart=self._moved(since), until=until)
        return (at for at in begin if at >= since)

    def _moved(self, since: datetime) -> datetime:
        """Return the rule's first time, moved forward to shortly before ``since``."""
        if since <= self.first:
            return self.first
        if isinstance(self.step, timedelta):
            return self.first + (since - self.first) // self.step * self.step
        years = (since.year - self.first.year - 1) // self.step * self.step
        try:
            return self.first.replace(year=self.first.year + max(years, 0))
        except ValueError:  # 29 February does not exist in 2100
            return self.first


@lru_cache(maxsize=1024)
def _rule(text: str, time_zone: str, first: datetime) -> _Rule:
    """Parse a rule; reject rules that would be slow to follow."""
    bare = text.strip().removeprefix("RRULE:")
    until = _UNTIL.search(bare)
    try:
        if len(bare) > _MAX_RULE or "\n" in bare or ":" in bare:
            raise ValueError("one rule of at most 500 characters, without DTSTART")
        parts = dict(part.split("=", 1) for part in bare.upper().split(";") if "=" in part)
        frequency = parts.get("FREQ", "")
        if frequency not in _FREQUENCIES:
            raise ValueError(f"FREQ is one of {', '.join(_FREQUENCIES)}")
        if "BYEASTER" in parts or any("," in parts.get(n, "") for n in ("BYMINUTE", "BYSECOND")):
            raise ValueError("BYMINUTE and BYSECOND are one number each, BYEASTER is not known")
        interval, count = (int(parts.get(name, 1)) for name in ("INTERVAL", "COUNT"))
        if not (1 <= interval <= _MAX_STEPS and 1 <= count <= _MAX_STEPS):
            raise ValueError(f"INTERVAL and COUNT lie in 1 to {_MAX_STEPS}")
        found = rrulestr(_UNTIL.sub("", bare).lstrip(";"), dtstart=first)
        if not isinstance(found, rrule):
            raise ValueError("a single rule")
        ends = None if until is None else _end(until, _zone(time_zone))
        # a rule without any match is searched up to the year 9999; starting late keeps that short,
        # and days and weekdays repeat every 400 years
        late = first.replace(year=first.year + (9999 - first.year) // 400 * 400)
        fits = next(iter(found.replace(dtstart=late)), None) is not None
        step = _UNITS.get(frequency)
        return _Rule(
            found.replace(count=None) if fits else None, first,
            4 * interval if step is None else interval * step,  # leap days recur every 4 years
            count if "COUNT" in parts else None, ends,
        )  # fmt: skip
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise InputError(
            f"rrule: {text!r:.120} is not a rule by RFC 5545, such as FREQ=WEEKLY;BYDAY=SU"
            f" ({error})",
            field="rrule",
        ) from None


def _end(found: re.Match[str], zone: ZoneInfo) -> datetime:
    """Return UNTIL as a local time; a date means the end of that day."""
    text, utc = found.groups()
    if "T" not in text:
        return datetime.combine(datetime.strptime(text, "%Y%m%d").date(), time.max)
    at = datetime.strptime(text, "%Y%m%dT%H%M%S")
    return at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if utc else at


def _instant(local: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """Return the moment (UTC) of a local time; ``fold`` chooses if there are two."""
    at = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return at
    # this local time is skipped: bisect for the moment at which the clock is put forward
    early, late = (local.replace(tzinfo=zone, fold=f).astimezone(UTC) for f in (1, 0))
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
