"""Show muted streams: maintenance windows with their next occurrences, shelved and suppressed ones.

One form plans, changes and previews windows; after an error it keeps what was typed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from db.queries import schedules
from db.queries.incidents import IncidentFilter, incident_page
from errors import AnomalyError, InputError, NotFound
from serving.http.schedule_handlers import OCCURRENCES, RECENT, locked_window
from serving.page.forms import Form
from serving.page.pages import Messages, failed, message
from serving.page.views.screen import GroupScreen
from serving.requests.incident_bodies import read_if_match
from serving.requests.suppression_bodies import NewWindow, window
from serving.requests.wire import convert, present_fields

#: Number of next occurrences shown for a window and in a preview.
SHOWN: Final = 3
LISTED: Final = 100  # muted incidents, per state
RULES: Final = {
    "": "never", "FREQ=DAILY": "every day", "FREQ=WEEKLY": "every week",
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR": "Monday to Friday", "FREQ=MONTHLY": "every month",
}  # fmt: skip
_NAMES: Final = ("asset_id", "sensor_id", "group")
_FIELDS: Final = (*_NAMES, "start", "end", "time_zone", "reason")
#: Fields of the form; ``id`` and ``version`` belong to the window being changed.
_TYPED: Final = (*_FIELDS, "repeat", "rrule", "alarms", "training", "id", "version")


@dataclass(frozen=True, slots=True)
class _Done:
    """Result of a form: the message, the form's new content, and the window's occurrences."""

    report: str = ""
    typed: dict[str, Any] = field(default_factory=dict)
    preview: list[tuple[datetime, datetime]] | None = None


class MaintenanceViews(GroupScreen):
    """Show and change maintenance windows."""

    async def show(
        self, request: Request, messages: Messages = (), done: _Done | None = None
    ) -> Response:
        """Show everything that is muted.

        Parameters
        ----------
        request : Request
        messages : sequence of dict
            Messages at the top.
        done : _Done, optional
            Result of the submitted form.
        """
        done = done or _Done()
        content, status = await self.content(
            _muted, datetime.now(UTC), without={"windows": [], "shelved": [], "suppressed": []}
        )
        return await self.pages.show(
            request, "maintenance.html", status, messages=messages, given=done.typed,
            preview=done.preview, rules=RULES, listed=LISTED, readable=status == 200,
            unknown=self.unknown(one["row"]["group"] for one in content["windows"]), **content,
        )  # fmt: skip

    async def act(self, request: Request) -> Response:
        """Preview, plan, change, end or delete a window."""
        form = await self.forms.read(request)
        try:
            done = await self.database.run(_act, form)
        except AnomalyError as error:
            return await self.show(request, [failed(error)], _Done(typed=_typed(form)))
        messages = [message("done", f"{done.report}, as {form.who}")] if done.report else []
        return await self.show(request, messages, done)


def _muted(connection: Connection, now: datetime) -> dict[str, Any]:
    found = [_planned(row, now) for row in schedules.windows(connection, now - RECENT)]
    listed = {
        state: incident_page(connection, IncidentFilter(states=(state,)), limit=LISTED)[0]
        for state in ("shelved", "suppressed")
    }
    return {
        "windows": sorted(found, key=lambda one: (not one["on"], one["row"]["start"])),
        **listed,
    }


def _planned(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return a window's row with its occurrences, or the reason why plain SQL made it invalid."""
    try:
        planned = window(schedules.window_fields(row))
    except InputError as error:
        return {"row": row, "next": [], "on": False, "refused": error.message}
    spans, on = planned.upcoming(now, SHOWN), planned.covers(now)
    return {"row": row, "next": spans, "on": on, "refused": None}


def _act(connection: Connection, form: Form) -> _Done:
    """Run the action of a button; an unknown value of ``do`` only previews."""
    do = form.text("do")
    row = locked_window(connection, *_named(form)) if form.text("id") else None
    if row is not None and do in ("edit", "end", "delete"):
        return _act_on_row(connection, form.who, row, do)
    planned = window(_body(form, row or {}))
    if do == "add":
        schedules.add_window(connection, asdict(planned), form.who, form.once)
        narrow = planned.asset_id or planned.sensor_id or planned.group
        return _Done(f"The window is planned{'' if narrow else ' for the whole plant'}")
    if do == "change" and row is not None:
        schedules.change_window(connection, row["id"], asdict(planned), form.who)
        return _Done("The window is changed")
    return _Done("", _typed(form), planned.upcoming(datetime.now(UTC), OCCURRENCES))


def _act_on_row(connection: Connection, who: str, row: dict[str, Any], do: str) -> _Done:
    fields = schedules.window_fields(row)
    if do == "edit":
        rule = "repeat" if fields.pop("rrule") in RULES else "rrule"
        return _Done(typed={**fields, rule: row["rrule"], "id": row["id"],
                            "version": row["version"]})  # fmt: skip
    if do == "delete":
        schedules.delete_window(connection, row["id"], who)
        return _Done("The window is deleted: its readings count again, in training as well")
    if row["rrule"] is not None:
        raise InputError("a recurring window cannot be ended: change it or delete it", field="do")
    ended = window({**fields, "end": datetime.now(UTC)})
    schedules.change_window(connection, row["id"], asdict(ended), who)
    return _Done("The window is ended: readings before now stay muted")


def _typed(form: Form) -> dict[str, Any]:
    """Return the form's values, so that they need not be typed again."""
    return {name: form.exact(name) for name in _TYPED} if form.text("filled") else {}


def _named(form: Form) -> tuple[UUID, int | None]:
    """Return the id of the form's window, and its version as shown."""
    try:
        return UUID(form.text("id") or ""), read_if_match(form.text("version"))
    except ValueError:
        raise NotFound("no such maintenance window") from None


def _body(form: Form, row: dict[str, Any]) -> dict[str, Any]:
    """Return the window's fields, validated as by the REST API.

    Names keep blanks at their ends if the window has them already; typed ones are a slip.
    """
    body: dict[str, Any] = {name: value for name in _FIELDS if (value := form.text(name))}
    body |= {name: row[name] for name in _NAMES if row.get(name) and form.exact(name) == row[name]}
    body |= {name: form.text(name) is not None for name in ("alarms", "training")}
    rule = form.text("rrule") or form.text("repeat")
    found = present_fields(convert(NewWindow, body | ({"rrule": rule} if rule else {})), "who")
    if not (body["alarms"] or body["training"]):
        text = "mute alarms, leave out of training, or both: else the window has no effect"
        raise InputError(text, field="alarms")
    return found


def concerns(row: dict[str, Any], asset_id: str) -> bool:
    """Return whether a window may concern an asset, regardless of sensors."""
    fields = {**schedules.window_fields(row), "sensor_id": None, "group": None}
    try:
        return window(fields).concerns(asset_id, None, "")
    except InputError:  # the page of all windows shows why
        return False
