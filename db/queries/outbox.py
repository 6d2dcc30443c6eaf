"""The outbox: what must be published, until the broker has acknowledged it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from db.encoding import decode_headers

Source = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message to publish, and the row to delete once that is done."""

    id: int
    topic_id: UUID
    partition: int
    source_offset: int | None
    target_topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


_COLUMNS = "id, topic_id, partition, source_offset, target_topic, key, value, headers"
_OF_SOURCES = """
    (topic_id, partition) IN
    (SELECT * FROM unnest(CAST(:topics AS uuid[]), CAST(:partitions AS integer[])))
"""
_NEXT = {
    (named, locked): text(
        f"SELECT {_COLUMNS} FROM outbox"  # noqa: S608 (constants)
        + (f" WHERE {_OF_SOURCES}" if named else "")
        + " ORDER BY id LIMIT :limit"
        + (" FOR UPDATE SKIP LOCKED" if locked else "")
    )
    for named in (False, True)
    for locked in (False, True)
}
_DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))")
_SOURCES = text("SELECT topic_id, partition, count(*) AS n FROM outbox GROUP BY 1, 2")
_ORPHANED = text("""
    SELECT DISTINCT o.topic_id, o.partition FROM outbox o
    JOIN source_offsets s ON s.topic_id = o.topic_id AND s.partition = o.partition
    WHERE s.topic = :topic AND o.topic_id <> :current
""")
_SIZE = text("SELECT count(*) FROM outbox")


def next_outbox(
    connection: Connection,
    sources: Collection[Source] | None,
    limit: int,
    *,
    skip_locked: bool = False,
) -> list[OutboxMessage]:
    """The oldest messages waiting, in the order they were stored.

    Parameters
    ----------
    sources : collection of (topic_id, partition), optional
        Only messages of these; None: all.
    limit : int
    skip_locked : bool
        Lock the rows until the transaction ends and leave out those another bridge has locked:
        for sources without an owner. A transaction kept open while the broker is slow is ended
        by the server (DATABASE_IDLE_TIMEOUT_S), which costs a repeated message, never a lost one.
    """
    values: dict[str, object] = {"limit": limit}
    if sources is not None:
        if not sources:
            return []
        values["topics"] = [str(topic) for topic, _ in sources]
        values["partitions"] = [partition for _, partition in sources]
    found = connection.execute(_NEXT[sources is not None, skip_locked], values)
    return [
        OutboxMessage(
            id=row.id,
            topic_id=row.topic_id,
            partition=row.partition,
            source_offset=row.source_offset,
            target_topic=row.target_topic,
            key=_bytes(row.key),
            value=_bytes(row.value),
            headers=decode_headers(_bytes(row.headers)),
        )
        for row in found
    ]


def delete_outbox(connection: Connection, ids: Sequence[int]) -> int:
    """Drop what the broker acknowledged; how many were still there."""
    return connection.execute(_DELETE, {"ids": list(ids)}).rowcount if ids else 0


def outbox_sources(connection: Connection) -> dict[Source, int]:
    """How many messages wait, by the partition they came from."""
    return {(row.topic_id, row.partition): row.n for row in connection.execute(_SOURCES)}


def orphaned_sources(connection: Connection, topic: str, current: UUID) -> list[Source]:
    """Partitions with messages waiting whose topic was made anew: any bridge drains them."""
    rows = connection.execute(_ORPHANED, {"topic": topic, "current": current})
    return [(row.topic_id, row.partition) for row in rows]


def outbox_size(connection: Connection) -> int:
    """How many messages wait in all."""
    return int(connection.execute(_SIZE).scalar_one())


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
