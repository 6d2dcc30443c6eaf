"""Move old readings out of the default partition, so that it stays small.

Readings outside every partition (of a backfill or a replay) go to the default partition. PostgreSQL
scans this partition under an exclusive lock whenever another is attached. So months with many rows
are copied to new tables while readers and writers continue, and then swapped in by one short
transaction. A stored reading never changes, so the copy stays correct.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from db.partitions import (
    COLUMNS,
    DEFAULT,
    MANY,
    TABLE,
    WHOLE_ROWS,
    Partition,
    attach,
    changing,
    gaps,
    list_partitions,
    lock_all,
    partition_name,
    spans,
)
from db.retry import retried
from db.session import database_now, in_transaction, transaction, try_lock

log = logging.getLogger(__name__)

#: Rows copied in one transaction.
CHUNK = 20_000
#: A transaction may store rows this long after its ``created_at``; its statements have time-outs.
LONGEST_TRANSACTION = timedelta(hours=1)
#: Only one process at a time moves rows.
BACKLOG_LOCK = 0x616E6F6D_0005
_DRAFT = f"{TABLE}_draft_"

_MONTHS = text(f"""
    SELECT date_trunc('month', timestamp, 'UTC') AS month FROM {DEFAULT}
    WHERE timestamp >= '1000-01-01Z' AND timestamp < '9999-12-01Z'
    GROUP BY 1 HAVING count(*) >= :many ORDER BY 1
""")  # noqa: S608 (constants)


def work_off(engine: Engine) -> list[str]:
    """Move months with many rows from the default partition into their own partitions.

    Returns
    -------
    list of str
        The new partitions; none if another process is already doing this.

    Raises
    ------
    StorageUnavailable
        The database cannot be reached, or a lock was not available in several tries. The rows stay
        in the default partition, and a later call starts again.
    """
    with transaction(engine) as connection:
        # Scanning a default partition that grew for years exceeds the usual time-out.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        months = list(connection.execute(_MONTHS, {"many": MANY}).scalars())
    if not months:
        return []
    with _alone(engine) as first:
        if not first:
            return []
        begun, drafts = in_transaction(engine, _prepare, months)
        if not drafts:  # another process has just done it
            return []
        for draft in drafts:
            _copy_aside(engine, draft)
        made = retried(partial(_swap, engine, drafts, begun - LONGEST_TRANSACTION))
    if made:
        log.info("old readings moved out of the default partition: %s", ", ".join(made))
    return made


@contextmanager
def _alone(engine: Engine) -> Iterator[bool]:
    """Return whether no other process does this; keep a transaction open for the lock."""
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield try_lock(connection, BACKLOG_LOCK)


def _prepare(connection: Connection, months: list[datetime]) -> tuple[datetime, list[Partition]]:
    """Create empty tables for the months' gaps; return the start of their copying, and them."""
    left_over = text("SELECT relname FROM pg_class WHERE relname LIKE :draft AND relkind = 'r'")
    for name in connection.execute(
        left_over, {"draft": _DRAFT.replace("_", r"\_") + "%"}
    ).scalars():
        connection.execute(text(f'DROP TABLE "{name}"'))  # left by a killed process
    taken = list_partitions(connection)
    drafts = []
    for month in months:
        for whole in spans(month, "month", 0):
            for start, end in gaps(*whole, taken):
                draft = Partition(f"{_DRAFT}{start:%Y%m%d}_{end:%Y%m%d}", start, end)
                # Including indices: ATTACH uses them, so it need not build any.
                create = f"CREATE TABLE {draft.name} (LIKE {TABLE} INCLUDING ALL)"
                connection.execute(text(f"{create} WITH ({WHOLE_ROWS})"))
                # With the bound as a constraint, ATTACH need not scan the rows either.
                check = "ADD CONSTRAINT within CHECK (timestamp >= :start AND timestamp < :end)"
                connection.execute(text(f"ALTER TABLE {draft.name} {check}"), draft.bounds())
                drafts.append(draft)
    return database_now(connection), drafts


def _copy_aside(engine: Engine, draft: Partition) -> None:
    copy = text(f"""
        WITH copied AS (
            INSERT INTO {draft.name} ({COLUMNS})
            SELECT {COLUMNS} FROM {DEFAULT}
            WHERE timestamp >= :start AND timestamp < :end
              AND (timestamp, id) > (:at, CAST(:last AS uuid))
            ORDER BY timestamp, id LIMIT :chunk
            RETURNING timestamp, id
        )
        SELECT timestamp AS at, id AS last FROM copied ORDER BY timestamp DESC, id DESC LIMIT 1
    """)  # noqa: S608 (names made here, values bound)
    values = {**draft.bounds(), "chunk": CHUNK, "at": draft.start.replace(tzinfo=UTC),
              "last": "00000000-0000-0000-0000-000000000000"}  # fmt: skip

    def step(connection: Connection) -> Row[Any] | None:
        return connection.execute(copy, values).one_or_none()

    while True:
        row = retried(partial(in_transaction, engine, step))
        if row is None:
            return
        values |= {"at": row.at, "last": str(row.last)}


def _swap(engine: Engine, drafts: list[Partition], since: datetime) -> list[str]:
    """Copy the rows added meanwhile, remove all from the default partition, attach the tables."""
    with changing(engine) as connection:
        taken = list_partitions(connection)
        if any(list(gaps(d.start, d.end, taken)) != [(d.start, d.end)] for d in drafts):
            return []  # other partitions were created there meanwhile; the next call sees them
        lock_all(connection)
        for draft in drafts:
            connection.execute(
                text(f"""
                    INSERT INTO {draft.name} ({COLUMNS})
                    SELECT {COLUMNS} FROM {DEFAULT} d
                    WHERE timestamp >= :start AND timestamp < :end AND created_at >= :since
                      AND NOT EXISTS (SELECT 1 FROM {draft.name} c
                                      WHERE c.id = d.id AND c.timestamp = d.timestamp)
                """),  # noqa: S608 (names made here, values bound)
                {**draft.bounds(), "since": since},
            )
        _keep_only_the_rest(connection, drafts)
        return [_attach(connection, draft) for draft in drafts]


def _keep_only_the_rest(connection: Connection, drafts: list[Partition]) -> None:
    """Empty the default partition by TRUNCATE: each ATTACH would scan dead rows after DELETE."""
    elsewhere: list[str] = []
    values: dict[str, datetime] = {}
    for n, draft in enumerate(drafts):
        elsewhere.append(f"(timestamp >= :start_{n} AND timestamp < :end_{n})")
        values |= {f"start_{n}": draft.start, f"end_{n}": draft.end}
    rest = f"SELECT {COLUMNS} FROM {DEFAULT} WHERE NOT ({' OR '.join(elsewhere)})"  # noqa: S608
    connection.execute(text(f"CREATE TEMPORARY TABLE rest ON COMMIT DROP AS {rest}"), values)
    connection.execute(text(f"TRUNCATE {DEFAULT}"))
    back = f"INSERT INTO {DEFAULT} ({COLUMNS}) SELECT {COLUMNS} FROM rest"  # noqa: S608
    connection.execute(text(back))


def _attach(connection: Connection, draft: Partition) -> str:
    name = partition_name(draft.start, draft.end)
    connection.execute(text(f"ALTER TABLE {draft.name} RENAME TO {name}"))
    attach(connection, name, draft.start, draft.end)
    connection.execute(text(f"ALTER TABLE {name} DROP CONSTRAINT within"))
    return name
