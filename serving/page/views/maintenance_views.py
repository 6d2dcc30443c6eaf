"""What is muted: maintenance windows with their next occurrences, shelved and suppressed ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from db.queries.incidents import IncidentFilter, incident_page
from db.queries.schedules import (
    add_window,
    delete_window,
    get_window,
    off_conditions,
    window_fields,
    windows,
)
from errors import AnomalyError, InputError, NotFound, PreconditionFailed
from serving.database import Database
from serving.http.rest_app import Call
from serving.http.schedule_handlers import OCCURRENCES, RECENT, columns
from serving.page.forms import Form, FormReader
from serving.page.pages import Pages, message
from serving.requests.suppression_bodies import NewWindow, window
from serving.requests.wire import convert, given

#: Next occurrences that are shown of a window, and in a preview.
SHOWN: Final = 3
LISTED: Final = 100
RULES: Final = {
    "": "never", "FREQ=DAILY": "every day", "FREQ=WEEKLY": "every week",
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR": "Monday to Friday", "FREQ=MONTHLY": "every month",
}  # fmt: skip
_FIELDS: Final = ("asset_id", "sensor_id", "group", "start", "end", "time_zone", "reason")


class MaintenanceViews:
    """The screen.

    Parameters
    ----------
    pages : Pages
    forms : FormReader
    database : Database
    """

    def __init__(self, pages: Pages, forms: FormReader, database: Database) -> None:
        self._pages = pages
        self._forms = forms
        self._database = database

    async def show(self, request: Request) -> Response:
        """Show what is muted."""
        return await self._show(request, [], {}, None)

    async def act(self, request: Request) -> Response:
        """Preview or plan a window, or take one away."""
        form = await self._forms.read(request)
        typed, preview, said = _typed(form), None, ""
        try:
            if form.text("do") == "delete":
                await self._database.run(lambda connection: _delete(connection, form))
                said, typed = f"The window is taken away, as {form.who}", {}
            else:
                planned = window(_body(form))
                preview = planned.upcoming(datetime.now(UTC), OCCURRENCES)
                if form.text("do") == "add":
                    values = columns(planned)
                    await self._database.run(
                        lambda connection: add_window(connection, values, form.who)
                    )
                    said, typed, preview = f"The window is planned, as {form.who}", {}, None
        except AnomalyError as error:
            return await self._show(request, [message("failed", error.message)], typed, None)
        done = [message("done", said)] if said else []
        return await self._show(request, done, typed, preview)

    async def _show(
        self,
        request: Request,
        messages: list[dict[str, str]],
        given: dict[str, str],
        preview: list[tuple[datetime, datetime]] | None,
    ) -> Response:
        now = datetime.now(UTC)
        content: dict[str, Any] = {"windows": [], "shelved": [], "suppressed": [], "off": []}
        status = 200
        try:
            content = await self._database.run(lambda connection: _muted(connection, now))
        except AnomalyError as error:
            status = error.status
        return await self._pages.show(
            request, "maintenance.html", status, messages=messages, given=given,
            preview=preview, rules=RULES, now=now, readable=status == 200, **content,
        )  # fmt: skip


def _muted(connection: Connection, now: datetime) -> dict[str, Any]:
    found = [_planned(row, now) for row in windows(connection, now - RECENT)]
    listed = {
        state: incident_page(connection, IncidentFilter(states=(state,)), limit=LISTED)[0]
        for state in ("shelved", "suppressed")
    }
    return {
        "windows": sorted(found, key=lambda one: (not one["on"], one["row"]["starts_at"])),
        "off": off_conditions(connection),
        **listed,
    }


def _planned(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return a window's row, when it is in force, and why it never is where plain SQL made it."""
    try:
        planned = window(window_fields(row))
    except InputError as error:
        return {"row": row, "next": [], "on": False, "refused": error.message}
    spans, on = planned.upcoming(now, SHOWN), planned.covers(now)
    return {"row": row, "next": spans, "on": on, "refused": None}


def _typed(form: Form) -> dict[str, str]:
    """Return what was filled in, so that it need not be typed again."""
    names = (*_FIELDS, "repeat", "rrule", "alarms", "training")
    return {name: form.text(name) or "" for name in names} | {"filled": "yes"}


def _body(form: Form) -> dict[str, Any]:
    """Return the window's fields, checked as the REST API does."""
    body: dict[str, Any] = {name: value for name in _FIELDS if (value := form.text(name))}
    body |= {name: form.text(name) is not None for name in ("alarms", "training")}
    rule = form.text("rrule") or form.text("repeat")
    found = given(convert(NewWindow, body | ({"rrule": rule} if rule else {})), "who")
    if not (body["alarms"] or body["training"]):
        raise InputError("alarms: the window has no effect at all", field="alarms")
    return found


def _delete(connection: Connection, form: Form) -> None:
    try:
        wanted, version = UUID(form.text("id") or ""), int(form.text("version") or "0")
    except ValueError:
        raise NotFound("no such maintenance window") from None
    found = get_window(connection, wanted, lock=True)
    if found is None:
        raise NotFound("this maintenance window was taken away by somebody else")
    if found["version"] != version:
        by = found["changed_by"] or found["created_by"]
        raise PreconditionFailed(f"somebody was faster: {by} changed this window")
    delete_window(connection, wanted, form.who)


def maintenance_pages(views: MaintenanceViews) -> list[Call]:
    """Return the addresses."""
    return [
        Call("/maintenance", "GET", "read", views.show),
        Call("/maintenance", "POST", "operate", views.act),
    ]


def concerns(row: dict[str, Any], asset_id: str) -> bool:
    """Return whether a window may be about an asset, whichever its sensors."""
    fields = {**window_fields(row), "sensor_id": None, "group": None}
    try:
        return window(fields).concerns(asset_id, None, "")
    except InputError:  # the page of all windows says why
        return False
