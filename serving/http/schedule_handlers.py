"""Handle maintenance windows, machine-off conditions and stream resets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from db.queries import schedules
from errors import PreconditionFailed
from schemas import API_ROOT
from serving.database import Database
from serving.http.bodies import JsonResponse, read_query, versioned_response
from serving.http.body_reader import BodyReader
from serving.http.paths import path_asset, path_id
from serving.http.rest_app import route
from serving.requests.incident_bodies import read_if_match, read_token
from serving.requests.suppression_bodies import (
    NewWindow,
    OffConditions,
    StreamReset,
    WindowChange,
    WindowsQuery,
    off_condition_rows,
    window,
)
from serving.requests.wire import present_fields, read_parameters
from serving.responses import schedule_answers as answers

log = logging.getLogger("bentoml.serving.schedules")

#: Windows that ended longer ago are listed only with ``ended=true``.
RECENT = timedelta(days=7)
#: Number of occurrences in a preview.
OCCURRENCES = 10


@dataclass(frozen=True, slots=True)
class ScheduleHandlers:
    """Handle the requests.

    Parameters
    ----------
    database : Database
    bodies : BodyReader
    """

    database: Database
    bodies: BodyReader

    @route("GET", "/maintenance-windows", "read", query=WindowsQuery, answer=answers.Windows)
    async def windows(self, request: Request) -> Response:
        """List windows that are planned, recur or ended within a week."""
        ended = read_parameters(WindowsQuery, read_query(request)).ended
        now = datetime.now(UTC)
        since = datetime(1, 1, 2, tzinfo=UTC) if ended else now - RECENT
        rows = await self.database.run(schedules.windows, since)
        return JsonResponse({"maintenance_windows": [shown(row) for row in rows]})

    @route("POST", "/maintenance-windows/preview", "read", body=NewWindow,
           answer=answers.Occurrences)  # fmt: skip
    async def preview(self, request: Request) -> Response:
        """Preview the next occurrences of a window without saving it."""
        body, _ = await self.bodies.read(request, NewWindow)
        spans = window(present_fields(body, "who")).upcoming(datetime.now(UTC), OCCURRENCES)
        return JsonResponse({"occurrences": [{"start": a, "end": b} for a, b in spans]})

    @route("POST", "/maintenance-windows", "operate", body=NewWindow, answer=answers.Window,
           status=201, errors=(409,), headers=("Idempotency-Key",))  # fmt: skip
    async def add_window(self, request: Request) -> Response:
        """Add a maintenance window."""
        body, who = await self.bodies.read(request, NewWindow)
        values = asdict(window(present_fields(body, "who")))
        token = read_token(request.headers.get("idempotency-key"))
        row = await self.database.run(schedules.add_window, values, who, token)
        log.info("maintenance window %s added by %s", row["id"], who, extra={"action": "window"})
        return versioned_response(shown(row), 201)

    @route("PATCH", "/maintenance-windows/{id}", "operate", body=WindowChange,
           answer=answers.Window, errors=(412,), headers=("If-Match",))  # fmt: skip
    async def change_window(self, request: Request) -> Response:
        """Change some fields of a window."""
        wanted = path_id(request, "maintenance window")
        version = read_if_match(request.headers.get("if-match"))
        body, who = await self.bodies.read(request, WindowChange)
        changes = present_fields(body, "who")

        def change(connection: Connection) -> dict[str, Any]:
            before = locked_window(connection, wanted, version)
            values = asdict(window({**schedules.window_fields(before), **changes}))
            return schedules.change_window(connection, wanted, values, who)

        row = await self.database.run(change)
        log.info("maintenance window %s changed by %s", wanted, who, extra={"action": "window"})
        return versioned_response(shown(row))

    @route("DELETE", "/maintenance-windows/{id}", "operate", answer=answers.Deleted, errors=(412,),
           headers=("If-Match",))  # fmt: skip
    async def delete_window(self, request: Request) -> Response:
        """Delete a window."""
        wanted = path_id(request, "maintenance window")
        version = read_if_match(request.headers.get("if-match"))
        who = self.bodies.callers.name(request)

        def delete(connection: Connection) -> None:
            locked_window(connection, wanted, version)
            schedules.delete_window(connection, wanted, who)

        await self.database.run(delete)
        log.info("maintenance window %s deleted by %s", wanted, who, extra={"action": "window"})
        return JsonResponse({"id": str(wanted), "deleted": True})

    @route("GET", "/off-conditions", "read", answer=answers.ConditionTable)
    async def off_conditions(self, _: Request) -> Response:
        """List the conditions under which machines are off."""
        rows = await self.database.run(schedules.off_conditions)
        return JsonResponse({"off_conditions": [schedules.condition_wire(row) for row in rows]})

    @route("PUT", "/off-conditions", "operate", body=OffConditions, answer=answers.ConditionTable)
    async def put_off_conditions(self, request: Request) -> Response:
        """Replace all off conditions; if one is invalid, change nothing."""
        body, who = await self.bodies.read(request, OffConditions)
        rows = off_condition_rows(body.off_conditions)
        kept = await self.database.run(schedules.put_off_conditions, rows, who)
        log.info("%d off conditions set by %s", len(kept), who, extra={"action": "off"})
        return JsonResponse({"off_conditions": [schedules.condition_wire(row) for row in kept]})

    @route("POST", "/streams/{id:name}/reset", "operate", body=StreamReset, answer=answers.Reset,
           status=202, errors=(409,), headers=("Idempotency-Key",))  # fmt: skip
    async def reset(self, request: Request) -> Response:
        """Restart an asset's streams after an overhaul."""
        asset = path_asset(request, f"{API_ROOT}/streams/", "/reset")
        body, who = await self.bodies.read(request, StreamReset)
        sensor, reason = body.sensor_id, body.reason
        token = read_token(request.headers.get("idempotency-key"))
        row = await self.database.run(schedules.request_reset, asset, sensor, who, reason, token)
        log.info("reset of %s, sensor %s, asked for by %s", asset, sensor, who,
                 extra={"action": "reset"})  # fmt: skip
        return JsonResponse(row, 202)


def locked_window(connection: Connection, wanted: UUID, version: int | None) -> dict[str, Any]:
    """Return a window's row, locked until the transaction ends.

    Parameters
    ----------
    connection : Connection
    wanted : UUID
        Id of the window.
    version : int or None
        Version that the caller has seen; None: any.

    Raises
    ------
    NotFound, PreconditionFailed
        It does not exist, or has another version.
    """
    found = schedules.lock_window(connection, wanted)
    if version is not None and found["version"] != version:
        by = found["changed_by"] or found["created_by"]
        raise PreconditionFailed(
            f"If-Match: the window has version {found['version']} now, changed by {by}",
            field="if-match",
        )
    return found


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a window as in the response: its fields, author and version."""
    left_out = {name for name in schedules.WINDOW_COLUMNS if row[name] is None}
    return {name: value for name, value in row.items() if name not in left_out}
