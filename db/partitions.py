"""Create partitions of ``anomaly_detections`` in advance and drop old ones.

Rows outside every partition go to the default one, and are moved when their time span gets a
partition. This is safe while everything runs: each step is a short transaction under an advisory
lock. It gives up waiting for a contended table lock after half a second, because a waiting lock
blocks everyone behind it, and is retried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from sqlalchemy import Connection, Engine, text

from db.retry import retried
from db.session import in_transaction, transaction
from db.tables import AnomalyDetection

Unit = Literal["day", "month"]

TABLE = "anomaly_detections"
DEFAULT = f"{TABLE}_default"
#: Only one process at a time changes partitions.
PARTITION_LOCK = 0x616E6F6D_0003
LOCK_TIMEOUT_MS = 500  # a waiting change of the table would block all later queries
#: With fewer misplaced (or young) rows than this, they are moved within the same transaction.
MANY = 10_000

_MIN = datetime.min.replace(tzinfo=UTC)
_MAX = datetime.max.replace(tzinfo=UTC)
_BOUND = re.compile(r"FROM \((MINVALUE|'[^']+')\) TO \((MAXVALUE|'[^']+')\)")
_NAME = re.compile(rf"{TABLE}_\d{{8}}_\d{{8}}")
#: An anomaly's row is 4 to 6 KB. By default PostgreSQL would compress it and move parts aside to
#: reach 2 KB: a third of the cost of storing a flood of alarms. With this option rows of up to a
#: page stay whole.
WHOLE_ROWS = "toast_tuple_target = 8160"
#: The stored columns; the others are computed from them.
COLUMNS = ", ".join(
    column.name
    for column in AnomalyDetection.__table__.columns  # type: ignore[attr-defined]
    if column.computed is None
)


@dataclass(frozen=True, slots=True)
class Partition:
    """An existing or future partition: readings with ``start <= timestamp < end``."""

    name: str
    start: datetime
    end: datetime

    def bounds(self) -> dict[str, object]:
        """Return both ends as query parameters."""
        return {"start": self.start, "end": self.end}


def spans(now: datetime, unit: Unit, ahead: int) -> Iterator[tuple[datetime, datetime]]:
    """Return the span that contains ``now`` and the ``ahead`` following ones, in UTC.

    Parameters
    ----------
    now : datetime
        Aware.
    unit : {"day", "month"}
        Length of a span.
    ahead : int
        Number of following spans.
    """
    start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "month":
        start = start.replace(day=1)
    for _ in range(ahead + 1):
        # The first day of a month plus 32 days is always in the next month.
        end = start + timedelta(days=1 if unit == "day" else 32)
        end = end.replace(day=1) if unit == "month" else end
        yield start, end
        start = end


def gaps(
    start: datetime, end: datetime, taken: list[Partition]
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts of a span without a partition (they exist after the unit has changed).

    Parameters
    ----------
    start, end : datetime
        The span; ``end`` is excluded.
    taken : list of Partition
        The existing ones, in any order.
    """
    for partition in sorted(taken, key=lambda p: p.start):
        if partition.end <= start or partition.start >= end:
            continue
        if partition.start > start:
            yield start, partition.start
        start = max(start, partition.end)
    if start < end:
        yield start, end


def list_partitions(connection: Connection) -> list[Partition]:
    """List all partitions except the default one."""
    # pg_get_expr formats times in the session's zone.
    connection.execute(text("SET LOCAL timezone = 'UTC'"))
    rows = connection.execute(
        text("""
            SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = CAST(:parent AS regclass) ORDER BY c.relname
        """),
        {"parent": TABLE},
    )
    found = []
    for name, bound in rows:
        if match := _BOUND.search(bound):
            found.append(Partition(name, _time(match[1], _MIN), _time(match[2], _MAX)))
    return found


def _time(bound: str, unbounded: datetime) -> datetime:
    return unbounded if bound.endswith("VALUE") else datetime.fromisoformat(bound.strip("'"))


def ensure_partitions(
    engine: Engine, now: datetime, *, unit: Unit = "month", ahead: int = 3
) -> list[str]:
    """Create the partition of ``now`` and the coming ones; move their rows out of the default one.

    Parameters
    ----------
    engine : Engine
    now : datetime
        Aware.
    unit : {"day", "month"}
        Span of a new partition; existing ones stay unchanged.
    ahead : int
        Number of coming partitions.

    Returns
    -------
    list of str
        The new partitions; empty if all existed.

    Raises
    ------
    StorageUnavailable
        The database cannot be reached, or the lock was not available in several tries. Nothing is
        lost: readings go to the default partition, and a later call moves them.
    """
    made: list[str] = []
    for start, end in spans(now, unit, ahead):
        made += retried(partial(_fill, engine, start, end))
    return made


def _fill(engine: Engine, start: datetime, end: datetime) -> list[str]:
    if not list(gaps(start, end, in_transaction(engine, list_partitions))):
        return []
    with changing(engine) as connection:
        missing = list(gaps(start, end, list_partitions(connection)))
        return [_make(connection, *span) for span in missing]


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction for changing partitions, exclusively and with short waits for locks."""
    with transaction(engine) as connection:
        # No time-out: moving rows may take long, and so may another process that does it now.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PARTITION_LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        yield connection


def partition_name(start: datetime, end: datetime) -> str:
    """Return the name of the partition of a span."""
    return f"{TABLE}_{start:%Y%m%d}_{end:%Y%m%d}"


def lock_all(connection: Connection) -> None:
    """Lock the table and its default partition, in the order that all others use.

    Otherwise a query planned just before a partition is attached would not find the moved rows.
    """
    connection.execute(text(f"LOCK TABLE ONLY {TABLE} IN ACCESS EXCLUSIVE MODE"))
    connection.execute(text(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE"))


def attach(connection: Connection, name: str, start: datetime, end: datetime) -> None:
    """Make a table the partition of a span.

    Parameters
    ----------
    connection : Connection
    name : str
        A table that contains exactly the rows of the span.
    start, end : datetime
        The span; ``end`` is excluded.
    """
    # Server-side parameters are not allowed for bounds; psycopg2 inserts them as literals.
    connection.execute(
        text(f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM (:start) TO (:end)"),
        {"start": start, "end": end},
    )


def _make(connection: Connection, start: datetime, end: datetime) -> str:
    """Create one partition and move its rows from the default one before attaching it.

    ATTACH builds its indices after the rows are in. There are few rows: :mod:`db.backlog` moves
    months with many rows in the default partition.
    """
    name = partition_name(start, end)
    create = f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL EXCLUDING INDEXES)"
    connection.execute(text(f"{create} WITH ({WHOLE_ROWS})"))
    lock_all(connection)  # others wait while rows are moved
    connection.execute(
        text(f"""
            WITH moved AS (
                DELETE FROM {DEFAULT} WHERE timestamp >= :start AND timestamp < :end
                RETURNING {COLUMNS}
            )
            INSERT INTO {name} ({COLUMNS}) SELECT {COLUMNS} FROM moved
        """),  # noqa: S608 (names made here, values bound)
        {"start": start, "end": end},
    )
    attach(connection, name, start, end)
    return name


def drop_partitions(engine: Engine, before: datetime) -> tuple[list[str], list[str]]:
    """Drop partitions that end by ``before``, except those with many rows stored after it.

    Such rows are replayed old data, which must not be deleted at once because of their timestamps.
    A few such rows are moved to the default partition.

    Returns
    -------
    dropped, mixed : list of str
        The dropped partitions (including those that an interrupted run left detached), and the
        remaining ones.
    """
    past = [p.name for p in in_transaction(engine, list_partitions) if p.end <= before]
    mixed = [name for name in past if _has_many_young(engine, name, before)]
    for name in past:
        if name not in mixed:
            retried(partial(_detach, engine, name))
    dropped = in_transaction(engine, _detached)
    for name in dropped:
        retried(partial(_drop, engine, name, before))
    return dropped, mixed


def _has_many_young(engine: Engine, name: str, before: datetime) -> bool:
    young = text(f"""
        SELECT count(*) FROM (
            SELECT 1 FROM {name} WHERE created_at >= :before LIMIT :many
        ) AS young
    """)  # noqa: S608 (a name of a partition)
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        found = connection.execute(young, {"before": before, "many": MANY}).scalar_one()
    return bool(found >= MANY)


def _detached(connection: Connection) -> list[str]:
    rows = connection.execute(
        text("""
            SELECT relname FROM pg_class
            WHERE relkind = 'r' AND NOT relispartition
              AND relnamespace = (SELECT relnamespace FROM pg_class
                                  WHERE oid = CAST(:parent AS regclass))
            ORDER BY relname
        """),
        {"parent": TABLE},
    )
    return [name for (name,) in rows if _NAME.fullmatch(name)]


def _detach(engine: Engine, name: str) -> None:
    with changing(engine) as connection:
        # This lock blocks everyone, so the transaction does nothing else.
        if name in {p.name for p in list_partitions(connection)}:
            connection.execute(text(f'ALTER TABLE {TABLE} DETACH PARTITION "{name}"'))


def _drop(engine: Engine, name: str, before: datetime) -> None:
    with changing(engine) as connection:
        if name not in _detached(connection):
            return
        connection.execute(
            text(f"""
                INSERT INTO {TABLE} ({COLUMNS})
                SELECT {COLUMNS} FROM {name} WHERE created_at >= :before
            """),  # noqa: S608 (a name that matched _NAME)
            {"before": before},
        )
        connection.execute(text(f"DROP TABLE {name}"))
