"""Read the file of routes: who is notified of which incidents, when, and how.

Every error names the file, the route or receiver, and the field. Values like ``${NAME}`` are read
from the environment; they never appear in a message or ``repr``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from db.queries.notifications import Change
from errors import AnomalyError, SettingsError
from schemas import SEVERITIES, Criticality

ChangeName = Literal[
    "opened", "escalated", "resumed", "reopened", "cleared", "closed", "acknowledged",
    "unacknowledged", "assigned", "ticket set", "commented", "persistent",
]  # fmt: skip
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
#: Fields of a receiver that are secret even if the file contains them.
_SECRET = ("url", "secret", "password", "headers")
_QUIET_STATES = ("shelved", "suppressed")
Seconds = Annotated[float, Meta(ge=0.1, le=86_400)]
Filled = Annotated[str, Meta(min_length=1)]
Several = Annotated[int, Meta(ge=0, le=1_000_000)]


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """Base of the file's tables; an unknown field is an error."""


class Quiet(_Table, kw_only=True, rename={"start": "from"}):
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


class Route(_Table, kw_only=True):
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


class Receiver(_Table, kw_only=True, tag_field="type"):
    """A receiver of notifications."""

    timeout_s: Seconds = 10.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"  # fields may be secret


class Web(Receiver, kw_only=True):
    """A receiver with an address."""

    url: str
    headers: dict[str, str] = {}
    cafile: str | None = None

    def __post_init__(self) -> None:
        """Check the address."""
        try:
            parts = urlsplit(self.url)
            well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            well = False
        if not well:
            raise ValueError("url: no address like https://host/path")


class Webhook(Web, kw_only=True, tag="webhook"):
    """Receives the incident as signed JSON."""

    secret: Filled | None = None


class Alertmanager(Web, kw_only=True, tag="alertmanager"):
    """Prometheus' Alertmanager: receives the present state repeatedly."""

    repeat_s: Seconds = 60.0


class Email(Receiver, kw_only=True, tag="email"):
    """Receives mails."""

    host: Filled
    sender: str
    to: tuple[str, ...]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    cafile: str | None = None
    user: str | None = None
    password: str | None = None
    summary_above: Several = 20

    def __post_init__(self) -> None:
        """Check the addresses."""
        if not self.to:
            raise ValueError("to: nobody")
        for one in (self.sender, *self.to):
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", one):
                raise ValueError("sender, to: not all are addresses like name@host")


class Apprise(Receiver, kw_only=True, tag="apprise"):
    """A service that the library apprise reaches by a URL."""

    url: Filled
    summary_above: Several = 20


AnyReceiver = Webhook | Alertmanager | Email | Apprise


class Secrets:
    """Values from the environment, which must never be shown.

    Parameters
    ----------
    environment : mapping
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._found: set[str] = set()

    def fill(self, value: Any, at: str = "") -> Any:
        """Replace ``${NAME}`` by the environment's values, and remember these."""
        if isinstance(value, dict):
            return {k: self.fill(v, f"{at}.{k}".strip(".")) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(one, at) for one in value]
        if not isinstance(value, str):
            return value
        for name in _VARIABLE.findall(value):
            if not self._environment.get(name, "").strip():
                raise LookupError(f"{at}: ${{{name}}} is not set in the environment")
            self._add(self._environment[name].strip())
        filled = _VARIABLE.sub(lambda match: self._environment[match[1]].strip(), value)
        if at.split(".")[0] in _SECRET:  # secret even if written in the file itself
            self._add(filled)
        return filled

    def _add(self, value: str) -> None:
        _, found, address = value.partition("://")  # an error may contain only a part of it
        parts = re.split(r"[/:@?&=#]+", address) if found else value.split()
        self._found |= {value, *(one for one in parts if len(one) > 3)} - {""}

    def scrub(self, text: object) -> str:
        """Remove secrets from a message, and shorten it."""
        found = " ".join(str(text).split())
        for secret in sorted(self._found, key=len, reverse=True):
            found = found.replace(secret, "***")
        return found[:300]


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


def load(path: str, environment: Mapping[str, str]) -> Routes:
    """Read the file of routes.

    Raises
    ------
    SettingsError
        Names the file, the route or receiver, and the field.
    """
    where = f"NOTIFY_ROUTES: {path}"
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # not TOML, not UTF-8, too deep
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{where}: {reason}", field="NOTIFY_ROUTES") from None
    if unknown := raw.keys() - {"link", "routes", "receivers"}:
        raise _wrong(where, f"{min(unknown)!r} is no field")
    secrets = Secrets(environment)
    receivers: dict[str, AnyReceiver] = _each(raw, "receivers", AnyReceiver, where, secrets)
    routes: dict[str, Route] = _each(raw, "routes", Route, where, secrets)
    for name, route in routes.items():
        unknown = set(route.receivers) - receivers.keys()
        if unknown or not route.receivers:
            problem = f"there is no receiver {min(unknown)!r}" if unknown else "is empty"
            raise _wrong(where, f"route {name!r}: receivers: {problem}")
    link = raw.get("link")
    if link is not None and not (isinstance(link, str) and "{id}" in link):
        raise _wrong(where, "link: is not a text that contains {id}")
    shown = {name: _shown(table) for name, table in raw["receivers"].items()}
    return Routes(routes, receivers, shown, link, secrets)


def _wrong(where: str, what: str) -> SettingsError:
    return SettingsError(f"{where}: {what}", field="NOTIFY_ROUTES")


def _each(raw: dict[str, Any], key: str, kind: Any, where: str, secrets: Secrets) -> Any:
    tables, found = raw.get(key), {}
    if not isinstance(tables, dict) or not tables:
        raise _wrong(where, f"{key}: no [{key}.NAME] in it")
    for name, table in tables.items():
        entry = f"{key[:-1]} {name!r}"
        if not _NAME.fullmatch(name):
            raise _wrong(where, f"{entry}: names have 1 to 100 characters, no control characters")
        try:
            filled = secrets.fill(table) if key == "receivers" else table
            found[name] = msgspec.convert(filled, kind)
        except (msgspec.ValidationError, LookupError, ValueError) as error:
            what, _, at = str(error.args[0]).partition(" - at `$")
            at = f"{at.strip('.`')}: " if at else ""
            raise _wrong(where, f"{entry}: {at}{secrets.scrub(what)}") from None
    return found


def _shown(table: Mapping[str, Any]) -> str:
    """Describe a receiver as in the file, without secret fields."""
    at = str(table.get("url") or table["host"])
    if "${" not in at and "://" in at:
        shown = "..." if table["type"] == "apprise" else urlsplit(at).hostname
        at = f"{at.partition('://')[0]}://{shown}"
    return f"{table['type']} {at}"
