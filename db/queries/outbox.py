"""Query the outbox: messages that wait until the broker has acknowledged them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from db.encoding import decode_headers
from db.queries.rows import as_bytes
from db.session import try_lock

Source = tuple[UUID, int]
Target = str | frozenset[str]  # one topic, or all except these


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message to publish, and the row to delete afterwards."""

    id: int
    topic_id: UUID
    partition: int
    source_offset: int | None
    target_topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


#: Source of messages about incidents, which belong to no partition.
INCIDENT_SOURCE: Source = (UUID("5f1d7c1e-9d0a-5c55-8a51-2b2f6f0b8c11"), 0)
#: Lock for publishing them, so that each incident's messages are sent in the order stored.
INCIDENT_LOCK = 0x616E6F6D_0006

#: Identity of a message: target topic, source topic id, partition, offset.
MessageKey = tuple[str, UUID, int, int]
#: The columns ``key``, ``value`` and ``headers`` of a message.
Content = tuple[bytes | None, bytes | None, bytes | None]
TakeContent = Callable[[MessageKey], Content | None]

_HEAD = "id, topic_id, partition, source_offset, target_topic"
_CONTENTS = text(
    "SELECT id, key, value, headers FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))"
)
_OF_SOURCES = """
    (topic_id, partition) IN
    (SELECT * FROM unnest(CAST(:topics AS uuid[]), CAST(:partitions AS integer[])))
"""
_OF_TARGET = "target_topic = :target"
_OF_OTHERS = "NOT (target_topic = ANY(CAST(:target AS text[])))"
_DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))")
_ORPHANED = text("""
    SELECT DISTINCT o.topic_id, o.partition FROM outbox o
    LEFT JOIN source_offsets s ON s.topic_id = o.topic_id AND s.partition = o.partition
    WHERE o.topic_id IS DISTINCT FROM CAST(:current AS uuid) AND (
        (s.topic = :topic AND CAST(:current AS uuid) IS NOT NULL)
        OR (o.created_at < now() - make_interval(secs => :age)
            AND COALESCE(s.updated_at < now() - make_interval(secs => :age), true))
    )
""")
_EXPIRE = text("""
    DELETE FROM outbox
    WHERE id = ANY(CAST(:ids AS bigint[])) AND created_at < now() - make_interval(secs => :age)
""")
_SIZE = text("SELECT count(*) FROM outbox")


def next_outbox(
    connection: Connection,
    sources: Collection[Source],
    limit: int,
    *,
    target: Target = frozenset(),
    after: int = 0,
    without: Collection[int] = (),
    skip_locked: bool = False,
    take_content: TakeContent = lambda _: None,
) -> list[OutboxMessage]:
    """Return the oldest waiting messages, in the order they were stored.

    Parameters
    ----------
    sources : collection of (topic_id, partition)
        Only messages of these.
    limit : int
    target : str or frozenset of str, optional
        Only messages to this topic, or to none of these topics.
    after : int
        Only messages with a greater id.
    without : collection of int
        Ids of messages to leave out.
    skip_locked : bool
        Lock the rows until the transaction ends and skip rows locked by other bridges; for sources
        without an owner. If the broker is slow, the server may end the idle transaction
        (DATABASE_IDLE_TIMEOUT_S): a message may then be repeated, but is never lost.
    take_content : callable, optional
        Returns cached content of a message; only other contents are read.
    """
    if not sources:
        return []
    one = isinstance(target, str)
    values = {
        "limit": limit,
        "after": after,
        "without": list(without),
        "topics": [str(topic) for topic, _ in sources],
        "partitions": [partition for _, partition in sources],
        "target": target if one else sorted(target),
    }
    query = text(
        f"SELECT {_HEAD} FROM outbox WHERE id > :after AND {_OF_SOURCES}"  # noqa: S608 (constants)
        " AND id <> ALL(CAST(:without AS bigint[]))"
        f" AND {_OF_TARGET if one else _OF_OTHERS}"
        f" ORDER BY id LIMIT :limit{' FOR UPDATE SKIP LOCKED' if skip_locked else ''}"
    )
    rows = connection.execute(query, values).all()
    contents = {
        row.id: content
        for row in rows
        if row.source_offset is not None and (content := take_content(_key(row))) is not None
    }
    missing = [row.id for row in rows if row.id not in contents]
    if missing:
        found = connection.execute(_CONTENTS, {"ids": missing})
        contents |= {row.id: (row.key, row.value, row.headers) for row in found}
    # a missing row was published by another bridge meanwhile
    return [_message(row, contents[row.id]) for row in rows if row.id in contents]


def _key(row: Any) -> MessageKey:
    return row.target_topic, row.topic_id, row.partition, row.source_offset


def _message(row: Any, content: Content) -> OutboxMessage:
    key, value, headers = map(as_bytes, content)
    return OutboxMessage(
        id=row.id,
        topic_id=row.topic_id,
        partition=row.partition,
        source_offset=row.source_offset,
        target_topic=row.target_topic,
        key=key,
        value=value,
        headers=decode_headers(headers),
    )


def may_publish(connection: Connection, sources: Collection[Source]) -> bool:
    """Return whether this transaction may publish; for incidents only one may at a time."""
    return INCIDENT_SOURCE not in sources or try_lock(connection, INCIDENT_LOCK)


def delete_outbox(connection: Connection, ids: Sequence[int]) -> int:
    """Delete acknowledged messages; return how many still existed."""
    return connection.execute(_DELETE, {"ids": list(ids)}).rowcount if ids else 0


def orphaned_sources(
    connection: Connection, topic: str, current: UUID | None, age: float
) -> list[Source]:
    """Return partitions that have waiting messages but no owner; any bridge publishes these.

    These are partitions of earlier topics of this name, and those of any other topic if their
    messages have waited for ``age`` seconds without progress in the partition.

    Parameters
    ----------
    connection : Connection
    topic : str
        Input topic of the calling bridge.
    current : UUID or None
        The topic's present id; None: there is no such topic.
    age : float
        Seconds.
    """
    values = {"topic": topic, "current": current and str(current), "age": age}
    return [(row.topic_id, row.partition) for row in connection.execute(_ORPHANED, values)]


def expire_outbox(connection: Connection, ids: Sequence[int], age: float) -> int:
    """Delete those messages that have waited for more than ``age`` seconds; return how many.

    Parameters
    ----------
    connection : Connection
    ids : sequence of int
        Ids of the messages.
    age : float
        Seconds.
    """
    return connection.execute(_EXPIRE, {"ids": list(ids), "age": age}).rowcount if ids else 0


def outbox_size(connection: Connection) -> int:
    """Count all waiting messages."""
    return int(connection.execute(_SIZE).scalar_one())
