"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# True: a program that does not know this revision must not run on it
breaks_older_programs = False


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
