"""Incidents of events that lasted, and that people closed: each bridge asks for them.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
breaks_older_programs = False


def upgrade() -> None:
    op.execute("""
        CREATE INDEX ix_incident_persistent ON incidents (closed_at DESC)
        WHERE persistent AND closed_at IS NOT NULL
    """)
