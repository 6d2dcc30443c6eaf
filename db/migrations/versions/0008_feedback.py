"""Feedback made by closing an incident, who changed the fault codes, indices of the alarm KPIs.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
breaks_older_programs = False

STATEMENTS = (
    "ALTER TABLE feedback ADD COLUMN by_closing boolean NOT NULL DEFAULT false",
    "ALTER TABLE feedback DROP COLUMN effects",  # given with each answer; nothing ever wrote it
    """
    CREATE INDEX ix_feedback_in_force ON feedback (created_at) WHERE withdrawn_at IS NULL
    """,
    "ALTER TABLE fault_codes ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now()",
    "ALTER TABLE fault_codes ADD COLUMN changed_by text",
    "CREATE INDEX ix_incident_log_joined ON incident_log (occurred_at) WHERE what = 'joined'",
    """
    CREATE INDEX ix_incident_stood ON incidents (cleared_at)
        WHERE cleared_at - opened_at > interval '24 hours'
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
