"""Feedback, fault codes and alarm KPIs in the OpenAPI document, with examples."""

from __future__ import annotations

from typing import Any

from db.alarm_kpis import LIMITS, SOURCES
from db.fault_codes import shipped_codes
from db.queries.feedback import VERDICTS
from serving.http.openapi import call, path_id, query, secure
from serving.http.openapi_schemas import NAME, TIME, Json
from serving.http.rest_app import ROOM
from serving.requests.feedback_bodies import BODIES, MOST_ROWS, MOST_TOP, TOP_BY
from serving.requests.incident_bodies import schema

_ID = "0b4fd1a5-3c86-57a2-8a3e-9c7a5f5f2f10"
_SPAN = {
    "asset_id": "ENGINE_001", "start": "2026-01-01T06:00:00Z", "end": "2026-01-01T07:00:00Z",
    "verdict": "expected", "note": "filter change",
}  # fmt: skip
_ABOUT = {"verdict": "false_alarm", "note": "a truck passed by"}
_ROW: dict[str, Any] = {
    "id": "7d1a5a0e-6d0f-4a26-9f3c-3f0f6a1f2b10", "asset_id": "ENGINE_001", "sensor_id": "S1",
    "feature": None, "group_name": "default", "incident_id": _ID,
    "starts_at": "2026-01-01T06:00:00+00:00", "ends_at": "2026-01-01T06:14:00+00:00",
    "verdict": "false_alarm", "fault_code": None, "note": "a truck passed by",
    "by_closing": False, "created_at": "2026-01-01T06:20:00+00:00", "created_by": "ANNA",
    "withdrawn_at": None, "withdrawn_by": None, "withdrawn_why": None,
}  # fmt: skip
_GIVEN = {
    **_ROW,
    "effects": {
        "training": "healthy", "readings": 15,
        "incident_threshold":
            {"false_alarms": 1, "raised_by": 0.5, "at_most": 2.0, "days": 30},
        "says": "15 stored readings of the span count as healthy in the next training; 1 false"
        " alarms of the last 30 days make incidents of ENGINE_001 ask for peaks 0.5 decades rarer"
        " (at most 2), from now on",
    },
}  # fmt: skip
_WITHDRAWN = {
    **_ROW, "withdrawn_at": "2026-01-01T06:30:00+00:00", "withdrawn_by": "ANNA",
    "withdrawn_why": "the wrong incident",
    "effects": {
        "training": "none", "readings": 0,
        "incident_threshold":
            {"false_alarms": 0, "raised_by": 0.0, "at_most": 2.0, "days": 30},
        "says": "withdrawn: nothing is changed by it; incidents of ENGINE_001 ask 0 more decades",
    },
}  # fmt: skip
_CODES = {"fault_codes": list(shipped_codes())[:2], "source": "shipped"}
_VALUES = (4.2, 0.175, 0.0292, 3.0, 0.0, 0.24, 0.0, 1.0, 0.82, 0.14, 0.04)
_STREAM = {"asset_id": "ENGINE_001", "sensor_id": "S1", "feature": None, "group_name": "default"}
_TOP = {**_STREAM, "alarms": 30, "last_at": "2026-01-29T06:00:00+00:00"}
_KPIS = {
    "start": "2026-01-01T00:00:00+00:00", "end": "2026-01-31T00:00:00+00:00",
    "operator_positions": 1, "alarms": 125,
    "severities": {"low": 103, "medium": 17, "high": 4, "critical": 1}, "floods": 0,
    "flood_s": 0.0,
    "figures": {
        name: {"what": what, "value": value, "acceptable": least, "maximum": most,
               "verdict": "exceeded" if name == "top_ten_share" else "acceptable"}
        for (name, (what, least, most)), value in zip(LIMITS.items(), _VALUES, strict=True)
    },
    "top_ten": [{**_TOP, "share": 0.24}], "sources": list(SOURCES),
}  # fmt: skip


def feedback_schemas() -> Json:
    """Describe the bodies."""
    return {kind.__name__: schema(kind) for kind in BODIES}


def feedback_paths(secured: bool) -> Json:
    """Describe the calls, with examples of each answer."""
    act = [400, 404, 409, 413, 422, 429, 503]
    token = {
        "name": "Idempotency-Key", "in": "header", "required": False,
        "description": "the caller's own mark: the same again has no second effect",
        "schema": {"type": "string"},
    }  # fmt: skip
    period = [query("start_date", TIME), query("end_date", TIME)]
    filters = [
        query("asset_id", NAME), query("sensor_id", NAME), query("incident", {"type": "string"}),
        query("verdict", {"type": "string", "enum": list(VERDICTS)}),
        query("withdrawn", {"type": "boolean"}), *period, _limit(MOST_ROWS),
        query("cursor", {"type": "string"}),
    ]  # fmt: skip
    return {
        f"{ROOM}/incidents/{{id}}/feedback": {
            "post": secure(call("Say what an incident was; answers what that changes",
                "IncidentFeedback", _ABOUT, {201: _GIVEN}, act, [path_id("id"), token]),
                "operate", secured),
        },
        f"{ROOM}/feedback": {
            "get": secure(call("Feedback, newest first", None, None,
                {200: {"feedback": [_ROW], "limit": 100, "next_cursor": None}}, [422, 429, 503],
                filters), "read", secured),
            "post": secure(call("Say what a span of an asset was; answers what that changes",
                "SpanFeedback", _SPAN, {201: _GIVEN}, [400, 409, 413, 422, 429, 503], [token]),
                "operate", secured),
        },
        f"{ROOM}/feedback/{{id}}/withdraw": {
            "post": secure(call("Undo feedback", "Withdrawal", {"why": "the wrong incident"},
                {200: _WITHDRAWN}, [400, 404, 413, 422, 429, 503], [path_id("id")]),
                "operate", secured),
        },
        f"{ROOM}/fault-codes": {
            "get": secure(call("The fault codes in force", None, None, {200: _CODES},
                [422, 429, 503]), "read", secured),
            "put": secure(call("Replace the plant's fault codes; none: the shipped list again",
                "FaultCodes", {"fault_codes": _CODES["fault_codes"]},
                {200: {**_CODES, "source": "plant"}}, [400, 413, 422, 429, 503]),
                "operate", secured),
        },
        f"{ROOM}/alarm-kpis": {
            "get": secure(call("Alarms per operator, floods, chattering, standing ones, with"
                " limits", None, None, {200: _KPIS}, [422, 429, 503], period), "read", secured),
        },
        f"{ROOM}/incidents/top": {
            "get": secure(call("What makes most of the load", None, None,
                {200: {"by": "count", "start": _KPIS["start"], "end": _KPIS["end"],
                       "top": [_TOP]}}, [422, 429, 503],
                [query("by", {"type": "string", "enum": list(TOP_BY)}), *period,
                 _limit(MOST_TOP)]), "read", secured),
        },
    }  # fmt: skip


def _limit(most: int) -> Json:
    return query("limit", {"type": "integer", "minimum": 1, "maximum": most})
