"""Decide who is notified of which changes of incidents, and when: routes and quiet hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from db.queries.notifications import Change
from errors import AnomalyError
from notify.receivers import AnyReceiver, Table
from notify.secret_values import Secrets
from schemas import SEVERITIES, Criticality

ChangeName = Literal[
    "opened", "escalated", "resumed", "reopened", "cleared", "closed", "acknowledged",
    "unacknowledged", "assigned", "ticket set", "commented", "persistent", "no longer persistent",
]  # fmt: skip
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
_QUIET_STATES = ("shelved", "suppressed")


class Quiet(Table, kw_only=True, rename={"start": "from"}):
    """Hours in which incidents less severe than ``unless_severity`` are held."""

    start: str
    until: str
    time_zone: str = "UTC"
    days: tuple[Day, ...] = DAYS
    unless_severity: Criticality = "critical"

    def __post_init__(self) -> None:
        """Check the times."""
        for name, value in (("from", self.start), ("until", self.until)):
            _time(value, name)
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"time_zone: {self.time_zone!r} is no time zone") from None

    def __str__(self) -> str:
        """Return them in words: the days, if not all, the times and what is not held."""
        days = "" if set(self.days) == set(DAYS) else f"{' '.join(self.days)} "
        return f"{days}{self.start}-{self.until} {self.time_zone} unless {self.unless_severity}"

    def ends(self, now: datetime) -> datetime | None:
        """Return when the quiet hours that contain ``now`` end; None outside of quiet hours."""
        zone = ZoneInfo(self.time_zone)
        first, last = _time(self.start, "from"), _time(self.until, "until")
        today = now.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            start = datetime.combine(day, first, zone)
            until = datetime.combine(day + timedelta(days=last <= first), last, zone)
            # Compared in UTC, because the local clocks may change in between.
            if DAYS[day.weekday()] in self.days and (
                start.astimezone(UTC) <= now < until.astimezone(UTC)
            ):
                return until.astimezone(UTC)
        return None


def _time(value: str, name: str) -> time:
    try:
        found = time.fromisoformat(value)
        if found.tzinfo is not None:
            raise ValueError("time_zone has it")
        return found
    except ValueError:
        raise ValueError(f"{name}: {value!r} is no time of day, like '22:00'") from None


class Route(Table, kw_only=True):
    """Selects incidents, changes and times, and names the receivers."""

    receivers: tuple[str, ...]
    assets: tuple[str, ...] = ("*",)
    sensors: tuple[str, ...] = ("*",)
    groups: tuple[str, ...] = ("*",)
    severity: Criticality = "low"
    changes: tuple[ChangeName, ...] = ("opened", "escalated", "resumed", "reopened", "cleared")
    quiet: tuple[Quiet, ...] = ()

    def fits(self, incident: Mapping[str, Any]) -> bool:
        """Return whether the route matches an incident."""
        names = incident["asset_id"], incident["sensor_id"], incident["group_name"]
        return _rank(incident["severity"]) >= _rank(self.severity) and all(
            any(fnmatchcase(name or "", pattern) for pattern in patterns)
            for name, patterns in zip(names, (self.assets, self.sensors, self.groups), strict=True)
        )

    def held_until(self, severity: str, now: datetime) -> datetime | None:
        """Return until when quiet hours hold an incident of this severity; None: not held."""
        holding = [one for one in self.quiet if _rank(severity) < _rank(one.unless_severity)]
        ends = [one.ends(now) for one in holding]
        return max((end for end in ends if end is not None), default=None)


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity)


@dataclass(frozen=True, slots=True)
class Routes:
    """The content of the file; ``shown`` describes each receiver without secrets."""

    routes: dict[str, Route]
    receivers: dict[str, AnyReceiver]
    shown: dict[str, str]
    link: str | None
    secrets: Secrets = field(repr=False)

    def of(self, receiver: str) -> list[Route]:
        """Return the routes that name a receiver."""
        return [route for route in self.routes.values() if receiver in route.receivers]

    def reason(self, error: Exception) -> str:
        """Return an error's text, shortened and without secrets."""
        named = "" if isinstance(error, AnomalyError) else f"{type(error).__name__} "
        return self.secrets.scrub(f"{named}{error}")

    def attempt(self, receiver: str, what: Callable[[], str]) -> bool:
        """Try an action with a receiver and print the result; return whether it succeeded."""
        try:
            outcome, well = what(), True
        except Exception as error:  # libraries raise many types
            outcome, well = f"FAILED: {self.reason(error)}", False
        print(f"{receiver} ({self.shown[receiver]}): {outcome}", flush=True)
        return well


def reported_as(change: Change) -> str | None:
    """Return the kind of change that receivers are notified of; None: they are not notified.

    There are no notifications while an incident is shelved or suppressed. When this ends, its
    present state is reported: ``opened`` (still open), ``cleared`` or ``closed``.
    """
    state = str(change.incident["state"])
    if state in _QUIET_STATES or change.state_now in _QUIET_STATES:
        return None
    if change.what in ("unshelved", "unsuppressed"):
        return {"open": "opened", "cleared": "cleared"}.get(state.split("-")[0], state)
    if change.what == "joined":  # a new event is reported only if the incident had cleared
        return "resumed" if change.before.get("cleared_at") else None
    return change.what


def decide(
    routes: Sequence[Route], change: Change, now: datetime, *, all_changes: bool = False
) -> bool | datetime:
    """Return whether to notify a receiver of a change now, or the time until which to hold it.

    Quiet hours depend on the present severity: if an incident gets worse, its held changes are sent
    too.

    Parameters
    ----------
    routes : sequence of Route
        Routes that name the receiver.
    change : Change
    now : datetime
        Aware.
    all_changes : bool
        The receiver gets the present state, regardless of kind and time of changes.
    """
    fit = [route for route in routes if route.fits(change.incident)]
    if all_changes:
        return bool(fit)
    what = reported_as(change)
    held = [route.held_until(change.severity_now, now) for route in fit if what in route.changes]
    if not held or None in held:
        return bool(held)
    return min(end for end in held if end is not None)
