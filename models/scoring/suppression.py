"""Suppress alarms of a stream: in maintenance windows, and while the machine is off.

One pure function of the reading's own time (and features), the same in service, back-test and
training: :class:`Suppressor`. Suppressed readings are scored and marked; they teach nothing, are
in no window and open no incident. Afterwards smoothing, window and tail restart, as after a gap.

A window is a span of local time, so one from 22:00 to 06:00 ends at 06:00 also in the nights in
which the clock is changed, and recurs by an RRULE (RFC 5545). For a local time that does not exist
stands the moment at which the clock is put forward; of one that exists twice the earlier begins a
window and the later ends it.
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
#: Rules may recur at most this often: a window an hour is an off condition by another name.
_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
_MAX_RULE: Final = 500
#: The largest COUNT and INTERVAL: what is walked through for each new day.
_MAX_STEPS: Final = 10_000
#: Rules begin and are followed in these years; dateutil's own calendar ends with 9999.
_YEARS: Final = range(1970, 3000)
_UNITS: Final = {
    "HOURLY": timedelta(hours=1), "DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)
}  # fmt: skip
_LONGEST: Final = timedelta(days=366)
_DAY: Final = timedelta(days=1)
#: How far ahead the next spans of a rule are looked for.
_HORIZON: Final = timedelta(days=731)
_UNTIL: Final = re.compile(r";?\bUNTIL=(\d{8}(?:T\d{6})?)(Z?)", re.IGNORECASE)

MAINTENANCE: Final = "maintenance"
OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """A span of time, perhaps recurring, in which alarms of some streams are none.

    Parameters
    ----------
    id : names it in results.
    start, end : aware; read as local times of ``time_zone`` where it recurs.
    rrule : RFC 5545, such as ``FREQ=WEEKLY;BYDAY=SU``; None: once.
    time_zone : IANA name.
    asset_id, sensor_id, group : patterns (``*``, ``?``); None fits all.
    alarms, training : what it has an effect on.

    Raises
    ------
    InputError
        Names the field at fault and its value.
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
                raise InputError("end: a window that recurs lasts 366 days at most", field="end")
            if self.start.year not in _YEARS:
                raise InputError(
                    f"start: {self.start} is not of the years {_YEARS[0]} to {_YEARS[-1]}, in"
                    " which windows recur",
                    field="start",
                )
            _rule(self.rrule, self.time_zone, self._local(self.start))

    def concerns(self, asset_id: str, sensor_id: str | None, group: str) -> bool:
        """Return whether it is about a stream.

        Parameters
        ----------
        asset_id, sensor_id, group
            Of the stream; each must fit the window's pattern.
        """
        return (
            _fits(self.asset_id, asset_id)
            and _fits(self.sensor_id, sensor_id or "")
            and _fits(self.group, group)
        )

    def covers(self, at: datetime) -> bool:
        """Return whether a time (aware) lies in it; its end does not."""
        if self.rrule is None:
            return self.start <= at < self.end
        if at < self.start or at.year not in _YEARS:
            return False
        return any(begin <= at < end for begin, end in _spans(self, at.astimezone(UTC).date()))

    def upcoming(self, since: datetime, limit: int) -> list[tuple[datetime, datetime]]:
        """Return its next spans (UTC) that are not over at ``since``, at most so many.

        Of a rule only the two years after ``since``, or after its start where that is still to
        come, are looked at: one that fits no day must end.
        """
        if self.rrule is None:
            return [(self.start, self.end)] if self.end > since else []
        now = self._local(max(since, self.start))
        spans = self._between(now - _DAY, now + _HORIZON)
        return list(islice((span for span in spans if span[1] > since), limit))

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(_zone(self.time_zone)).replace(tzinfo=None)

    def spans(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """Its spans (UTC) that may touch a day (UTC)."""
        midnight = datetime.combine(day, time())
        return tuple(self._between(midnight - _DAY, midnight + 2 * _DAY))

    def _between(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield spans (UTC) of the rule that touch these local times, perhaps some before."""
        assert self.rrule is not None  # noqa: S101
        zone, first = _zone(self.time_zone), self._local(self.start)
        lasts = self._local(self.end) - first
        rule = _rule(self.rrule, self.time_zone, first)
        for at in rule.between(since - lasts, until):
            yield _instant(at, zone, 0), _instant(at + lasts, zone, 1)


@dataclass(frozen=True, slots=True)
class OffCondition:
    """While ``feature operator value`` has held for ``hold_s`` the machine is off.

    It counts as off for ``run_up_s`` after the last such reading. Times in seconds.

    Raises
    ------
    InputError
        Names the field at fault.
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
                f"operator: {self.operator!r:.20} is none of {' '.join(OPERATORS)}",
                field="operator",
            )
        if not abs(self.value) < 1e300:
            raise InputError(f"value: {self.value} is not a finite number", field="value")
        for name in ("hold_s", "run_up_s"):
            if not 0 <= getattr(self, name) <= 366 * 86_400:
                raise InputError(
                    f"{name}: {getattr(self, name)} does not lie in 0 to 366 days", field=name
                )

    @property
    def name(self) -> str:
        """Return the condition in words."""
        return f"{self.feature} {self.operator} {self.value:g}"

    def holds(self, features: Mapping[str, float]) -> bool | None:
        """Return whether a reading fulfils it; None where the reading does not show it."""
        value = features.get(self.feature)
        return None if value is None else OPERATORS[self.operator](value, self.value)


@dataclass(slots=True)
class OffState:
    """State of a stream's machine being off.

    Attributes
    ----------
    since : epoch seconds from which each condition that holds has held, by its name.
    until : epoch seconds to which the last that held counts as off; ``by`` is its name.
    suppressed : whether the newest reading was suppressed, whatever by.
    """

    since: dict[str, float] = field(default_factory=dict)
    until: float = 0.0
    by: str = ""
    suppressed: bool = False

    def to_list(self) -> list[Any] | None:
        """Return it ready for JSON; None: there is nothing to remember."""
        if not (self.since or self.by or self.suppressed):
            return None
        return [self.suppressed, self.until, self.by, self.since]

    @classmethod
    def from_list(cls, data: Any) -> OffState:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            It is not that.
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
    """Decide of each reading of one stream, in order, whether its alarms are suppressed."""

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
        """Return the features that conditions are about."""
        return {condition.feature for condition in self._conditions}

    def take(
        self, state: OffState, at: datetime, features: Mapping[str, float], late: bool = False
    ) -> dict[str, Any] | None:
        """Return why a reading is suppressed, as its metadata says it; None: it is not.

        Parameters
        ----------
        state
            Whether the machine is off, and since when; it is brought up to date.
        at
            The reading's time.
        features
            Its values by name.
        late
            It is older than the newest: it changes no ``state``.
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
        for gone in state.since.keys() - names:  # a condition that is no more holds no more
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
    """All maintenance windows and machine-off conditions that have one of their effects.

    Parameters
    ----------
    refused : what is wrong with stored ones that are left out.
    """

    windows: tuple[MaintenanceWindow, ...] = ()
    conditions: tuple[OffCondition, ...] = ()
    refused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.windows or self.conditions)

    def of(self, stream: tuple[str, str | None], group: str) -> Suppressor:
        """Return what speaks for a stream."""
        return Suppressor(self.windows, self.conditions, stream, group)

    def in_group(self, group: str) -> Suppression:
        """Return what speaks for streams of a group, whatever group they are scored by."""
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

        A row that plain SQL made and that cannot be used costs no other: it is left out, and its
        error logged.

        Parameters
        ----------
        windows, conditions
            The rows.
        effect
            What a window must be planned for, ``alarms`` or ``training``.
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
    """Make what can be made of rows; what is wrong with the others is added to ``refused``."""
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
    """Return which readings of one stream (n,), in time order, are suppressed.

    Parameters
    ----------
    suppressor
        What concerns the stream.
    times : (n,)
    rows : (n,)
        Features by name.
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
    """A rule from its first local time on; ``rule`` is None where it fits no day at all.

    ``step`` is by what its first time may move without moving any other: a span, or years.
    """

    rule: rrule | None
    first: datetime
    step: timedelta | int
    count: int | None
    until: datetime | None

    def between(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Yield its times from ``since`` to ``until``, without walking through those before.

        With a COUNT, which must be counted from the first, those before are yielded, too.
        """
        if self.rule is None:
            return iter(())
        until = until if self.until is None else min(until, self.until)
        if self.count is not None:
            return islice(self.rule.replace(until=until), self.count)
        begin = self.rule.replace(dtstart=self._moved(since), until=until)
        return (at for at in begin if at >= since)

    def _moved(self, since: datetime) -> datetime:
        """Return the first time moved to shortly before ``since``."""
        if since <= self.first:
            return self.first
        if isinstance(self.step, timedelta):
            return self.first + (since - self.first) // self.step * self.step
        years = (since.year - self.first.year - 1) // self.step * self.step
        try:
            return self.first.replace(year=self.first.year + max(years, 0))
        except ValueError:  # the 29th of February of 2100
            return self.first


@lru_cache(maxsize=1024)
def _rule(text: str, time_zone: str, first: datetime) -> _Rule:
    """Read a rule, so that following it is quick whatever it says."""
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
        # dateutil looks for a time until the year 9999; days and weekdays repeat every 400 years
        late = first.replace(year=first.year + (9999 - first.year) // 400 * 400)
        fits = next(iter(found.replace(dtstart=late)), None) is not None
        step = _UNITS.get(frequency)
        return _Rule(
            found.replace(count=None) if fits else None, first,
            4 * interval if step is None else interval * step,  # in 4 years is a leap day again
            count if "COUNT" in parts else None, ends,
        )  # fmt: skip
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise InputError(
            f"rrule: {text!r:.120} is not a rule by RFC 5545, such as FREQ=WEEKLY;BYDAY=SU"
            f" ({error})",
            field="rrule",
        ) from None


def _end(found: re.Match[str], zone: ZoneInfo) -> datetime:
    """UNTIL as a local time; a date counts whole."""
    text, utc = found.groups()
    if "T" not in text:
        return datetime.combine(datetime.strptime(text, "%Y%m%d").date(), time.max)
    at = datetime.strptime(text, "%Y%m%dT%H%M%S")
    return at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if utc else at


def _instant(local: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """Return the moment (UTC) of a local time.

    Of the two that it may stand for the one of ``fold``.
    """
    at = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return at
    # it is left out: the clock is put forward between what its two readings would be
    early, late = (local.replace(tzinfo=zone, fold=f).astimezone(UTC) for f in (1, 0))
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
