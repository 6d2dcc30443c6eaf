"""First schema: detections (partitioned), dead letters, states, offsets, outbox, assets, jobs.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
breaks_older_programs = True

STATEMENTS = (
    # Three names of 255 characters are longer than an index entry may be; their key is 16 bytes.
    # The lengths make it unambiguous.
    """
    CREATE FUNCTION stream_key(asset text, sensor text, feature text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN md5(
        length(coalesce(asset, ''))::text || ':' || length(coalesce(sensor, ''))::text || ':'
        || coalesce(asset, '') || coalesce(sensor, '') || coalesce(feature, '')
    )::uuid
    """,
    """
    CREATE TABLE anomaly_detections (
        id uuid NOT NULL,
        timestamp timestamptz NOT NULL,
        asset_id text NOT NULL,
        sensor_id text,
        feature text,
        stream_id uuid GENERATED ALWAYS AS (stream_key(asset_id, sensor_id, NULL::text)) STORED,
        final_score double precision NOT NULL,
        p double precision,
        threshold double precision,
        is_anomaly boolean NOT NULL,
        criticality text NOT NULL,
        asset_criticality text,
        scores jsonb NOT NULL,
        features jsonb NOT NULL,
        metadata jsonb NOT NULL,
        event_id text,
        window_mark text,
        group_name text,
        bundle_version text,
        topic_id uuid,
        partition integer,
        source_offset bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (id, timestamp),
        CONSTRAINT uq_detection_source UNIQUE (topic_id, partition, source_offset, timestamp)
    ) PARTITION BY RANGE (timestamp)
    """,
    """
    CREATE INDEX ix_detection_window ON anomaly_detections
        (topic_id, partition, stream_id, COALESCE(feature, ''), source_offset DESC)
        WHERE window_mark IN ('added', 'restarted')
    """,
    "CREATE INDEX ix_detection_time ON anomaly_detections (timestamp DESC, id DESC)",
    """
    CREATE INDEX ix_detection_anomaly ON anomaly_detections (timestamp DESC, id DESC)
        WHERE is_anomaly
    """,
    "CREATE INDEX ix_detection_asset ON anomaly_detections (asset_id, timestamp DESC, id DESC)",
    """
    CREATE INDEX ix_detection_asset_anomaly ON anomaly_detections
        (asset_id, timestamp DESC, id DESC) WHERE is_anomaly
    """,
    "CREATE INDEX ix_detection_stream ON anomaly_detections (stream_id, timestamp DESC, id DESC)",
    """
    CREATE INDEX ix_detection_stream_anomaly ON anomaly_detections
        (stream_id, timestamp DESC, id DESC) WHERE is_anomaly
    """,
    "CREATE INDEX ix_detection_sensor ON anomaly_detections (sensor_id, timestamp DESC, id DESC)",
    """
    CREATE INDEX ix_detection_criticality ON anomaly_detections
        (criticality, timestamp DESC, id DESC) WHERE criticality <> 'low'
    """,
    "CREATE TABLE anomaly_detections_default PARTITION OF anomaly_detections DEFAULT",
    # Only the default partition is thinned by age of the row; the others are dropped whole.
    """
    CREATE INDEX ix_detection_default_created ON anomaly_detections_default (created_at)
    """,
    """
    CREATE TABLE dead_letters (
        id uuid PRIMARY KEY,
        topic_id uuid NOT NULL,
        partition integer NOT NULL,
        source_offset bigint NOT NULL,
        topic text,
        reason text NOT NULL,
        message text NOT NULL DEFAULT '',
        key bytea,
        value bytea,
        headers bytea,
        kafka_timestamp timestamptz,
        asset_id text,
        sensor_id text,
        original_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT uq_dead_letter_source UNIQUE (topic_id, partition, source_offset)
    )
    """,
    "CREATE INDEX ix_dead_letter_created ON dead_letters (created_at)",
    "CREATE INDEX ix_dead_letter_reason ON dead_letters (reason, created_at)",
    "CREATE INDEX ix_dead_letter_asset ON dead_letters (asset_id, created_at)",
    # No indexed column changes on an update: with room on the page it stays a HOT update.
    """
    CREATE TABLE stream_states (
        topic_id uuid NOT NULL,
        partition integer NOT NULL,
        stream_key uuid GENERATED ALWAYS AS (stream_key(asset_id, sensor_id, feature)) STORED
            NOT NULL,
        asset_id text NOT NULL,
        sensor_id text NOT NULL DEFAULT '',
        feature text NOT NULL DEFAULT '',
        state jsonb NOT NULL,
        last_timestamp timestamptz,
        window_length integer,
        bundle_version text,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (topic_id, partition, stream_key)
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX ix_state_stream ON stream_states (stream_key)",
    "CREATE INDEX ix_state_asset ON stream_states (asset_id)",
    """
    CREATE TABLE source_offsets (
        topic_id uuid NOT NULL,
        partition integer NOT NULL,
        epoch bigint NOT NULL,
        next_offset bigint,
        topic text,
        owner text,
        claimed_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (topic_id, partition)
    )
    """,
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic_id uuid NOT NULL,
        partition integer NOT NULL,
        source_offset bigint,
        target_topic text NOT NULL,
        key bytea,
        value bytea,
        headers bytea,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_outbox_source ON outbox (topic_id, partition, id)",
    """
    CREATE TABLE assets (
        asset_id text PRIMARY KEY,
        criticality text NOT NULL
            CONSTRAINT ck_asset_criticality
            CHECK (criticality IN ('critical', 'high', 'medium', 'low'))
    )
    """,
    """
    CREATE TABLE training_jobs (
        id uuid PRIMARY KEY,
        state text NOT NULL,
        request jsonb NOT NULL,
        progress jsonb,
        result jsonb,
        error jsonb,
        owner text,
        created_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        heartbeat_at timestamptz,
        finished_at timestamptz
    )
    """,
    "CREATE INDEX ix_training_job_state ON training_jobs (state, created_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
