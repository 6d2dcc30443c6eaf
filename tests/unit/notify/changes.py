"""Changes of a made-up incident, for the tests of what is sent about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from db.queries.notifications import Change
from notify.routes import Route
from notify.test import sample

AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def change(what: str = "opened", /, **fields: Any) -> Change:
    """A change; what is no field of it is a column of the incident."""
    made = sample(Route(receivers=("x",), severity="high"))
    names = {name: fields.pop(name) for name in set(fields) & set(Change.__dataclass_fields__)}
    incident = {**made.incident, "started_at": AT, "last_activity_at": AT, **fields}
    names = {"state_now": incident["state"], "why": None, "log_id": 7, **names}
    return replace(made, what=what, at=AT, incident=incident, **names)
