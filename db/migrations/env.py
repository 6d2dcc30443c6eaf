"""Alembic's hook: runs the revisions on the connection that ``db.migrate`` hands in.

There is no other way in, so that no migration ever runs outside the lock.
"""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import db.incident_tables
import db.tables  # noqa: F401 (fills the metadata)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    version_table=context.config.attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
