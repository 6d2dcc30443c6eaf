"""Responses of feedback, fault codes and alarm KPIs."""

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
    """Feedback about a period of an asset."""

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
    """By how many decades an asset's false alarms raise its incident threshold."""

    false_alarms: Total
    raised_by: Annotated[float, Meta(examples=[0.5])]
    at_most: Annotated[float, Meta(examples=[2.0])]
    days: Annotated[int, Meta(examples=[30])]


class Effects(Struct):
    """The effects of feedback."""

    training: Literal["healthy", "left_out", "none"]
    readings: Total
    incident_threshold: IncidentThreshold
    says: Annotated[str, Meta(examples=["15 stored readings of the period count as healthy"])]


class GivenFeedback(Feedback, kw_only=True):
    """Feedback with its effects."""

    effects: Effects
    warning: str | None = None


class FeedbackPage(Struct):
    """A page of feedback, newest first."""

    feedback: list[Feedback]
    limit: Annotated[int, Meta(examples=[100])]
    next_cursor: str | None


class CodeList(Struct):
    """The fault codes in use."""

    fault_codes: list[FaultCode]
    source: Literal["plant", "shipped"]


class Figure(Struct):
    """A figure of the alarm load, with its limits."""

    what: Annotated[str, Meta(examples=["alarms per operator and day"])]
    value: Annotated[float | None, Meta(examples=[4.2])]
    acceptable: float
    maximum: float
    verdict: Literal["acceptable", "manageable", "exceeded"] | None


class TopStream(Struct):
    """A stream or standing incident, and its share of the load."""

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
    counted_from: Instant
    operator_positions: Annotated[int, Meta(examples=[1])]
    alarms: Total
    severities: Annotated[dict[str, int], Meta(examples=[{"low": 103, "high": 4}])]
    floods: Total
    flood_s: float
    figures: Annotated[dict[str, Figure], Meta(description="by name")]
    top_ten: list[TopStream]
    sources: list[str]


class Top(Struct):
    """The streams or incidents that cause most of the load."""

    by: Ranking
    start: Instant
    end: Instant
    top: list[TopStream]
