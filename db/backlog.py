"""Old readings get partitions of their own, so that the default partition stays small.

Readings that lie outside every partition (a backfill, a replay) land in the default one, which
PostgreSQL scans under an exclusive lock whenever a partition is attached. Months of which it holds
many are moved out: copied aside while everyone reads and writes, then swapped in one short
transaction. A stored reading never changes, so a copy stays true.
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
#: A transaction may store rows so long after its ``created_at``; its statements are bounded.
LONGEST_TRANSACTION = timedelta(hours=1)
#: One process at a time works off a backlog.
BACKLOG_LOCK = 0x616E6F6D_0005
_DRAFT = f"{TABLE}_draft_"

_MONTHS = text(f"""
    SELECT date_trunc('month', timestamp, 'UTC') AS month FROM {DEFAULT}
    WHERE timestamp >= '1000-01-01Z' AND timestamp < '9999-12-01Z'
    GROUP BY 1 HAVING count(*) >= :many ORDER BY 1
""")  # noqa: S608 (constants)


def work_off(engine: Engine) -> list[str]:
    """Move the months of which the default partition holds many rows into partitions.

    Returns
    -------
    list of str
        The partitions made; none while another process is at it.

    Raises
    ------
    StorageUnavailable
        The database cannot be reached, or a lock was not to be had in several tries. Nothing is
        lost: the rows are where they were, and a later call begins again.
    """
    with transaction(engine) as connection:
        # A default partition that grew for years takes longer to look through than it may.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        months = list(connection.execute(_MONTHS, {"many": MANY}).scalars())
    if not months:
        return []
    with _alone(engine) as first:
        if not first:
            return []
        begun, drafts = in_transaction(engine, _prepare, months)
        for draft in drafts:
            _copy_aside(engine, draft)
        made = retried(partial(_swap, engine, drafts, begun - LONGEST_TRANSACTION))
    if made:
        log.info("old readings moved out of the default partition: %s", ", ".join(made))
    return made


@contextmanager
def _alone(engine: Engine) -> Iterator[bool]:
    """Find out whether nobody else is at it; hold a transaction open meanwhile."""
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield try_lock(connection, BACKLOG_LOCK)


def _prepare(connection: Connection, months: list[datetime]) -> tuple[datetime, list[Partition]]:
    """Make empty drafts for the months' gaps; return when their copying begins, and them."""
    left_over = text("SELECT relname FROM pg_class WHERE relname LIKE :draft AND relkind = 'r'")
    for name in connection.execute(
        left_over, {"draft": _DRAFT.replace("_", r"\_") + "%"}
    ).scalars():
        connection.execute(text(f'DROP TABLE "{name}"'))  # of a process that was killed
    taken = list_partitions(connection)
    drafts = []
    for month in months:
        for whole in spans(month, "month", 0):
            for start, end in gaps(*whole, taken):
                draft = Partition(f"{_DRAFT}{start:%Y%m%d}_{end:%Y%m%d}", start, end)
                # With its indices: ATTACH takes them over, and has nothing to build.
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
    """Copy what came meanwhile, empty the default partition of it, attach the drafts."""
    with changing(engine) as connection:
        taken = list_partitions(connection)
        if any(list(gaps(d.start, d.end, taken)) != [(d.start, d.end)] for d in drafts):
            return []  # partitions were made there meanwhile; the next call sees them
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
    """Empty the default partition by TRUNCATE: each ATTACH would scan rows that DELETE left."""
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
