"""The key that signs what the operator's page keeps in a browser.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
breaks_older_programs = False


def upgrade() -> None:
    op.execute("""
        CREATE TABLE page_keys (
            id integer PRIMARY KEY CHECK (id = 1),
            key bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
