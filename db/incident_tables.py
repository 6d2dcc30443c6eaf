"""Define the tables that people work with: incidents, their log, feedback, schedules and others.

An incident's row has columns of the process, which bridge, journal and timer write, and columns of
people, which REST writes. Only PostgreSQL derives ``state`` from both. ``version`` counts changes
of state, ``revision`` every write.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel, Text

from db.tables import (
    NOW,
    computed,
    foreign_key,
    identity,
    json_column,
    optional_text,
    partial_index,
)

_NEWEST = (sa.text("last_activity_at DESC"), sa.text("id DESC"))
State = Literal[
    "open-unacknowledged", "open-acknowledged", "cleared-unacknowledged", "cleared-acknowledged",
    "shelved", "suppressed", "closed",
]  # fmt: skip
STATES: tuple[State, ...] = get_args(State)
STATE_EXPRESSION = """
    CASE
        WHEN closed_at IS NOT NULL THEN 'closed'
        WHEN shelved_until IS NOT NULL THEN 'shelved'
        WHEN suppressed_by IS NOT NULL THEN 'suppressed'
        WHEN cleared_at IS NULL AND acknowledged_at IS NULL THEN 'open-unacknowledged'
        WHEN cleared_at IS NULL THEN 'open-acknowledged'
        WHEN acknowledged_at IS NULL THEN 'cleared-unacknowledged'
        ELSE 'cleared-acknowledged'
    END
"""


class IncidentRow(SQLModel, table=True):
    """One alarm event of one stream as people handle it; ``id`` is that of its first event."""

    __tablename__ = "incidents"
    __table_args__ = (
        sa.Index("ix_incident_activity", *_NEWEST),
        sa.Index("ix_incident_state", "state", *_NEWEST),
        sa.Index("ix_incident_asset", "asset_id", *_NEWEST),
        partial_index("ix_incident_assignee", "assignee", *_NEWEST, where="assignee IS NOT NULL"),
        sa.Index("ix_incident_stream", "stream_key", "kind", sa.text("seq DESC")),
        partial_index("ix_incident_open", "stream_key", where="cleared_at IS NULL"),
        partial_index("ix_incident_shelved", "shelved_until", where="shelved_until IS NOT NULL"),
        partial_index("ix_incident_settled", "updated_at", where="state = 'cleared-acknowledged'"),
        partial_index(
            "ix_incident_stood", "cleared_at", where="cleared_at - opened_at > interval '24 hours'"
        ),
        partial_index(
            "ix_incident_persistent",
            sa.text("closed_at DESC"),
            where="persistent AND closed_at IS NOT NULL",
        ),
    )

    id: UUID = Field(primary_key=True)
    seq: int | None = identity(primary_key=False)
    version: int = Field(sa_type=sa.BigInteger)
    revision: int = Field(sa_type=sa.BigInteger)
    asset_id: str = Field(sa_type=Text)
    sensor_id: str | None = optional_text()
    feature: str | None = optional_text()
    stream_key: UUID | None = computed(sa.Uuid, "stream_key(asset_id, sensor_id, feature)")
    group_name: str | None = optional_text()
    kind: str = Field(sa_type=Text)
    asset_criticality: str | None = optional_text()
    severity: str = Field(sa_type=Text)
    opened_at: datetime
    started_at: datetime
    last_activity_at: datetime
    cleared_at: datetime | None = None
    readings: int = Field(sa_type=sa.BigInteger)
    anomalies: int = Field(sa_type=sa.BigInteger)
    peak: dict[str, Any] = json_column()
    recent: list[float] = json_column()
    bundle_version: str | None = optional_text()
    persistent: bool = False
    event_id: UUID
    suppressed_by: str | None = optional_text()
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = optional_text()
    assignee: str | None = optional_text()
    shelved_until: datetime | None = None
    shelved_by: str | None = optional_text()
    shelve_reason: str | None = optional_text()
    closed_at: datetime | None = None
    closed_by: str | None = optional_text()
    verdict: str | None = optional_text()
    fault_code: str | None = optional_text()
    note: str | None = optional_text()
    ticket: str | None = optional_text()
    state: str | None = computed(Text, STATE_EXPRESSION)
    created_at: datetime = Field(sa_column_kwargs=NOW)
    seen_at: datetime = Field(sa_column_kwargs=NOW)
    updated_at: datetime = Field(sa_column_kwargs=NOW)


class IncidentEvent(SQLModel, table=True):
    """An event that became an incident or joined one."""

    __tablename__ = "incident_events"
    __table_args__ = (sa.Index("ix_incident_event", "incident_id"),)

    event_id: UUID = Field(primary_key=True)
    incident_id: UUID = foreign_key(sa.Uuid, "incidents.id")
    started_at: datetime
    cleared_at: datetime | None = None


class IncidentLogEntry(SQLModel, table=True):
    """A logged change of an incident: who, when, why. A trigger keeps the log append-only."""

    __tablename__ = "incident_log"
    __table_args__ = (
        sa.UniqueConstraint("incident_id", "client_token", name="uq_incident_log_token"),
        sa.Index("ix_incident_log", "incident_id", "id"),
        partial_index("ix_incident_log_opened", "occurred_at", where="what = 'opened'"),
        partial_index("ix_incident_log_joined", "occurred_at", where="what = 'joined'"),
    )

    id: int | None = identity()
    incident_id: UUID = foreign_key(sa.Uuid, "incidents.id")
    at: datetime = Field(sa_column_kwargs=NOW)
    occurred_at: datetime
    version: int = Field(sa_type=sa.BigInteger)
    who: str = Field(sa_type=Text)
    what: str = Field(sa_type=Text)
    why: str | None = optional_text()
    before: dict[str, Any] = json_column()
    after: dict[str, Any] = json_column()
    client_token: str | None = optional_text()


class MaintenanceWindow(SQLModel, table=True):
    """A time span in which alarms of some streams are muted; a NULL pattern matches all."""

    __tablename__ = "maintenance_windows"
    __table_args__ = (
        sa.CheckConstraint("ends_at > starts_at", name="ck_maintenance_window_span"),
        sa.Index("ix_maintenance_window_end", "ends_at"),
    )

    id: UUID = Field(primary_key=True)
    version: int = Field(sa_type=sa.BigInteger, sa_column_kwargs={"server_default": "1"})
    asset_pattern: str | None = optional_text()
    sensor_pattern: str | None = optional_text()
    group_pattern: str | None = optional_text()
    starts_at: datetime
    ends_at: datetime
    rrule: str | None = optional_text()
    time_zone: str = Field(sa_type=Text, sa_column_kwargs={"server_default": "UTC"})
    reason: str | None = optional_text()
    suppresses_alarms: bool = True
    excluded_from_training: bool = True
    created_at: datetime = Field(sa_column_kwargs=NOW)
    created_by: str = Field(sa_type=Text)
    changed_at: datetime | None = None
    changed_by: str | None = optional_text()
    deleted_at: datetime | None = None
    deleted_by: str | None = optional_text()


class OffCondition(SQLModel, table=True):
    """The machine is off if ``feature operator value`` holds for this time in this group."""

    __tablename__ = "off_conditions"
    __table_args__ = (
        sa.UniqueConstraint("group_name", "feature", "operator", "value", name="uq_off_condition"),
    )

    id: int | None = identity()
    group_name: str = Field(sa_type=Text)
    feature: str = Field(sa_type=Text)
    operator: str = Field(sa_type=Text)
    value: float
    hold_s: float = 0.0
    run_up_s: float = 0.0
    changed_at: datetime = Field(sa_column_kwargs=NOW)
    changed_by: str = Field(sa_type=Text)


class FaultCode(SQLModel, table=True):
    """A kind of fault of the plant's list, with its remedy."""

    __tablename__ = "fault_codes"

    code: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text)
    position: int = 0
    changed_at: datetime = Field(sa_column_kwargs=NOW)
    changed_by: str | None = optional_text()


class Feedback(SQLModel, table=True):
    """A person's verdict about a period of an asset; it can be withdrawn, never changed."""

    __tablename__ = "feedback"
    __table_args__ = (
        sa.UniqueConstraint("client_token", name="uq_feedback_token"),
        sa.CheckConstraint("ends_at >= starts_at", name="ck_feedback_span"),
        sa.Index("ix_feedback_asset", "asset_id", "starts_at"),
        sa.Index("ix_feedback_created", "created_at"),
        partial_index("ix_feedback_in_force", "created_at", where="withdrawn_at IS NULL"),
        partial_index("ix_feedback_incident", "incident_id", where="incident_id IS NOT NULL"),
    )

    id: UUID = Field(primary_key=True)
    asset_id: str = Field(sa_type=Text)
    sensor_id: str | None = optional_text()
    feature: str | None = optional_text()
    group_name: str | None = optional_text()
    incident_id: UUID | None = foreign_key(
        sa.Uuid, "incidents.id", on_delete="SET NULL", nullable=True
    )
    starts_at: datetime
    ends_at: datetime
    verdict: str = Field(sa_type=Text)
    fault_code: str | None = optional_text()
    note: str | None = optional_text()
    by_closing: bool = False
    created_at: datetime = Field(sa_column_kwargs=NOW)
    created_by: str = Field(sa_type=Text)
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = optional_text()
    withdrawn_why: str | None = optional_text()
    client_token: str | None = optional_text()


class StreamReset(SQLModel, table=True):
    """A requested restart of a stream after an overhaul; ``sensor_id`` NULL: all of the asset."""

    __tablename__ = "stream_resets"
    __table_args__ = (
        sa.UniqueConstraint("client_token", name="uq_stream_reset_token"),
        sa.Index("ix_stream_reset_asset", "asset_id", "id"),
    )

    id: int | None = identity()
    asset_id: str = Field(sa_type=Text)
    sensor_id: str | None = optional_text()
    reason: str | None = optional_text()
    requested_at: datetime = Field(sa_column_kwargs=NOW)
    requested_by: str = Field(sa_type=Text)
    client_token: str | None = optional_text()


class NotifyReceiver(SQLModel, table=True):
    """A receiver of notifications; a trigger queues each log entry for every receiver."""

    __tablename__ = "notify_receivers"

    name: str = Field(primary_key=True, sa_type=Text)
    since: datetime = Field(sa_column_kwargs=NOW)
    seen_at: datetime = Field(sa_column_kwargs=NOW)
    problem: str | None = optional_text()


class Notification(SQLModel, table=True):
    """A change of an incident for one receiver; it waits until ``settled_at`` is set."""

    __tablename__ = "notifications"
    __table_args__ = (
        partial_index(
            "ix_notification_waiting",
            "receiver",
            "incident_id",
            "log_id",
            where="settled_at IS NULL",
        ),
        partial_index(
            "ix_notification_settled", "receiver", "settled_at", where="settled_at IS NOT NULL"
        ),
        sa.Index("ix_notification_created", "created_at"),
    )

    log_id: int = foreign_key(sa.BigInteger, "incident_log.id", primary_key=True)
    receiver: str = Field(primary_key=True, sa_type=Text)
    incident_id: UUID
    created_at: datetime = Field(sa_column_kwargs=NOW)
    due_at: datetime = Field(sa_column_kwargs=NOW)
    tries: int = 0
    error: str | None = optional_text()
    settled_at: datetime | None = None
    outcome: str | None = optional_text()
