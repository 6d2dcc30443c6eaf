"""Answers of feedback, fault codes and alarm KPIs."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from db.queries.alarm_load import Ranking
from db.queries.feedback import Verdict
from serving.requests.feedback_bodies import FaultCode
from serving.requests.wire import AssetId, Instant, Name
from serving.responses.detection_answers import Person, Total


class Feedback(Struct, kw_only=True):
    """What a span of an asset was, by somebody who knows."""

    id: UUID
    asset_id: AssetId
    sensor_id: Name | None
    feature: Name | None
    group_name: Annotated[str | None, Meta(examples=["default"])]
    incident_id: UUID | None
    starts_at: Instant
    ends_at: Instant
    verdict: Verdict
    fault_code: Annotated[str | None, Meta(examples=["BEARING"])]
    note: Annotated[str | None, Meta(examples=["a truck passed by"])]
    by_closing: bool
    created_at: Instant
    created_by: Person
    withdrawn_at: Instant | None
    withdrawn_by: Person
    withdrawn_why: str | None


class IncidentThreshold(Struct):
    """By how many decades an asset's false alarms raise what opens its incidents."""

    false_alarms: Total
    raised_by: Annotated[float, Meta(examples=[0.5])]
    at_most: Annotated[float, Meta(examples=[2.0])]
    days: Annotated[int, Meta(examples=[30])]


class Effects(Struct):
    """What feedback changes."""

    training: Literal["healthy", "left_out", "none"]
    readings: Total
    incident_threshold: IncidentThreshold
    says: Annotated[str, Meta(examples=["15 stored readings of the span count as healthy"])]


class GivenFeedback(Feedback, kw_only=True):
    """Feedback, and what it changes."""

    effects: Effects
    warning: str | None = None


class FeedbackPage(Struct):
    """A page of feedback, newest first."""

    feedback: list[Feedback]
    limit: Annotated[int, Meta(examples=[100])]
    next_cursor: str | None


class CodeList(Struct):
    """The fault codes in force."""

    fault_codes: list[FaultCode]
    source: Literal["plant", "shipped"]


class Figure(Struct):
    """A figure of the alarm load, beside its limits."""

    what: Annotated[str, Meta(examples=["alarms per operator and day"])]
    value: Annotated[float | None, Meta(examples=[4.2])]
    acceptable: float
    maximum: float
    verdict: Literal["acceptable", "manageable", "exceeded"] | None


class TopStream(Struct):
    """A stream, or a standing incident, and what it adds to the load."""

    asset_id: AssetId
    sensor_id: Name | None
    feature: Name | None
    group_name: Annotated[str, Meta(examples=["default"])]
    alarms: Total | None = None
    share: float | None = None


class Kpis(Struct):
    """Alarms of a period per operator, against published limits."""

    start: Instant
    end: Instant
    operator_positions: Annotated[int, Meta(examples=[1])]
    alarms: Total
    severities: Annotated[dict[str, int], Meta(examples=[{"low": 103, "high": 4}])]
    floods: Total
    flood_s: float
    figures: Annotated[dict[str, Figure], Meta(description="by name")]
    top_ten: list[TopStream]
    sources: list[str]


class Top(Struct):
    """What makes most of the load."""

    by: Ranking
    start: Instant
    end: Instant
    top: list[TopStream]
