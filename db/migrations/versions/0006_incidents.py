"""Incidents and what goes with them: log, feedback, maintenance, machine-off, resets.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
breaks_older_programs = False

STATEMENTS = (
    # The one place where the state is derived. Ends of shelving and of suppression are written
    # by the timer and the bridge: a generated column cannot know what time it is.
    """
    CREATE TABLE incidents (
        id uuid PRIMARY KEY,
        seq bigint GENERATED ALWAYS AS IDENTITY,
        version bigint NOT NULL,
        revision bigint NOT NULL,
        asset_id text NOT NULL,
        sensor_id text,
        feature text,
        stream_key uuid GENERATED ALWAYS AS (stream_key(asset_id, sensor_id, feature)) STORED,
        group_name text,
        kind text NOT NULL,
        asset_criticality text,
        severity text NOT NULL,
        opened_at timestamptz NOT NULL,
        started_at timestamptz NOT NULL,
        last_activity_at timestamptz NOT NULL,
        cleared_at timestamptz,
        readings bigint NOT NULL,
        anomalies bigint NOT NULL,
        peak jsonb NOT NULL,
        recent jsonb NOT NULL,
        bundle_version text,
        persistent boolean NOT NULL DEFAULT false,
        event_id uuid NOT NULL,
        suppressed_by text,
        acknowledged_at timestamptz,
        acknowledged_by text,
        assignee text,
        shelved_until timestamptz,
        shelved_by text,
        shelve_reason text,
        closed_at timestamptz,
        closed_by text,
        verdict text,
        fault_code text,
        note text,
        ticket text,
        state text GENERATED ALWAYS AS (
            CASE
                WHEN closed_at IS NOT NULL THEN 'closed'
                WHEN shelved_until IS NOT NULL THEN 'shelved'
                WHEN suppressed_by IS NOT NULL THEN 'suppressed'
                WHEN cleared_at IS NULL AND acknowledged_at IS NULL THEN 'open-unacknowledged'
                WHEN cleared_at IS NULL THEN 'open-acknowledged'
                WHEN acknowledged_at IS NULL THEN 'cleared-unacknowledged'
                ELSE 'cleared-acknowledged'
            END
        ) STORED,
        created_at timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # A busy incident's row is rewritten with each batch.
    "ALTER TABLE incidents SET (autovacuum_vacuum_scale_factor = 0.05, fillfactor = 80)",
    "CREATE INDEX ix_incident_activity ON incidents (last_activity_at DESC, id DESC)",
    "CREATE INDEX ix_incident_state ON incidents (state, last_activity_at DESC, id DESC)",
    "CREATE INDEX ix_incident_asset ON incidents (asset_id, last_activity_at DESC, id DESC)",
    """
    CREATE INDEX ix_incident_assignee ON incidents (assignee, last_activity_at DESC, id DESC)
        WHERE assignee IS NOT NULL
    """,
    "CREATE INDEX ix_incident_stream ON incidents (stream_key, kind, seq DESC)",
    "CREATE INDEX ix_incident_open ON incidents (stream_key) WHERE cleared_at IS NULL",
    "CREATE INDEX ix_incident_shelved ON incidents (shelved_until) WHERE shelved_until IS NOT NULL",
    """
    CREATE INDEX ix_incident_settled ON incidents (updated_at)
        WHERE state = 'cleared-acknowledged'
    """,
    """
    CREATE TABLE incident_events (
        event_id uuid PRIMARY KEY,
        incident_id uuid NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
        started_at timestamptz NOT NULL,
        cleared_at timestamptz
    )
    """,
    "CREATE INDEX ix_incident_event ON incident_events (incident_id)",
    """
    CREATE TABLE incident_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        incident_id uuid NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
        at timestamptz NOT NULL DEFAULT now(),
        occurred_at timestamptz NOT NULL,
        version bigint NOT NULL,
        who text NOT NULL,
        what text NOT NULL,
        why text,
        before jsonb NOT NULL,
        after jsonb NOT NULL,
        client_token text,
        CONSTRAINT uq_incident_log_token UNIQUE (incident_id, client_token)
    )
    """,
    "CREATE INDEX ix_incident_log ON incident_log (incident_id, id)",
    "CREATE INDEX ix_incident_log_opened ON incident_log (occurred_at) WHERE what = 'opened'",
    # Retention and the forgetting of a name say so in their transaction; nobody else may.
    """
    CREATE FUNCTION refuse_rewriting_the_log() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF coalesce(current_setting('anomalies.rewrite_log', true), '') <> 'on' THEN
            RAISE EXCEPTION 'incident_log is append-only' USING ERRCODE = '23514';
        END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON incident_log
        FOR EACH ROW EXECUTE FUNCTION refuse_rewriting_the_log()
    """,
    """
    CREATE TABLE maintenance_windows (
        id uuid PRIMARY KEY,
        version bigint NOT NULL DEFAULT 1,
        asset_pattern text,
        sensor_pattern text,
        group_pattern text,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        rrule text,
        time_zone text NOT NULL DEFAULT 'UTC',
        reason text,
        suppresses_alarms boolean NOT NULL DEFAULT true,
        excluded_from_training boolean NOT NULL DEFAULT true,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        changed_at timestamptz,
        changed_by text,
        deleted_at timestamptz,
        deleted_by text,
        CONSTRAINT ck_maintenance_window_span CHECK (ends_at > starts_at)
    )
    """,
    "CREATE INDEX ix_maintenance_window_end ON maintenance_windows (ends_at)",
    """
    CREATE TABLE off_conditions (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        group_name text NOT NULL,
        feature text NOT NULL,
        operator text NOT NULL,
        value double precision NOT NULL,
        hold_s double precision NOT NULL DEFAULT 0,
        run_up_s double precision NOT NULL DEFAULT 0,
        changed_at timestamptz NOT NULL DEFAULT now(),
        changed_by text NOT NULL,
        CONSTRAINT uq_off_condition UNIQUE (group_name, feature, operator, value)
    )
    """,
    """
    CREATE TABLE fault_codes (
        code text PRIMARY KEY,
        name text NOT NULL,
        action text NOT NULL DEFAULT '',
        position integer NOT NULL DEFAULT 0
    )
    """,
    # About a span of an asset; the incident it came with may be gone before it.
    """
    CREATE TABLE feedback (
        id uuid PRIMARY KEY,
        asset_id text NOT NULL,
        sensor_id text,
        feature text,
        group_name text,
        incident_id uuid REFERENCES incidents (id) ON DELETE SET NULL,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        verdict text NOT NULL,
        fault_code text,
        note text,
        effects jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        withdrawn_at timestamptz,
        withdrawn_by text,
        withdrawn_why text,
        client_token text,
        CONSTRAINT uq_feedback_token UNIQUE (client_token),
        CONSTRAINT ck_feedback_span CHECK (ends_at >= starts_at)
    )
    """,
    "CREATE INDEX ix_feedback_asset ON feedback (asset_id, starts_at)",
    "CREATE INDEX ix_feedback_created ON feedback (created_at)",
    "CREATE INDEX ix_feedback_incident ON feedback (incident_id) WHERE incident_id IS NOT NULL",
    """
    CREATE TABLE stream_resets (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        asset_id text NOT NULL,
        sensor_id text,
        reason text,
        requested_at timestamptz NOT NULL DEFAULT now(),
        requested_by text NOT NULL,
        client_token text,
        CONSTRAINT uq_stream_reset_token UNIQUE (client_token)
    )
    """,
    "CREATE INDEX ix_stream_reset_asset ON stream_resets (asset_id, id)",
    "ALTER TABLE assets ADD COLUMN changed_at timestamptz",
    "ALTER TABLE assets ADD COLUMN changed_by text",
    "ALTER TABLE assets ADD COLUMN reason text",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
