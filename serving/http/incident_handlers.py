"""Handle incidents and assets: lists, details and people's actions."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from config import Settings
from db.assets import get_asset, set_assets
from db.incident_actions import Action, Outcome, perform
from db.queries import incidents
from schemas import API_ROOT
from serving.database import Database
from serving.http.bodies import JsonResponse, printable, read_query, versioned_response
from serving.http.body_reader import BodyReader
from serving.http.feedback_handlers import effects, shown
from serving.http.paths import path_asset, path_id
from serving.http.rest_app import Call, route
from serving.requests.incident_bodies import (
    BODIES,
    AssetBody,
    Bulk,
    IncidentsQuery,
    LogQuery,
    ReadingsQuery,
    VerbBody,
    read_bulk,
    read_filters,
    read_if_match,
    read_span,
    read_token,
)
from serving.requests.wire import present_fields, read_parameters
from serving.responses import incident_answers as answers

log = logging.getLogger("bentoml.serving.incidents")

CSV_COLUMNS = (
    "id", "state", "severity", "asset_id", "sensor_id", "feature", "group_name", "kind",
    "asset_criticality", "started_at", "opened_at", "last_activity_at", "cleared_at", "readings",
    "anomalies", "acknowledged_at", "acknowledged_by", "assignee", "shelved_until", "shelved_by",
    "shelve_reason", "closed_at", "closed_by", "verdict", "fault_code", "note", "ticket", "version",
    "persistent",
)  # fmt: skip
#: A spreadsheet interprets a cell that begins with these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class IncidentHandlers:
    """Handle the requests.

    Parameters
    ----------
    database : Database
    bodies : BodyReader
    settings : Settings
    """

    database: Database
    bodies: BodyReader
    settings: Settings

    @route("GET", "/incidents", "read", query=IncidentsQuery, answer=answers.Incidents)
    async def incidents(self, request: Request) -> Response:
        """List incidents, newest activity first."""
        query = read_query(request)
        filters, limit, cursor, as_csv = read_filters(query)
        rows, following = await self.database.run(
            incidents.incident_page, filters, limit=limit, cursor=cursor
        )
        if as_csv:
            return csv_response(rows, following)
        counts, exact = await self.database.run(incidents.incident_counts, filters)
        content = {
            "incidents": rows,
            "counts": counts,
            "limit": limit,
            "filters": {key: value for key, value in query.items() if key not in _PAGING},
            "next_cursor": following,
        }
        if not exact:
            content["counts_are_exact"] = False
        return JsonResponse(content)

    @route("GET", "/incidents/{id}", "read", answer=answers.Incident)
    async def incident(self, request: Request) -> Response:
        """Show one incident."""
        return versioned_response(await self._find(request))

    @route("GET", "/incidents/{id}/log", "read", query=LogQuery, answer=answers.Log)
    async def incident_log(self, request: Request) -> Response:
        """Show who did what to an incident, and when."""
        query = read_parameters(LogQuery, read_query(request))
        limit = query.limit
        found = await self._find(request)
        entries = await self.database.run(
            incidents.get_log, found["id"], limit=limit + 1, after_id=query.cursor
        )
        more = len(entries) > limit
        entries = entries[:limit]
        return JsonResponse(
            {"log": entries, "next_cursor": str(entries[-1]["id"]) if more else None}
        )

    @route("GET", "/incidents/{id}/readings", "read", query=ReadingsQuery, answer=answers.Readings)
    async def incident_readings(self, request: Request) -> Response:
        """Return the readings of the incident's stream, for a chart."""
        start, end, limit = read_span(read_query(request))
        found = await self._find(request)
        readings = await self.database.run(
            incidents.incident_readings, found, start=start, end=end, limit=limit
        )
        return JsonResponse({"readings": readings, "truncated": len(readings) == limit})

    def verb(self, verb: str) -> Callable[[Request], Awaitable[Response]]:
        """Make the handler of one verb."""

        async def handle(request: Request) -> Response:
            incident_id = path_id(request, "incident")
            body, who = await self.bodies.read(request, BODIES[verb])
            action = _action(request, verb, who, body)
            targets = [(incident_id, read_if_match(request.headers.get("if-match")))]
            outcome = await self._perform(action, targets)
            for error in outcome.errors.values():
                raise error
            changed = outcome.incidents[incident_id]
            return versioned_response({**changed, **await self._feedback(outcome, incident_id)})

        return handle

    def verbs(self) -> list[Call]:
        """Return the calls for the actions on one incident."""
        return [
            Call(f"{API_ROOT}/incidents/{{id}}/{verb}", "POST", "operate", self.verb(verb),
                 SUMMARIES[verb], body=body, answers={200: answers.ChangedIncident},
                 errors=(409, 412), headers=("If-Match", "Idempotency-Key"))
            for verb, body in BODIES.items()
        ]  # fmt: skip

    async def _feedback(self, outcome: Outcome, incident_id: UUID) -> dict[str, Any]:
        """Return the feedback that closing gave, with its effects."""
        row = outcome.feedback.get(incident_id)
        if row is None:
            return {"warning": outcome.warning} if outcome.warning else {}
        changes = await self.database.run(effects, row, self.settings)
        return {"feedback": shown(row, changes, outcome.warning)}

    @route("POST", "/incidents/bulk", "operate", body=Bulk, answer=answers.BulkAnswer,
           headers=("Idempotency-Key",))  # fmt: skip
    async def bulk(self, request: Request) -> Response:
        """Apply one action to up to 1,000 incidents; a failed one does not affect the others."""
        bulk, body = read_bulk(await self.bodies.content(request))
        who = self.bodies.callers.name(request, bulk.who or body.who)
        targets = [(one.id, one.version) for one in bulk.incidents]
        action = _action(request, bulk.action, who, body)
        outcome = await self._perform(action, targets)
        errors = [{"id": one, **printable(error.entry())} for one, error in outcome.errors.items()]
        return JsonResponse({"affected": outcome.affected, "errors": errors})

    @route("GET", "/assets/{id:name}", "read", answer=answers.Asset)
    async def asset(self, request: Request) -> Response:
        """Show the criticality of an asset."""
        name = path_asset(request, f"{API_ROOT}/assets/")
        return JsonResponse(await self.database.run(get_asset, name))

    @route("PUT", "/assets/{id:name}", "operate", body=AssetBody, answer=answers.Asset)
    async def set_asset(self, request: Request) -> Response:
        """Set the criticality of an asset."""
        name = path_asset(request, f"{API_ROOT}/assets/")
        body, who = await self.bodies.read(request, AssetBody)

        def change(connection: Any) -> dict[str, Any]:
            set_assets(connection, {name: body.criticality}, who, body.why)
            return get_asset(connection, name)

        changed = await self.database.run(change)
        log.info("asset %s is %s, by %s", name, body.criticality, who, extra={"action": "asset"})
        return JsonResponse(changed)

    async def _perform(self, action: Action, targets: list[tuple[UUID, int | None]]) -> Outcome:
        return await self.database.run(perform, action, targets, self.settings)

    async def _find(self, request: Request) -> dict[str, Any]:
        return await self.database.run(incidents.get_incident, path_id(request, "incident"))


_PAGING = ("limit", "cursor", "format")


def _action(request: Request, verb: str, who: str, body: VerbBody) -> Action:
    token = read_token(request.headers.get("idempotency-key"))
    return Action(verb, who, present_fields(body, "who"), token)


def csv_response(
    rows: list[dict[str, Any]], following: str | None, unfinished: str | None = None
) -> Response:
    """Return CSV for a spreadsheet; if there are more rows, a header has the next cursor.

    Parameters
    ----------
    rows : list of dict
    following : str or None
        The next cursor.
    unfinished : str, optional
        Last line if there are more rows, for people, who see no header.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([_cell(row[name]) for name in CSV_COLUMNS] for row in rows)
    if following is not None and unfinished is not None:
        writer.writerow([unfinished])
    response = Response(out.getvalue(), media_type="text/csv; charset=utf-8")
    response.headers["content-disposition"] = 'attachment; filename="incidents.csv"'
    if following is not None:
        response.headers["x-next-cursor"] = following
    return response


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


#: Summary of each action.
SUMMARIES = {
    "acknowledge": "Record that somebody has seen the incident",
    "unacknowledge": "Undo acknowledge",
    "shelve": "Send no notifications for a while; readings are scored and stored as before",
    "unshelve": "Undo shelve",
    "close": "It is done with",
    "reopen": "Undo close",
    "assign": "Assign the incident to a person; null removes the assignment",
    "ticket": "Set the id of an external ticket; null removes it",
    "comment": "Note something",
}
