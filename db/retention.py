"""Delete data past its retention: whole partitions, and other rows in short transactions.

Ages are measured by the server's clock, which also sets ``created_at`` and ``updated_at``: a host
whose clock runs ahead must not delete young data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, text

from config import Settings
from db.incident_upkeep import drop_incidents
from db.partitions import DEFAULT, drop_partitions
from db.queries.notifications import forget_absent
from db.retry import retried
from db.session import database_now, in_transaction, transaction

#: Rows deleted in one transaction, few enough that nobody waits for it.
CHUNK = 5000
#: Pages of a table scanned in one transaction, if no index finds old rows.
BLOCKS = 2000
_JOB_AGE = "state <> 'running' AND COALESCE(finished_at, created_at) < :before"


@dataclass(slots=True)
class Gone:
    """The deleted data: names of partitions, and numbers of rows by table."""

    partitions: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [f"{count} of {table}" for table, count in self.rows.items() if count]
        return (
            f"partitions dropped: {', '.join(self.partitions) or 'none'}\n"
            f"rows dropped: {', '.join(rows) or 'none'}"
        )


def dead_letter_days(settings: Settings) -> int:
    """Return the retention of dead letters in days: RETENTION_DAYS applies too if it is shorter."""
    days = settings.retention_days, settings.dead_letter_retention_days
    return min(filter(None, days), default=0)


def drop_expired(engine: Engine, settings: Settings) -> Gone:
    """Delete data older than its retention.

    Partitions of detections are dropped by the timestamps of their readings, unless many rows were
    stored recently: replayed old data must not be deleted at once. All other rows are deleted by
    the time when they were stored, a stream's state by its last change.

    Raises
    ------
    StorageUnavailable
        The database cannot be reached; what was deleted before stays deleted.
    """
    now = in_transaction(engine, database_now)

    def before(days: float) -> datetime:
        return now - timedelta(days=days)

    gone, days = Gone(), settings.retention_days
    if days:
        oldest = before(days)
        gone.partitions, mixed = drop_partitions(engine, oldest)
        gone.rows[DEFAULT] = _thin(engine, DEFAULT, oldest)
        for name in mixed:
            gone.rows[name] = _sweep(engine, name, "created_at < :before", oldest)
    if letters := dead_letter_days(settings):
        gone.rows["dead_letters"] = _thin(engine, "dead_letters", before(letters))
    for table, days, condition in (
        ("stream_states", settings.state_retention_days, "updated_at < :before"),
        ("training_jobs", settings.training_job_retention_days, _JOB_AGE),
    ):
        if days:
            gone.rows[table] = _sweep(engine, table, condition, before(days))
    if settings.incident_retention_days:
        oldest, topic = before(settings.incident_retention_days), settings.kafka_topic_incidents
        drop = partial(in_transaction, engine, drop_incidents, oldest, topic)
        gone.rows["incidents"] = _until_none(drop)
        gone.rows["feedback"] = _thin(engine, "feedback", oldest)
    if settings.notify_retention_days:
        days = settings.notify_retention_days
        # those that wait are the sender's to give up, which it logs
        oldest = before(max(days, settings.notify_wait_days))
        gone.rows["notifications"] = _thin(engine, "notifications", oldest)
        gone.rows["notify_receivers"] = in_transaction(engine, forget_absent, before(days))
    return gone


def _until_none(drop: Callable[[], int]) -> int:
    """Call ``drop`` until it deletes nothing; return the number of rows."""
    return sum(iter(lambda: retried(drop), 0))


def _thin(engine: Engine, table: str, before: datetime) -> int:
    """Delete rows stored before a time in chunks, using the index on ``created_at``."""
    delete = text(f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE created_at < :before LIMIT :chunk
            FOR UPDATE SKIP LOCKED
        ))
    """)  # noqa: S608 (constants)
    values = {"before": before, "chunk": CHUNK}
    return _until_none(partial(in_transaction, engine, _count, delete, values))


def _count(connection: Connection, delete: TextClause, values: dict[str, Any]) -> int:
    return connection.execute(delete, values).rowcount


def _sweep(engine: Engine, table: str, condition: str, before: datetime) -> int:
    """Delete the rows that meet a condition, scanning the table in stretches of pages.

    An index on a time that every batch changes would cost more for each batch than this scan.
    """
    delete = text(f"""
        DELETE FROM {table}
        WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:end AS tid) AND {condition}
    """)  # noqa: S608 (constants and names of partitions)
    size = text("""
        SELECT pg_relation_size(CAST(:table AS regclass)) / current_setting('block_size')::bigint
    """)

    def stretch(first: int) -> int:
        values = {"first": f"({first},0)", "end": f"({first + BLOCKS},0)", "before": before}
        return in_transaction(engine, _count, delete, values)

    with transaction(engine) as connection:
        blocks = int(connection.execute(size, {"table": table}).scalar_one())
    return sum(retried(partial(stretch, first)) for first in range(0, blocks, BLOCKS))
