"""Define the tables as SQLModel classes; a test compares them with the migrations.

Times are aware UTC. PostgreSQL allows the column names ``partition`` and ``timestamp`` unquoted. A
stream is (asset_id, sensor_id). Indices contain its 16-byte key (SQL function ``stream_key``),
because three names of 255 characters exceed the size of an index entry.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, Text

NOW = {"server_default": sa.text("now()")}
_NEWEST_FIRST = (sa.text("timestamp DESC"), sa.text("id DESC"))
_ANOMALIES = "is_anomaly"


def json_column(name: str | None = None, *, nullable: bool = False) -> Any:
    """Make a jsonb column, with its own name if Python or SQLModel reserves the field's name."""
    column: sa.Column[Any] = sa.Column(name, JSONB, nullable=nullable) if name else sa.Column(JSONB)
    column.nullable = nullable
    return Field(default=None, sa_column=column)


def optional_text() -> Any:
    """Make a sa.text column that may be NULL."""
    return Field(default=None, sa_type=Text)


def computed(kind: Any, expression: str) -> Any:
    """Make a column that PostgreSQL computes from the row's other columns."""
    return Field(default=None, sa_column=sa.Column(kind, sa.Computed(expression, persisted=True)))


def identity(*, primary_key: bool = True) -> Any:
    """Make an auto-increment column."""
    column: sa.Column[Any] = sa.Column(
        sa.BigInteger, sa.Identity(always=True), primary_key=primary_key, nullable=False
    )
    return Field(default=None, sa_column=column)


def foreign_key(kind: Any, target: str, *, on_delete: str = "CASCADE", **options: Any) -> Any:
    """Make a foreign key column, not NULL by default.

    Parameters
    ----------
    kind : type
        Type of the column.
    target : str
        ``table.column``.
    on_delete : str
        Action when the referenced row is deleted.
    **options
        Options of the column.
    """
    options = {"nullable": False, **options}
    column: sa.Column[Any] = sa.Column(kind, sa.ForeignKey(target, ondelete=on_delete), **options)
    return Field(default=None, sa_column=column)


def partial_index(name: str, *columns: Any, where: str) -> sa.Index:
    """Make an index of the rows for which ``where`` holds."""
    return sa.Index(name, *columns, postgresql_where=sa.text(where))


class AnomalyDetection(SQLModel, table=True):
    """One scored reading. Partitioned by ``timestamp``, so the keys contain it.

    ``topic_id``, ``partition`` and ``source_offset`` identify the source record; they are NULL in
    rows that REST journalled. ``window_mark`` says whether the reading belongs to the stream's
    window.
    """

    __tablename__ = "anomaly_detections"
    __table_args__ = (
        sa.PrimaryKeyConstraint("id", "timestamp"),
        sa.UniqueConstraint(
            "topic_id", "partition", "source_offset", "timestamp", name="uq_detection_source"
        ),
        partial_index(
            "ix_detection_window",
            "topic_id",
            "partition",
            "stream_id",
            sa.text("COALESCE(feature, ''::sa.text)"),
            sa.text("source_offset DESC"),
            where="window_mark IN ('added', 'restarted')",
        ),
        sa.Index("ix_detection_time", *_NEWEST_FIRST),
        partial_index("ix_detection_anomaly", *_NEWEST_FIRST, where=_ANOMALIES),
        sa.Index("ix_detection_asset", "asset_id", *_NEWEST_FIRST),
        partial_index("ix_detection_asset_anomaly", "asset_id", *_NEWEST_FIRST, where=_ANOMALIES),
        sa.Index("ix_detection_stream", "stream_id", *_NEWEST_FIRST),
        partial_index("ix_detection_stream_anomaly", "stream_id", *_NEWEST_FIRST, where=_ANOMALIES),
        sa.Index("ix_detection_sensor", "sensor_id", *_NEWEST_FIRST),
        partial_index(
            "ix_detection_criticality", "criticality", *_NEWEST_FIRST, where="criticality <> 'low'"
        ),
        partial_index(
            "ix_detection_anomaly_low", *_NEWEST_FIRST, where="is_anomaly AND criticality = 'low'"
        ),
        partial_index(
            "ix_detection_group", "group_name", *_NEWEST_FIRST, where="topic_id IS NOT NULL"
        ),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )

    id: UUID
    timestamp: datetime
    asset_id: str = Field(sa_type=Text)
    sensor_id: str | None = optional_text()
    feature: str | None = optional_text()
    stream_id: UUID | None = computed(sa.Uuid, "stream_key(asset_id, sensor_id, NULL::sa.text)")
    final_score: float
    p: float | None = None
    threshold: float | None = None
    is_anomaly: bool
    criticality: str = Field(sa_type=Text)
    asset_criticality: str | None = optional_text()
    scores: list[dict[str, Any]] = json_column()
    features: dict[str, float] = json_column()
    details: dict[str, Any] = json_column("metadata")
    event_id: str | None = optional_text()
    window_mark: str | None = optional_text()
    group_name: str | None = optional_text()
    bundle_version: str | None = optional_text()
    topic_id: UUID | None = None
    partition: int | None = None
    source_offset: int | None = Field(default=None, sa_type=sa.BigInteger)
    created_at: datetime = Field(sa_column_kwargs=NOW)


class DeadLetter(SQLModel, table=True):
    """A record that could not be scored, or an exact duplicate, with its original bytes.

    ``headers`` is JSON (``[[key, base64 or null], ...]``) as bytes, because a header may contain
    NUL, which jsonb rejects.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (
        sa.UniqueConstraint("topic_id", "partition", "source_offset", name="uq_dead_letter_source"),
        sa.Index("ix_dead_letter_created", "created_at"),
        sa.Index("ix_dead_letter_reason", "reason", "created_at"),
        sa.Index("ix_dead_letter_asset", "asset_id", "created_at"),
    )

    id: UUID = Field(primary_key=True)
    topic_id: UUID
    partition: int
    source_offset: int = Field(sa_type=sa.BigInteger)
    topic: str | None = optional_text()
    reason: str = Field(sa_type=Text)
    message: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    key: bytes | None = None
    value: bytes | None = None
    headers: bytes | None = None
    kafka_timestamp: datetime | None = None
    asset_id: str | None = optional_text()
    sensor_id: str | None = optional_text()
    original_id: UUID | None = None
    created_at: datetime = Field(sa_column_kwargs=NOW)


class StreamState(SQLModel, table=True):
    """The state that the service returned for one stream; absent parts of the key are ``''``."""

    __tablename__ = "stream_states"
    __table_args__ = (
        sa.PrimaryKeyConstraint("topic_id", "partition", "stream_key"),
        sa.Index("ix_state_stream", "stream_key"),
        sa.Index("ix_state_asset", "asset_id"),
        # Updates change no indexed column: with free space on the page they are HOT updates.
        {"postgresql_with": {"fillfactor": 50}},
    )

    topic_id: UUID
    partition: int
    stream_key: UUID | None = computed(sa.Uuid, "stream_key(asset_id, sensor_id, feature)")
    asset_id: str = Field(sa_type=Text)
    sensor_id: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    feature: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    state: dict[str, Any] = json_column()
    last_timestamp: datetime | None = None
    window_length: int | None = None
    window_start: datetime | None = None
    bundle_version: str | None = optional_text()
    updated_at: datetime = Field(sa_column_kwargs=NOW)


class SourceOffset(SQLModel, table=True):
    """The stored offset of a partition. NULL ``next_offset``: nothing is stored yet."""

    __tablename__ = "source_offsets"

    topic_id: UUID = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    epoch: int = Field(sa_type=sa.BigInteger)
    next_offset: int | None = Field(default=None, sa_type=sa.BigInteger)
    topic: str | None = optional_text()
    owner: str | None = optional_text()
    claimed_at: datetime = Field(sa_column_kwargs=NOW)
    updated_at: datetime = Field(sa_column_kwargs=NOW)


class OutboxRow(SQLModel, table=True):
    """A message to publish; its row is deleted once the broker has acknowledged it."""

    __tablename__ = "outbox"
    __table_args__ = (sa.Index("ix_outbox_target", "target_topic", "topic_id", "partition", "id"),)

    id: int | None = identity()
    topic_id: UUID
    partition: int
    source_offset: int | None = Field(default=None, sa_type=sa.BigInteger)
    target_topic: str = Field(sa_type=Text)
    key: bytes | None = None
    value: bytes | None = None
    headers: bytes | None = None
    created_at: datetime = Field(sa_column_kwargs=NOW)


class Asset(SQLModel, table=True):
    """The criticality of an asset; an asset without a row is ``medium``."""

    __tablename__ = "assets"

    asset_id: str = Field(primary_key=True, sa_type=Text)
    criticality: str = Field(sa_type=Text)
    changed_at: datetime | None = None
    changed_by: str | None = optional_text()
    reason: str | None = optional_text()


class TrainingJob(SQLModel, table=True):
    """A training requested over REST; ``heartbeat_at`` tells a dead process from a slow one."""

    __tablename__ = "training_jobs"
    __table_args__ = (sa.Index("ix_training_job_state", "state", "created_at"),)

    id: UUID = Field(primary_key=True)
    state: str = Field(sa_type=Text)
    request: dict[str, Any] = json_column()
    progress: dict[str, Any] | None = json_column(nullable=True)
    result: dict[str, Any] | None = json_column(nullable=True)
    error: dict[str, Any] | None = json_column(nullable=True)
    owner: str | None = optional_text()
    created_at: datetime = Field(sa_column_kwargs=NOW)
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    finished_at: datetime | None = None


class TrainingData(SQLModel, table=True):
    """The readings of a job (``.npz``) until the job ends, so that any replica can run it."""

    __tablename__ = "training_data"

    job_id: UUID = foreign_key(sa.Uuid, "training_jobs.id", primary_key=True)
    content: bytes


class PageKey(SQLModel, table=True):
    """The key that signs the page's cookies: one row, shared by all replicas."""

    __tablename__ = "page_keys"
    __table_args__ = (sa.CheckConstraint("id = 1"),)

    id: int = Field(primary_key=True)
    key: bytes
    created_at: datetime = Field(sa_column_kwargs=NOW)
