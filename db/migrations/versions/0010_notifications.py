"""Queue notifications of incidents: one per receiver and entry of an incident's log.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
breaks_older_programs = False

STATEMENTS = (
    """
    CREATE TABLE notify_receivers (
        name text PRIMARY KEY,
        since timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now(),
        problem text
    )
    """,
    """
    CREATE TABLE notifications (
        receiver text NOT NULL,
        log_id bigint NOT NULL REFERENCES incident_log (id) ON DELETE CASCADE,
        incident_id uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        due_at timestamptz NOT NULL DEFAULT now(),
        tries integer NOT NULL DEFAULT 0,
        error text,
        settled_at timestamptz,
        outcome text,
        PRIMARY KEY (log_id, receiver)
    )
    """,
    """
    CREATE INDEX ix_notification_waiting ON notifications (receiver, incident_id, log_id)
        WHERE settled_at IS NULL
    """,
    """
    CREATE INDEX ix_notification_settled ON notifications (receiver, settled_at)
        WHERE settled_at IS NOT NULL
    """,
    "CREATE INDEX ix_notification_created ON notifications (created_at)",
    # In the transaction of whoever changes an incident, an older program too; nothing at all
    # while there are no receivers.
    """
    CREATE FUNCTION note_for_receivers() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO notifications (receiver, log_id, incident_id)
        SELECT r.name, e.id, e.incident_id FROM notify_receivers r CROSS JOIN entries e;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER note_for_receivers AFTER INSERT ON incident_log
        REFERENCING NEW TABLE AS entries
        FOR EACH STATEMENT EXECUTE FUNCTION note_for_receivers()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
