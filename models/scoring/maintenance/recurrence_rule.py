"""Follow recurrence rules (RRULE of RFC 5545) in local time, at bounded cost.

A local time that the clock change skips means the moment of the change; of one that occurs twice,
``fold`` chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from errors import InputError

#: Years in which rules begin and recur; dateutil's calendar ends with 9999.
RECURRING_YEARS: Final = range(1970, 3000)
#: Frequencies of a rule: an even more frequent window would be an off condition by another name.
_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
#: Maximum number of characters of a rule.
_MAX_RULE: Final = 500
#: Largest COUNT and INTERVAL: a rule with COUNT is walked from its first time for each new day.
_MAX_STEPS: Final = 10_000
_UNITS: Final = {
    "HOURLY": timedelta(hours=1), "DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)
}  # fmt: skip
#: Days of a period among which BYSETPOS chooses; an hour has one time, as BYMINUTE has one number.
_LONGEST_SETS: Final = {"HOURLY": 1, "DAILY": 1, "WEEKLY": 7, "MONTHLY": 31, "YEARLY": 366}
_DAY_PARTS: Final = ("BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "WKST")
_UNTIL: Final = re.compile(r";?\bUNTIL=(\d{8}(?:T\d{6})?)(Z?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
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
def parse_rule(text: str, time_zone: str, first: datetime) -> RecurrenceRule:
    """Parse a rule; reject rules that would be slow to follow.

    Parameters
    ----------
    text
        The rule, with or without ``RRULE:``.
    time_zone
        IANA name of the zone in which a UNTIL with ``Z`` is read as local time.
    first
        Local time at which the rule begins.

    Raises
    ------
    InputError
        It is not a usable rule; names the field ``rrule``.
    """
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
        ends = None if until is None else _end(until, zone_of(time_zone))
        late = found.replace(dtstart=_late(first))
        fits = _some_day_fits(frequency, parts, first) and next(iter(late), None) is not None
        step = _UNITS.get(frequency)
        return RecurrenceRule(
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


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises
    ------
    InputError
        There is no such zone; names the field ``time_zone``.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise InputError(
            f"time_zone: {name!r:.80} is not an IANA time zone, such as Europe/Berlin",
            field="time_zone",
        ) from None


def instant(local: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """Return the moment (UTC) of a local time.

    Parameters
    ----------
    local
        Without an offset.
    zone
        Its time zone.
    fold
        0 or 1: take the first or the second moment if the local time occurs twice.
    """
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


def _late(first: datetime) -> datetime:
    """Return a time after which dateutil finds a rule without any match within its calendar's end.

    Days and weekdays repeat every 400 years, so as many must be left.
    """
    return first.replace(year=first.year + (9999 - first.year) // 400 * 400 - 400)


def _some_day_fits(frequency: str, parts: dict[str, str], first: datetime) -> bool:
    """Return False if the rule's days or positions never come, which this finds out quickly.

    dateutil would walk all hours of its calendar. Days that fit no year fit no hour either.
    """
    hours = 1 if frequency == "HOURLY" else len(parts.get("BYHOUR", "").split(","))
    at_most = _LONGEST_SETS[frequency] * hours
    if all(abs(int(n)) > at_most for n in parts.get("BYSETPOS", "1").split(",")):
        return False
    if frequency not in _UNITS:
        return True
    days = {name: parts[name] for name in _DAY_PARTS if name in parts}
    # dateutil, too, ignores the number of a weekday in these frequencies
    days["BYDAY"] = re.sub("[^A-Z,]", "", parts.get("BYDAY", "MO,TU,WE,TH,FR,SA,SU"))
    text = ";".join(["FREQ=YEARLY", *(f"{name}={value}" for name, value in days.items())])
    return next(iter(rrulestr(text, dtstart=_late(first))), None) is not None


def _end(found: re.Match[str], zone: ZoneInfo) -> datetime:
    """Return UNTIL as a local time; a date means the end of that day."""
    text, utc = found.groups()
    if "T" not in text:
        return datetime.combine(datetime.strptime(text, "%Y%m%d").date(), time.max)
    at = datetime.strptime(text, "%Y%m%dT%H%M%S")
    return at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if utc else at
