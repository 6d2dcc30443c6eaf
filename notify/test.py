"""Send one test message through a route: ``python -m notify.test ROUTE``; ``--list`` shows them."""

from __future__ import annotations

import os
import sys
import uuid
from datetime import UTC, datetime

from config import load_settings
from db.incident_lifecycle import Incident
from db.queries.notifications import Change
from errors import AnomalyError, InputError, SettingsError
from notify.route_file import load
from notify.routes import Route, Routes
from notify.sender_interface import Sender
from notify.senders import make_all
from runtime import command_parser, configure_logging, run_command

WHO = "notify.test"


def sample(route: Route) -> Change:
    """Make a test incident that says that it is none."""
    now = datetime.now(UTC)
    incident = Incident(
        id=uuid.uuid4(), asset_id="TEST", sensor_id=None, feature=None, group_name=None,
        kind="test", asset_criticality=None, severity=route.severity, opened_at=now,
        started_at=now, last_activity_at=now, event_id=uuid.uuid4(), readings=1, anomalies=1,
        version=1, revision=1,
    ).row()  # fmt: skip
    state = "open-unacknowledged"
    shown = {name: value for name, value in incident.items() if name != "recent"}
    shown |= {"state": state, "created_at": now, "updated_at": now}
    why = "a test message: there is no such incident"
    return Change(0, "opened", WHO, why, now, {}, shown, state, route.severity, occurred_at=now)


def listed(routes: Routes) -> str:
    """Show the routes as a table."""
    rows: list[tuple[str, ...]] = [
        ("route", "assets", "sensors", "groups", "from", "changes", "quiet", "receivers")
    ]
    for name, route in routes.routes.items():
        patterns = (route.assets, route.sensors, route.groups)
        to = (f"{one} ({routes.shown[one]})" for one in route.receivers)
        rows.append((
            name, *map(", ".join, patterns), route.severity, ", ".join(route.changes),
            ", ".join(map(str, route.quiet)) or "-", ", ".join(to),
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def send(routes: Routes, path: str, name: str) -> bool:
    """Send to each receiver of a route and print the results; return whether all succeeded.

    Parameters
    ----------
    routes : Routes
    path : str
        Path of the file of routes, for errors.
    name : str
        Name of the route.
    """
    if name not in routes.routes:
        known = ", ".join(routes.routes)
        raise InputError(f"route: there is no {name!r}, only {known}", field="route")
    senders, sent = make_all(routes, path), list[bool]()
    for receiver in routes.routes[name].receivers:

        def deliver(sender: Sender = senders[receiver]) -> str:
            sender.send([sample(routes.routes[name])])
            return "sent"

        sent.append(routes.attempt(receiver, deliver))
    return all(sent)


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0: all receivers succeeded, 1: one failed, 2: the file is wrong."""
    parser = command_parser("notify.test", __doc__)
    parser.add_argument("route", nargs="?", help="a route of the file that NOTIFY_ROUTES names")
    parser.add_argument("--list", action="store_true", help="show the routes")
    options = parser.parse_args(argv)
    if (options.route is None) != options.list:
        parser.error("name a route, or --list")
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_json)
        if not settings.notify_routes:
            raise SettingsError("NOTIFY_ROUTES: is empty: there are no routes")
        routes = load(settings.notify_routes, os.environ)
        if options.list:
            print(listed(routes))
            return 0
        return 0 if send(routes, settings.notify_routes, options.route) else 1
    except AnomalyError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    run_command(main)
