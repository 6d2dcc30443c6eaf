"""Reads bounded in time, drift by group, a training's data beside its job.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
breaks_older_programs = False


def upgrade() -> None:
    # How far back a stream's window reaches: a look for its rows prunes partitions by it. NULL
    # (stored by an older program): not known, found by looking back partition by partition.
    op.execute("ALTER TABLE stream_states ADD COLUMN window_start timestamptz")
    # The newest readings of one group, which /status compares with its training.
    op.execute("""
        CREATE INDEX ix_detection_group ON anomaly_detections
            (group_name, timestamp DESC, id DESC) WHERE topic_id IS NOT NULL
    """)
    # Whichever replica runs the job finds its data here. A matrix is packed already.
    op.execute("""
        CREATE TABLE training_data (
            job_id uuid PRIMARY KEY REFERENCES training_jobs (id) ON DELETE CASCADE,
            content bytea NOT NULL
        )
    """)
    op.execute("ALTER TABLE training_data ALTER COLUMN content SET STORAGE EXTERNAL")
