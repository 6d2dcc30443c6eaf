"""Partitions of ``anomaly_detections``: made ahead of time, dropped when they are past.

What falls outside every partition lands in the default one and is moved when its span gets a
partition. Safe while everything runs: each step is a short transaction under an advisory lock,
gives up a contended table lock after half a second (a waiting lock holds up everyone behind it),
and is tried again.
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
#: One process at a time changes partitions.
PARTITION_LOCK = 0x616E6F6D_0003
LOCK_TIMEOUT_MS = 500
#: Rows outside of their partition, or younger than it, that are few enough to be moved in passing.
MANY = 10_000

_MIN = datetime.min.replace(tzinfo=UTC)
_MAX = datetime.max.replace(tzinfo=UTC)
_BOUND = re.compile(r"FROM \((MINVALUE|'[^']+')\) TO \((MAXVALUE|'[^']+')\)")
_NAME = re.compile(rf"{TABLE}_\d{{8}}_\d{{8}}")
#: An anomaly's row is 4 to 6 KB, over which PostgreSQL would compress and move aside its parts to
#: reach 2 KB: a third of what storing it costs, in a flood of alarms. Up to a page it stays whole.
WHOLE_ROWS = "toast_tuple_target = 8160"
#: All that is stored; the others are computed from them.
COLUMNS = ", ".join(
    column.name
    for column in AnomalyDetection.__table__.columns  # type: ignore[attr-defined]
    if column.computed is None
)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition, or what will be one: readings with ``start <= timestamp < end``."""

    name: str
    start: datetime
    end: datetime

    def bounds(self) -> dict[str, object]:
        """Return both ends as a query's values."""
        return {"start": self.start, "end": self.end}


def spans(now: datetime, unit: Unit, ahead: int) -> Iterator[tuple[datetime, datetime]]:
    """Return the span that ``now`` lies in and the ``ahead`` following ones, in UTC.

    Parameters
    ----------
    now : datetime
        Aware.
    unit : {"day", "month"}
        Length of a span.
    ahead : int
        How many follow.
    """
    start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "month":
        start = start.replace(day=1)
    for _ in range(ahead + 1):
        # Day 1 plus 32 days is always in the next month.
        end = start + timedelta(days=1 if unit == "day" else 32)
        end = end.replace(day=1) if unit == "month" else end
        yield start, end
        start = end


def gaps(
    start: datetime, end: datetime, taken: list[Partition]
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts of a span without a partition (there are some after the unit changed).

    Parameters
    ----------
    start, end : datetime
        Of the span; ``end`` is not included.
    taken : list of Partition
        Those that exist, in any order.
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
    """List all partitions but the default one."""
    # pg_get_expr prints times in the session's zone.
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
    """Make the partition of ``now`` and the coming ones; rows of theirs leave the default one.

    Parameters
    ----------
    engine : Engine
    now : datetime
        Aware.
    unit : {"day", "month"}
        Span of a new partition; those that exist stay as they are.
    ahead : int
        How many coming ones.

    Returns
    -------
    list of str
        The partitions made; empty when all were there.

    Raises
    ------
    StorageUnavailable
        The database cannot be reached, or the lock was not to be had in several tries. Nothing
        is lost: readings go to the default partition, and a later call moves them.
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
    """Open a transaction that changes partitions: alone, and never waiting long for a lock."""
    with transaction(engine) as connection:
        # Moving rows takes as long as it takes, also when another process is at it.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PARTITION_LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        yield connection


def partition_name(start: datetime, end: datetime) -> str:
    """Name the partition of a span."""
    return f"{TABLE}_{start:%Y%m%d}_{end:%Y%m%d}"


def lock_all(connection: Connection) -> None:
    """Lock the table and its default partition, in the order of everyone else.

    Without that a query that was being planned when a partition comes would look for its rows
    where they are no more, and find them nowhere.
    """
    connection.execute(text(f"LOCK TABLE ONLY {TABLE} IN ACCESS EXCLUSIVE MODE"))
    connection.execute(text(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE"))


def attach(connection: Connection, name: str, start: datetime, end: datetime) -> None:
    """Make a table the partition of a span.

    Parameters
    ----------
    connection : Connection
    name : str
        Of the table, which has the rows of the span and no others.
    start, end : datetime
        Of the span; ``end`` is not included.
    """
    # Bounds are no place for server-side parameters; psycopg2 writes them in as literals.
    connection.execute(
        text(f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM (:start) TO (:end)"),
        {"start": start, "end": end},
    )


def _make(connection: Connection, start: datetime, end: datetime) -> str:
    """Make one partition, filled from the default one before it is attached.

    Its indices are built by ATTACH, once the rows are in. They are few: a month of which the
    default partition holds many is moved by :mod:`db.backlog`.
    """
    name = partition_name(start, end)
    create = f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL EXCLUDING INDEXES)"
    connection.execute(text(f"{create} WITH ({WHOLE_ROWS})"))
    lock_all(connection)  # others wait as long as rows move
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
    """Drop partitions that end by ``before``, but for those with many rows stored after it.

    Such rows are replays of old data, which a retention by time stamp would drop at once. A few of
    them move to the default partition.

    Returns
    -------
    dropped, mixed : list of str
        The partitions dropped, those included that an interrupted run had left detached, and
        those that stay.
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
        # Holds up everyone, so it is all that this transaction does.
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
