"""Show the list of incidents and single incidents, and run people's actions on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from config import Settings
from db.fault_codes import fault_codes
from db.incident_actions import Action, Outcome, perform
from db.queries import incidents
from db.queries.incidents import IncidentFilter
from errors import AnomalyError, InputError, StorageUnavailable
from schemas import moved
from serving.http.feedback_handlers import effects
from serving.http.incident_handlers import csv_response
from serving.http.paths import path_id
from serving.page.forms import Form
from serving.page.log_turns import folded
from serving.page.pages import Messages, failed, given_query, message
from serving.page.series import incident_series
from serving.page.views.screen import Screen
from serving.requests.incident_bodies import BODIES, read_filters, read_if_match
from serving.requests.wire import convert, read_parameters

#: Default list: something is wrong, and nobody has looked.
FIRST: Final = "open-unacknowledged"
EVERY: Final = "all"
#: Actions that the list offers for many incidents at once.
BULK: Final = ("acknowledge", "shelve")
READINGS: Final = 2000  # drawn at most; the page says if there are more
#: Maximum log entries on one screen.
LOG: Final = 200
#: Incidents of the same asset within this time are shown as neighbours.
NEAR: Final = timedelta(hours=24)
NEIGHBOURS: Final = 20  # listed at most
SPANS: Final = {"1 hour": 3600, "8 hours": 28_800, "1 day": 86_400, "3 days": 259_200,
                "7 days": 604_800}  # fmt: skip


class LogPage(Struct, frozen=True):
    """The page of the log: the newest entries before this number."""

    log_before: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


@dataclass(frozen=True, slots=True)
class IncidentViews(Screen):
    """Show and change incidents.

    Parameters
    ----------
    settings : Settings
    """

    settings: Settings

    @property
    def spans(self) -> dict[str, int]:
        """Return the possible shelving times: seconds by label."""
        return {name: s for name, s in SPANS.items() if s <= self.settings.max_shelve_s}

    async def list_all(self, request: Request, messages: Messages = ()) -> Response:
        """Show the incidents of one state."""
        query = given_query(request)
        state = query.pop("state", FIRST)
        query.pop("format", None)  # this call always returns HTML
        wanted = query if state == EVERY else {**query, "state": state}
        content: dict[str, Any] = {"rows": [], "counts": {}, "exact": True, "following": None}
        status = 200
        try:
            filters, limit, cursor, _ = read_filters(wanted)
            content = await self.database.run(_page, filters, limit, cursor)
        except InputError as error:
            status, messages = error.status, [*messages, failed(error)]
        except StorageUnavailable as error:
            status = error.status
        filters_given = {k: v for k, v in query.items() if k not in ("cursor", "limit")}
        return await self.pages.show(
            request, "incidents.html", status, state=state, query=filters_given,
            messages=messages, spans=self.spans, readable=status == 200, **content,
        )  # fmt: skip

    async def spreadsheet(self, request: Request) -> Response:
        """Return the incidents of the list as CSV, as the REST API does; say if there are more."""
        query = {**given_query(request), "format": "csv"}
        if query.get("state") == EVERY:
            del query["state"]
        filters, limit, cursor, _ = read_filters(query)
        rows, following = await self.database.run(
            incidents.incident_page, filters, limit=limit, cursor=cursor
        )
        more = f"These are the {len(rows):,} with the newest activity: more fit the filters"
        return csv_response(rows, following, f"{more}. Narrow them for the others.")

    async def act_on_many(self, request: Request) -> Response:
        """Apply an action to the selected incidents; report each failure."""
        return await self.list_all(request, await self._attempt(request, None))

    async def show(self, request: Request, messages: Messages = ()) -> Response:
        """Show one incident."""
        wanted = path_id(request, "incident")
        query = {k: v for k, v in given_query(request).items() if k == "log_before"}
        page = read_parameters(LogPage, query)
        found = await self.database.run(_incident, wanted, page.log_before)
        return await self.pages.show(
            request, "incident.html", messages=messages, spans=self.spans, **found
        )

    async def act_on_one(self, request: Request) -> Response:
        """Apply an action to one incident."""
        return await self.show(request, await self._attempt(request, path_id(request, "incident")))

    async def _attempt(self, request: Request, only: UUID | None) -> list[dict[str, str]]:
        """Run a form's action; return the messages about it."""
        form = await self.forms.read(request)
        try:
            verb, targets = _asked(form, only)
            action = Action(verb, form.who, _arguments(verb, form), form.once)
            outcome = await self.database.run(perform, action, targets, self.settings)
        except AnomalyError as error:
            return [failed(error)]
        messages = _outcome(action, outcome, len(targets))
        for row in outcome.feedback.values():  # the effects of closing with a verdict
            changes = await self.database.run(effects, row, self.settings)
            messages.append(message("done", changes["says"]))
        if outcome.warning:
            messages.append(message("failed", outcome.warning))
        return messages


def _page(
    connection: Connection, filters: IncidentFilter, limit: int, cursor: str | None
) -> dict[str, Any]:
    rows, following = incidents.incident_page(connection, filters, limit=limit, cursor=cursor)
    counts, exact = incidents.incident_counts(connection, filters)
    return {"rows": rows, "counts": counts, "exact": exact, "following": following}


def _incident(connection: Connection, wanted: UUID, log_before: int | None) -> dict[str, Any]:
    incident = incidents.get_incident(connection, wanted)
    around = IncidentFilter(
        asset_id=incident["asset_id"],
        start=moved(incident["started_at"], -NEAR),
        end=moved(incident["last_activity_at"], NEAR),
    )
    near, following = incidents.incident_page(connection, around, limit=NEIGHBOURS + 1)
    near = [one for one in near if one["id"] != wanted]
    readings = incidents.incident_readings(
        connection, incident, start=None, end=None, limit=READINGS
    )
    log = incidents.get_log(connection, wanted, limit=LOG + 1, before_id=log_before, newest=True)
    return {
        "incident": incident,
        "log": log[-LOG:],
        "turns": folded(log[-LOG:]),
        "log_page": {"earlier": len(log) > LOG, "later": log_before is not None},
        "near": near[:NEIGHBOURS],
        "more_near": following is not None or len(near) > NEIGHBOURS,
        "series": incident_series(incident, readings),
        "fault_codes": fault_codes(connection)[0],
        "truncated": len(readings) == READINGS,
    }


def _asked(form: Form, only: UUID | None) -> tuple[str, list[tuple[UUID, int | None]]]:
    """Return the action, and the incidents with the versions that the form showed."""
    verb, picked = form.text("verb") or "", form.all("incident")
    single = form.text("acknowledge")
    if single is not None:  # the button in one row
        verb, picked = "acknowledge", [single]
    if verb not in BODIES or (only is None and verb not in BULK):
        raise InputError(f"verb: {verb!r:.40} is not an action", field="verb")
    if only is not None:
        return verb, [(only, read_if_match(form.text("version")))]
    if not picked:
        raise InputError("no incident is selected: tick some first", field="incident")
    targets = []
    for one in dict.fromkeys(picked):
        try:
            name, version = one.split(":")
            targets.append((UUID(name), read_if_match(version)))
        except ValueError:
            raise InputError(f"incident: {one!r:.80} is none", field="incident") from None
    return verb, targets


def _arguments(verb: str, form: Form) -> dict[str, Any]:
    """Return the action's body, validated as by the REST API."""
    names = BODIES[verb].__struct_fields__
    body: dict[str, Any] = {name: form.text(name) for name in names if name != "who"}
    if body.get("seconds") is not None:
        try:
            body["seconds"] = float(body["seconds"])
        except ValueError:
            raise InputError("seconds: is not a number", field="seconds") from None
    # an empty assignee or ticket removes the present one
    kept = ("assignee", "ticket")
    given = {k: v for k, v in body.items() if v is not None or k in kept}
    arguments = msgspec.structs.asdict(convert(BODIES[verb], given))
    del arguments["who"]
    return arguments


def _outcome(action: Action, outcome: Outcome, asked: int) -> list[dict[str, str]]:
    """Return messages about the changed incidents, and about each failed one."""
    messages = []
    if outcome.affected:
        plural = "" if outcome.affected == 1 else "s"
        many = f"{outcome.affected} incident{plural}" if asked > 1 else "The incident"
        unusual = {"commented": f"{many} noted", "ticket set": "The ticket is kept"}
        done = unusual.get(action.what, f"{many} {action.what}")
        messages.append(message("done", f"{done}, as {action.who}"))
    elif not outcome.errors:
        messages.append(message("done", "Nothing to change: this was already done"))
    for one, error in outcome.errors.items():
        messages.append(failed(error, _name(outcome.incidents.get(one))))
    return messages


def _name(incident: dict[str, Any] | None) -> str:
    parts: Sequence[str | None] = ()
    if incident is not None:
        parts = (incident["asset_id"], incident["sensor_id"], incident["feature"])
    return " · ".join(filter(None, parts))
