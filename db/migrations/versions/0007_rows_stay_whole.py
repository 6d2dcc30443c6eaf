"""Explained readings are stored whole, in their table's pages.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
breaks_older_programs = False


def upgrade() -> None:
    op.execute("""
        DO $$
        DECLARE part regclass;
        BEGIN
            FOR part IN SELECT relid FROM pg_partition_tree('anomaly_detections') WHERE isleaf
            LOOP
                EXECUTE format('ALTER TABLE %s SET (toast_tuple_target = 8160)', part);
            END LOOP;
        END $$
    """)
