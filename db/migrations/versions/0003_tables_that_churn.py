"""Storage of the two tables that are rewritten with every batch.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
breaks_older_programs = True


def upgrade() -> None:
    # States of 2 to 4 KB were compressed and moved to the side table with every batch; kept in
    # the row, storing 200 of them costs a third less.
    op.execute("""
        ALTER TABLE stream_states SET (
            toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05
        )
    """)
    # Its rows live for a moment; dead ones at the front of the index slow the next look.
    op.execute("""
        ALTER TABLE outbox SET (
            autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000
        )
    """)
