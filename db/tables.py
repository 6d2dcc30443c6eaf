"""The tables, as SQLModel classes: what others may read and what the migrations must equal.

Times are aware UTC. ``partition`` and ``timestamp`` are columns that PostgreSQL allows unquoted.
A stream is (asset_id, sensor_id); indices hold its 16-byte key (SQL function ``stream_key``)
instead of the names, because three names of 255 characters are longer than an index entry may be.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, Text

NOW = {"server_default": text("now()")}
_NEWEST_FIRST = (text("timestamp DESC"), text("id DESC"))
_ANOMALIES = text("is_anomaly")


def json_column(name: str | None = None, *, nullable: bool = False) -> Any:
    """Make a jsonb column, optionally under a name that Python or SQLModel reserves."""
    column: Column[Any] = Column(name, JSONB, nullable=nullable) if name else Column(JSONB)
    column.nullable = nullable
    return Field(default=None, sa_column=column)


class AnomalyDetection(SQLModel, table=True):
    """One scored reading. Partitioned by ``timestamp``, hence its keys.

    ``topic_id``, ``partition`` and ``source_offset`` name the record it came from; they are NULL
    for rows that REST journalled. ``window_mark`` says whether the reading is part of the
    stream's window.
    """

    __tablename__ = "anomaly_detections"
    __table_args__ = (
        PrimaryKeyConstraint("id", "timestamp"),
        UniqueConstraint(
            "topic_id", "partition", "source_offset", "timestamp", name="uq_detection_source"
        ),
        Index(
            "ix_detection_window",
            "topic_id",
            "partition",
            "stream_id",
            text("COALESCE(feature, ''::text)"),
            text("source_offset DESC"),
            postgresql_where=text("window_mark IN ('added', 'restarted')"),
        ),
        Index("ix_detection_time", *_NEWEST_FIRST),
        Index("ix_detection_anomaly", *_NEWEST_FIRST, postgresql_where=_ANOMALIES),
        Index("ix_detection_asset", "asset_id", *_NEWEST_FIRST),
        Index(
            "ix_detection_asset_anomaly", "asset_id", *_NEWEST_FIRST, postgresql_where=_ANOMALIES
        ),
        Index("ix_detection_stream", "stream_id", *_NEWEST_FIRST),
        Index(
            "ix_detection_stream_anomaly", "stream_id", *_NEWEST_FIRST, postgresql_where=_ANOMALIES
        ),
        Index("ix_detection_sensor", "sensor_id", *_NEWEST_FIRST),
        Index(
            "ix_detection_criticality",
            "criticality",
            *_NEWEST_FIRST,
            postgresql_where=text("criticality <> 'low'"),
        ),
        Index(
            "ix_detection_anomaly_low",
            *_NEWEST_FIRST,
            postgresql_where=text("is_anomaly AND criticality = 'low'"),
        ),
        Index(
            "ix_detection_group",
            "group_name",
            *_NEWEST_FIRST,
            postgresql_where=text("topic_id IS NOT NULL"),
        ),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )

    id: UUID
    timestamp: datetime
    asset_id: str = Field(sa_type=Text)
    sensor_id: str | None = Field(default=None, sa_type=Text)
    feature: str | None = Field(default=None, sa_type=Text)
    stream_id: UUID | None = Field(
        default=None,
        sa_column=Column(
            Uuid, Computed("stream_key(asset_id, sensor_id, NULL::text)", persisted=True)
        ),
    )
    final_score: float
    p: float | None = None
    threshold: float | None = None
    is_anomaly: bool
    criticality: str = Field(sa_type=Text)
    asset_criticality: str | None = Field(default=None, sa_type=Text)
    scores: list[dict[str, Any]] = json_column()
    features: dict[str, float] = json_column()
    details: dict[str, Any] = json_column("metadata")
    event_id: str | None = Field(default=None, sa_type=Text)
    window_mark: str | None = Field(default=None, sa_type=Text)
    group_name: str | None = Field(default=None, sa_type=Text)
    bundle_version: str | None = Field(default=None, sa_type=Text)
    topic_id: UUID | None = None
    partition: int | None = None
    source_offset: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = Field(sa_column_kwargs=NOW)


class DeadLetter(SQLModel, table=True):
    """A record that could not be scored, or an exact duplicate, with its original bytes.

    ``headers`` is JSON (``[[key, base64 or null], ...]``) as bytes: a header may hold a NUL,
    which jsonb refuses.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (
        UniqueConstraint("topic_id", "partition", "source_offset", name="uq_dead_letter_source"),
        Index("ix_dead_letter_created", "created_at"),
        Index("ix_dead_letter_reason", "reason", "created_at"),
        Index("ix_dead_letter_asset", "asset_id", "created_at"),
    )

    id: UUID = Field(primary_key=True)
    topic_id: UUID
    partition: int
    source_offset: int = Field(sa_type=BigInteger)
    topic: str | None = Field(default=None, sa_type=Text)
    reason: str = Field(sa_type=Text)
    message: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    key: bytes | None = None
    value: bytes | None = None
    headers: bytes | None = None
    kafka_timestamp: datetime | None = None
    asset_id: str | None = Field(default=None, sa_type=Text)
    sensor_id: str | None = Field(default=None, sa_type=Text)
    original_id: UUID | None = None
    created_at: datetime = Field(sa_column_kwargs=NOW)


class StreamState(SQLModel, table=True):
    """What the service handed back for one stream; absent parts of the key are ``''``."""

    __tablename__ = "stream_states"
    __table_args__ = (
        PrimaryKeyConstraint("topic_id", "partition", "stream_key"),
        Index("ix_state_stream", "stream_key"),
        Index("ix_state_asset", "asset_id"),
        # No indexed column changes on an update: with room on the page it stays a HOT update.
        {"postgresql_with": {"fillfactor": 50}},
    )

    topic_id: UUID
    partition: int
    stream_key: UUID | None = Field(
        default=None,
        sa_column=Column(
            Uuid, Computed("stream_key(asset_id, sensor_id, feature)", persisted=True)
        ),
    )
    asset_id: str = Field(sa_type=Text)
    sensor_id: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    feature: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    state: dict[str, Any] = json_column()
    last_timestamp: datetime | None = None
    window_length: int | None = None
    window_start: datetime | None = None
    bundle_version: str | None = Field(default=None, sa_type=Text)
    updated_at: datetime = Field(sa_column_kwargs=NOW)


class SourceOffset(SQLModel, table=True):
    """Where the one account of a partition stands. NULL ``next_offset``: nothing stored yet."""

    __tablename__ = "source_offsets"

    topic_id: UUID = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    epoch: int = Field(sa_type=BigInteger)
    next_offset: int | None = Field(default=None, sa_type=BigInteger)
    topic: str | None = Field(default=None, sa_type=Text)
    owner: str | None = Field(default=None, sa_type=Text)
    claimed_at: datetime = Field(sa_column_kwargs=NOW)
    updated_at: datetime = Field(sa_column_kwargs=NOW)


class OutboxRow(SQLModel, table=True):
    """A message that must be published; the row goes once the broker has acknowledged it."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_target", "target_topic", "topic_id", "partition", "id"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    topic_id: UUID
    partition: int
    source_offset: int | None = Field(default=None, sa_type=BigInteger)
    target_topic: str = Field(sa_type=Text)
    key: bytes | None = None
    value: bytes | None = None
    headers: bytes | None = None
    created_at: datetime = Field(sa_column_kwargs=NOW)


class Asset(SQLModel, table=True):
    """Who matters how much; an asset without a row is ``medium``."""

    __tablename__ = "assets"

    asset_id: str = Field(primary_key=True, sa_type=Text)
    criticality: str = Field(sa_type=Text)
    changed_at: datetime | None = None
    changed_by: str | None = Field(default=None, sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)


class TrainingJob(SQLModel, table=True):
    """A training run asked for over REST; ``heartbeat_at`` separates a dead one from a slow one."""

    __tablename__ = "training_jobs"
    __table_args__ = (Index("ix_training_job_state", "state", "created_at"),)

    id: UUID = Field(primary_key=True)
    state: str = Field(sa_type=Text)
    request: dict[str, Any] = json_column()
    progress: dict[str, Any] | None = json_column(nullable=True)
    result: dict[str, Any] | None = json_column(nullable=True)
    error: dict[str, Any] | None = json_column(nullable=True)
    owner: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_column_kwargs=NOW)
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    finished_at: datetime | None = None


class TrainingData(SQLModel, table=True):
    """The readings that came with a job (``.npz``), until it has ended: any replica may run it."""

    __tablename__ = "training_data"

    job_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True)
    )
    content: bytes


class PageKey(SQLModel, table=True):
    """What signs the cookies of the operator's page: one row, so that all replicas know it."""

    __tablename__ = "page_keys"
    __table_args__ = (CheckConstraint("id = 1"),)

    id: int = Field(primary_key=True)
    key: bytes
    created_at: datetime = Field(sa_column_kwargs=NOW)
