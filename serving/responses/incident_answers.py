"""Responses of incidents and assets."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from db.incident_tables import State
from db.queries.feedback import Verdict
from schemas import Criticality
from serving.requests.wire import AssetId, Features, Instant, Name
from serving.responses.detection_answers import Chance, Person, Score, Threshold, Total, Version
from serving.responses.feedback_answers import GivenFeedback

Revision = Annotated[int, Meta(ge=0, examples=[2])]


class Incident(Struct):
    """An alarm event of a stream, as people handle it."""

    id: UUID
    state: State
    version: Annotated[Revision, Meta(description="for If-Match: rises with people's actions")]
    revision: Annotated[Revision, Meta(description="rises with every change")]
    asset_id: AssetId
    sensor_id: Name | None
    feature: Name | None
    group_name: Annotated[str, Meta(examples=["default"])]
    kind: Annotated[str, Meta(examples=["anomaly"])]
    asset_criticality: Criticality
    severity: Criticality
    started_at: Instant
    opened_at: Instant
    last_activity_at: Instant
    cleared_at: Instant | None
    readings: Total
    anomalies: Total
    peak: Annotated[
        dict[str, Any],
        Meta(
            examples=[
                {
                    "score": 1.0,
                    "log10_p": -7.2,
                    "timestamp": "2026-01-01T06:09:00+00:00",
                    "features": [{"feature": "rms", "share": 0.8, "actual": 9.7, "expected": 1.2}],
                    "votes": {"isolation_forest": True, "one_class_svm": True},
                }
            ]
        ),
    ]
    bundle_version: Version | None
    persistent: bool
    event_id: UUID
    suppressed_by: str | None
    acknowledged_at: Instant | None
    acknowledged_by: Person
    assignee: Person
    shelved_until: Instant | None
    shelved_by: Person
    shelve_reason: str | None
    closed_at: Instant | None
    closed_by: Person
    verdict: Verdict | None
    fault_code: Annotated[str | None, Meta(examples=["BEARING"])]
    note: str | None
    ticket: Annotated[str | None, Meta(examples=["WO-4711"])]
    created_at: Instant
    updated_at: Instant


class ChangedIncident(Incident, kw_only=True):
    """An incident after an action on it."""

    feedback: Annotated[
        GivenFeedback | None, Meta(description="feedback given by closing with a verdict")
    ] = None
    warning: str | None = None


class Incidents(Struct):
    """A page of incidents."""

    incidents: list[Incident]
    counts: Annotated[
        dict[str, int], Meta(description="per state", examples=[{"open-unacknowledged": 1}])
    ]
    limit: Annotated[int, Meta(examples=[100])]
    filters: Annotated[dict[str, str], Meta(examples=[{"asset_id": "ENGINE_001"}])]
    next_cursor: str | None
    counts_are_exact: bool = True


class LogEntry(Struct):
    """A logged action on an incident."""

    id: Annotated[int, Meta(examples=[7])]
    at: Instant
    occurred_at: Instant
    version: Revision
    who: Annotated[str, Meta(examples=["ANNA"])]
    what: Annotated[str, Meta(examples=["acknowledged"])]
    why: Annotated[str | None, Meta(examples=["looking at it"])]
    before: dict[str, Any] | None
    after: Annotated[dict[str, Any] | None, Meta(examples=[{"acknowledged_by": "ANNA"}])]


class Log(Struct):
    """A page of an incident's log, oldest first."""

    log: list[LogEntry]
    next_cursor: str | None


class StoredReading(Struct):
    """A reading of an incident's stream."""

    id: UUID
    timestamp: Instant
    final_score: Score
    p: Chance
    threshold: Threshold | None
    is_anomaly: bool
    criticality: Criticality
    features: Features
    event_id: UUID | None


class Readings(Struct):
    """Readings of an incident's stream, oldest first."""

    readings: list[StoredReading]
    truncated: bool


class BulkError(Struct):
    """Why an incident was not changed."""

    id: UUID
    code: Annotated[str, Meta(examples=["version_conflict"])]
    message: str
    field: str | None


class BulkAnswer(Struct):
    """The number of changed incidents, and those that failed."""

    affected: Total
    errors: list[BulkError]


class Asset(Struct):
    """The criticality of an asset."""

    asset_id: AssetId
    criticality: Criticality
    changed_at: Instant | None
    changed_by: Person
    reason: Annotated[str | None, Meta(examples=["no spare"])]
    listed: Annotated[bool, Meta(description="false: nobody has rated it, so it is medium")]
