"""Anomalies of criticality "low": their own index, and statistics of the two columns together.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
breaks_older_programs = True


def upgrade() -> None:
    # Rare, since low scores alarm for critical assets only. The planner takes them for frequent
    # ("low" is) and read every anomaly to find them; the size of this index tells it better.
    op.execute("""
        CREATE INDEX ix_detection_anomaly_low ON anomaly_detections (timestamp DESC, id DESC)
            WHERE is_anomaly AND criticality = 'low'
    """)
    # The two columns are nearly one fact, so estimates of matches were a hundred times too low.
    # A new partition copies the parent's; those that exist are given theirs.
    op.execute("""
        DO $$ DECLARE part record; BEGIN
            FOR part IN SELECT c.relname FROM pg_partition_tree('anomaly_detections') t
                JOIN pg_class c ON c.oid = t.relid
            LOOP
                EXECUTE format('CREATE STATISTICS %I (mcv) ON is_anomaly, criticality FROM %I',
                               'st_' || part.relname, part.relname);
            END LOOP;
        END $$
    """)
