"""Build the messages about a change: JSON for systems, text and HTML for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

import orjson

from db.queries.notifications import Change
from notify.routes import reported_as

_BY_PEOPLE = ("acknowledged", "unacknowledged", "assigned", "closed", "reopened", "commented")


def change_id(change: Change) -> str:
    """Return the unique id of a change, the same at each delivery."""
    return f"{change.incident['id']}-{change.log_id}"


def body(change: Change) -> bytes:
    """Encode the incident as in its topic, with the change under ``change``."""
    about = {
        "id": change_id(change), "what": reported_as(change) or change.what, "who": change.who,
        "why": change.why, "at": change.occurred_at or change.at,
    }  # fmt: skip
    return orjson.dumps({**change.incident, "change": about})


def title(change: Change) -> str:
    """Return a one-line title without control characters."""
    incident = change.incident
    found = f"[{incident['severity']}] {stream(incident)}: {reported_as(change) or change.what}"
    return clean(found if change.why is None else f"{found} ({change.why})")[:200]


def stream(incident: dict[str, Any]) -> str:
    """Return the name of an incident's stream."""
    parts = (incident["asset_id"], incident["sensor_id"], incident["feature"])
    return " / ".join(part for part in parts if part)


def clean(value: object) -> str:
    """Return one line of printable text."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def facts(change: Change, link: str | None) -> list[tuple[str, str]]:
    """List the facts for people, by name."""
    incident = change.incident
    named = {
        "what": reported_as(change) or change.what, "why": change.why,
        "by": change.who if change.what in _BY_PEOPLE else None,
        "stream": stream(incident), "group": incident["group_name"], "kind": incident["kind"],
        "severity": incident["severity"], "state": incident["state"],
        "began": _time(incident["started_at"]), "anomalies": incident["anomalies"],
        "last anomaly": _time(incident["last_activity_at"]),
        "furthest from expected": _features(incident),
        "assigned to": incident["assignee"], "ticket": incident["ticket"],
        "incident": incident["id"], "more": link and link.replace("{id}", str(incident["id"])),
    }  # fmt: skip
    return [(name, clean(value)[:500]) for name, value in named.items() if value]


def _time(value: datetime | None) -> str | None:
    return None if value is None else f"{value:%Y-%m-%d %H:%M:%S %Z}"


def _features(incident: dict[str, Any]) -> str:
    def number(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, int | float) else "?"

    def described(one: dict[str, Any]) -> str:
        if one.get("no_value_since") and one.get("actual") is None:
            return f"no value from {one.get('feature')} since {one['no_value_since']}"
        actual, expected = number(one.get("actual")), number(one.get("expected"))
        return f"{one.get('feature')} {actual} (expected {expected})"

    return ", ".join(described(one) for one in (incident["peak"] or {}).get("features", ())[:3])


def plain(changes: Sequence[Change], link: str | None, max_lines: int = 1000) -> str:
    """Format one change in full, or several with one line each.

    Parameters
    ----------
    changes : sequence of Change
    link : str or None
        Address of an incident, containing ``{id}``.
    max_lines : int
        Maximum lines of a summary.
    """
    if len(changes) == 1:
        return "\n".join(f"{name}: {value}" for name, value in facts(changes[0], link))
    lines = [f"{_time(one.at)}  {title(one)}" for one in changes[:max_lines]]
    if len(changes) > max_lines:
        lines.append(f"... and {len(changes) - max_lines} more")
    return "\n".join(lines)


def html(changes: Sequence[Change], link: str | None) -> str:
    """Format the same as HTML; all content is escaped."""
    lines = [(str(_time(one.at)), title(one)) for one in changes]
    rows = facts(changes[0], link) if len(changes) == 1 else lines
    cells = "".join(
        f"<tr><th align=left>{escape(name)}</th><td>{_cell(name, value)}</td></tr>"
        for name, value in rows
    )
    return f"<!doctype html><html><body><table>{cells}</table></body></html>"


def _cell(name: str, value: str) -> str:
    text = escape(value)
    return f'<a href="{text}">{text}</a>' if name == "more" else text


def subject(changes: Sequence[Change]) -> str:
    """Return a one-line subject."""
    if len(changes) == 1:
        return title(changes[0])
    incidents = len({one.incident["id"] for one in changes})
    return f"{len(changes)} changes of {incidents} incidents"
