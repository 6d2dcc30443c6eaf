"""Maintenance windows, off conditions and resets in the OpenAPI document, with examples."""

from __future__ import annotations

from typing import Any

from models.scoring.suppression import OPERATORS
from serving.http.openapi import call, path_id, query, secure
from serving.http.openapi_schemas import NAME, TIME, Json
from serving.http.rest_app import ROOM

_ID = "0b4fd1a5-3c86-57a2-8a3e-9c7a5f5f2f10"
_WINDOW: dict[str, Any] = {
    "start": "2026-01-03T22:00:00+01:00", "end": "2026-01-04T06:00:00+01:00",
    "rrule": "FREQ=WEEKLY;BYDAY=SA", "time_zone": "Europe/Berlin", "asset_id": "PUMP_*",
    "reason": "weekly cleaning", "alarms": True, "training": True,
}  # fmt: skip
_SHOWN = {
    **_WINDOW, "id": _ID, "version": 1, "created_at": "2026-01-01T06:00:00+00:00",
    "created_by": "ANNA", "changed_at": None, "changed_by": None,
}  # fmt: skip
_CONDITION = {
    "group": "default", "feature": "current", "operator": "<", "value": 1.0, "hold_s": 60.0,
    "run_up_s": 300.0,
}  # fmt: skip
_RESET = {
    "id": 1, "asset_id": "PUMP_001", "sensor_id": None, "reason": "new bearing",
    "requested_at": "2026-01-01T06:00:00+00:00", "requested_by": "ANNA",
}  # fmt: skip
_WHO = {"type": "string", "maxLength": 255, "description": "on an open service only"}
_SECONDS = {"type": "number", "minimum": 0, "maximum": 31_622_400}


def schedule_schemas() -> Json:
    """Describe the bodies."""
    pattern = {**NAME, "description": "a pattern with * and ?; absent: all"}
    window: Json = {
        "start": TIME, "end": TIME, "asset_id": pattern, "sensor_id": pattern, "group": pattern,
        "rrule": {"type": "string", "maxLength": 500, "description": "RFC 5545, at most HOURLY"},
        "time_zone": {"type": "string", "maxLength": 100, "description": "IANA name"},
        "reason": {"type": "string", "maxLength": 500},
        "alarms": {"type": "boolean"}, "training": {"type": "boolean"}, "who": _WHO,
    }  # fmt: skip
    condition = {
        "type": "object", "additionalProperties": False,
        "required": ["group", "feature", "operator", "value"],
        "properties": {
            "group": NAME, "feature": NAME, "operator": {"enum": list(OPERATORS)},
            "value": {"type": "number"}, "hold_s": _SECONDS, "run_up_s": _SECONDS,
        },
    }  # fmt: skip
    return {
        "MaintenanceWindow": {
            "type": "object", "additionalProperties": False, "required": ["start", "end"],
            "properties": window,
        },
        "MaintenanceWindowChange": {
            "type": "object", "additionalProperties": False, "properties": window,
        },
        "OffConditions": {
            "type": "object", "additionalProperties": False, "required": ["off_conditions"],
            "properties": {
                "off_conditions": {"type": "array", "maxItems": 1000, "items": condition},
                "who": _WHO,
            },
        },
        "StreamReset": {
            "type": "object", "additionalProperties": False,
            "properties": {
                "sensor_id": {**NAME, "description": "absent: all of the asset"},
                "reason": NAME, "who": _WHO,
            },
        },
    }  # fmt: skip


def schedule_paths(secured: bool) -> Json:
    """Describe the calls, with examples of each answer."""
    act = [400, 413, 422, 429, 503]
    changed = [400, 404, 412, 413, 422, 429, 503]
    condition = {"off_conditions": [_CONDITION]}
    match = {
        "name": "If-Match", "in": "header", "required": False,
        "description": "the version that was seen", "schema": {"type": "string"},
    }  # fmt: skip
    return {
        f"{ROOM}/maintenance-windows": {
            "get": secure(call("Windows that are to come, recur or ended within a week", None, None,
                {200: {"maintenance_windows": [_SHOWN]}}, [422, 429, 503],
                [query("ended", {"type": "boolean"})]), "read", secured),
            "post": secure(call("Plan a window", "MaintenanceWindow", _WINDOW, {201: _SHOWN}, act),
                "operate", secured),
        },
        f"{ROOM}/maintenance-windows/{{id}}": {
            "patch": secure(call("Change a window", "MaintenanceWindowChange",
                {"reason": "yearly overhaul"}, {200: _SHOWN}, changed, [path_id("id"), match]),
                "operate", secured),
            "delete": secure(call("Delete a window", None, None,
                {200: {"id": _ID, "deleted": True}}, [404, 412, 422, 429, 503],
                [path_id("id"), match]), "operate", secured),
        },
        f"{ROOM}/off-conditions": {
            "get": secure(call("When the machine is off", None, None, {200: condition},
                [429, 503]), "read", secured),
            "put": secure(call("Replace the table of off conditions", "OffConditions", condition,
                {200: condition}, act), "operate", secured),
        },
        f"{ROOM}/streams/{{id}}/reset": {
            "post": secure(call("Begin an asset's streams anew after an overhaul", "StreamReset",
                {"reason": "new bearing"}, {202: _RESET}, [400, 404, 413, 422, 429, 503],
                [path_id("id")]), "operate", secured),
        },
    }  # fmt: skip
