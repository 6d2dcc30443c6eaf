"""Incidents and assets in the OpenAPI document, with examples of what the service answers."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from db.incident_tables import STATES
from serving.http.openapi import call, path_id, query, secure
from serving.http.openapi_schemas import CRITICALITY, NAME, TIME, Json
from serving.http.rest_app import ROOM
from serving.requests.incident_bodies import BODIES, AssetBody, Bulk, Target, schema

ID = "0b4fd1a5-3c86-57a2-8a3e-9c7a5f5f2f10"
INCIDENT: dict[str, Any] = {
    "id": ID, "state": "open-unacknowledged", "version": 2, "revision": 14,
    "asset_id": "ENGINE_001", "sensor_id": "S1", "feature": None, "group_name": "default",
    "kind": "anomaly", "asset_criticality": "high", "severity": "critical",
    "started_at": "2026-01-01T06:00:00+00:00", "opened_at": "2026-01-01T06:02:00+00:00",
    "last_activity_at": "2026-01-01T06:14:00+00:00", "cleared_at": None,
    "readings": 15, "anomalies": 13,
    "peak": {
        "score": 1.0, "log10_p": -7.2, "timestamp": "2026-01-01T06:09:00+00:00",
        "features": [{"feature": "rms", "share": 0.8, "actual": 9.7, "expected": 1.2}],
        "votes": {"isolation_forest": True, "one_class_svm": True},
        "detection_id": "5a0a1d0e-21c6-5cb4-bb3c-0f7b2b6f5a10",
    },
    "bundle_version": "3", "persistent": False, "event_id": ID, "suppressed_by": None,
    "acknowledged_at": None, "acknowledged_by": None, "assignee": None,
    "shelved_until": None, "shelved_by": None, "shelve_reason": None,
    "closed_at": None, "closed_by": None, "verdict": None, "fault_code": None, "note": None,
    "ticket": None, "created_at": "2026-01-01T06:02:01+00:00",
    "updated_at": "2026-01-01T06:14:01+00:00",
}  # fmt: skip
ACKNOWLEDGED = {
    **INCIDENT, "state": "open-acknowledged", "version": 3, "revision": 15,
    "acknowledged_at": "2026-01-01T06:15:00+00:00", "acknowledged_by": "ANNA",
}  # fmt: skip
ENTRY = {
    "id": 7, "at": "2026-01-01T06:15:00+00:00", "occurred_at": "2026-01-01T06:15:00+00:00",
    "version": 3, "who": "ANNA", "what": "acknowledged", "why": "looking at it",
    "before": {"acknowledged_at": None, "acknowledged_by": None},
    "after": {"acknowledged_at": "2026-01-01T06:15:00+00:00", "acknowledged_by": "ANNA"},
}  # fmt: skip
READING = {
    "id": "5a0a1d0e-21c6-5cb4-bb3c-0f7b2b6f5a10", "timestamp": "2026-01-01T06:09:00+00:00",
    "final_score": 1.0, "p": 6.3e-8, "threshold": 0.4, "is_anomaly": True,
    "criticality": "critical", "features": {"rms": 9.7}, "event_id": ID,
}  # fmt: skip
ASSET = {
    "asset_id": "ENGINE_001", "criticality": "high", "changed_at": "2026-01-01T06:00:00+00:00",
    "changed_by": "ANNA", "reason": "no spare", "listed": True,
}  # fmt: skip
BODY_EXAMPLES: dict[str, Any] = {
    "Verb": {"why": "looking at it"},
    "Shelve": {"seconds": 3600, "why": "sensor is being replaced"},
    "Close": {"verdict": "confirmed", "fault_code": "BEARING", "why": "outer race"},
    "Assign": {"assignee": "ANNA"},
    "Ticket": {"ticket": "WO-4711"},
    "Comment": {"why": "grease was low"},
    "Bulk": {"action": "acknowledge", "incidents": [{"id": ID, "version": 2}], "arguments": {}},
    "AssetBody": {"criticality": "high", "why": "no spare"},
}
SUMMARIES = {
    "acknowledge": "Somebody has seen it",
    "unacknowledge": "Undo acknowledge",
    "shelve": "Tell nobody for a while; readings are scored and stored as ever",
    "unshelve": "Undo shelve",
    "close": "It is done with",
    "reopen": "Undo close",
    "assign": "Who takes care of it; null undoes it",
    "ticket": "The id of a ticket elsewhere; null undoes it",
    "comment": "Note something",
}


def incident_schemas() -> Json:
    """Describe the bodies."""
    listed: list[type[Struct]] = [*BODIES.values(), Bulk, Target, AssetBody]
    kinds = {kind.__name__: kind for kind in listed}
    return {name: schema(kind) for name, kind in kinds.items()}


def incident_paths(secured: bool) -> Json:
    """Describe the calls, with examples of each answer."""
    one = f"{ROOM}/incidents/{{id}}"
    read = [404, 422, 429, 503]
    act = [400, 404, 409, 412, 413, 422, 429, 503]
    page = {"incidents": [INCIDENT], "counts": dict.fromkeys(STATES, 0) | {INCIDENT["state"]: 1},
            "limit": 100, "filters": {"asset_id": "ENGINE_001"}, "next_cursor": None}  # fmt: skip
    found: Json = {
        f"{ROOM}/incidents": {"get": _reads("Incidents, newest activity first", page,
            [422, 429, 503], _filters(), secured)},
        f"{ROOM}/incidents/bulk": {"post": secure(call(
            "One verb on up to 1,000 incidents; one that cannot be changed costs no other", "Bulk",
            BODY_EXAMPLES["Bulk"], {200: {"affected": 1, "errors": []}},
            [400, 413, 422, 429, 503], [_token()]), "operate", secured)},
        one: {"get": _reads("One incident", INCIDENT, read, [path_id("id")], secured)},
        f"{one}/log": {"get": _reads("Who did what, and when",
            {"log": [ENTRY], "next_cursor": None}, read, [path_id("id"),
            query("limit", _number(1000)), query("cursor", {"type": "integer", "minimum": 0})],
            secured)},
        f"{one}/readings": {"get": _reads("Its stream's readings, for a chart",
            {"readings": [READING], "truncated": False}, read, [path_id("id"),
            query("start_date", TIME), query("end_date", TIME), query("limit", _number(5000))],
            secured)},
        f"{ROOM}/assets/{{id}}": {
            "get": _reads("How much an asset matters", ASSET, [404, 422, 429, 503],
                [path_id("id")], secured),
            "put": secure(call("Say how much an asset matters", "AssetBody",
                BODY_EXAMPLES["AssetBody"], {200: ASSET}, [400, 404, 413, 422, 429, 503],
                [path_id("id")]), "operate", secured),
        },
    }  # fmt: skip
    for verb, kind in BODIES.items():
        name = kind.__name__
        described = call(
            SUMMARIES[verb], name, BODY_EXAMPLES[name], {200: ACKNOWLEDGED}, act,
            [path_id("id"), _header("If-Match", "the version that was seen"), _token()],
        )  # fmt: skip
        found[f"{one}/{verb}"] = {"post": secure(described, "operate", secured)}
    return found


def _reads(
    summary: str, shown: Any, errors: list[int], parameters: list[Json], secured: bool
) -> Json:
    return secure(call(summary, None, None, {200: shown}, errors, parameters), "read", secured)


def _filters() -> list[Json]:
    several = ", ".join(STATES)
    return [
        query("state", {"type": "string", "description": f"one or more of {several}"}),
        query("asset_id", NAME),
        query("sensor_id", NAME),
        query("group", NAME),
        query("criticality", {**CRITICALITY, "description": "how severe the incident is"}),
        query("assignee", NAME),
        query("start_date", TIME),
        query("end_date", TIME),
        query("limit", _number(1000)),
        query("cursor", {"type": "string"}),
        query("format", {"type": "string", "enum": ["json", "csv"]}),
    ]


def _number(most: int) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _header(name: str, description: str) -> Json:
    return {
        "name": name, "in": "header", "required": False, "description": description,
        "schema": {"type": "string"},
    }  # fmt: skip


def _token() -> Json:
    return _header("Idempotency-Key", "the caller's own mark: the same again has no second effect")
