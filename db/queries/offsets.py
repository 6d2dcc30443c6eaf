"""Store each partition's offset: claims, and the compare-and-set that advances it.

Call :func:`advance` LAST in a batch's transaction. Its row lock then lasts only until COMMIT, so
that a claim by the partition's new owner need not wait for slow inserts of the old owner.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Claim:
    """Ownership of one partition. ``next_offset`` None: no record of it was ever stored."""

    epoch: int
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class OffsetAdvance:
    """A compare-and-set of one partition's offset.

    Parameters
    ----------
    topic_id : UUID
    partition : int
    epoch : int
        Epoch of the caller's claim.
    expected : int or None
        The stored offset as known to the caller; None: none is stored yet.
    new : int
        The offset of the next record.
    """

    topic_id: UUID
    partition: int
    epoch: int
    expected: int | None
    new: int


_CLAIM = text("""
    INSERT INTO source_offsets AS s (topic_id, partition, epoch, topic, owner)
    VALUES (:topic_id, :partition, 1, :topic, :owner)
    ON CONFLICT (topic_id, partition) DO UPDATE
    SET epoch = s.epoch + 1, owner = excluded.owner, claimed_at = now(),
        topic = COALESCE(excluded.topic, s.topic)
    RETURNING epoch, next_offset
""")

_READ = text("""
    SELECT epoch, next_offset FROM source_offsets
    WHERE topic_id = :topic_id AND partition = :partition
""")

_ADVANCE = text("""
    UPDATE source_offsets SET next_offset = :new, updated_at = now()
    WHERE topic_id = :topic_id AND partition = :partition AND epoch = :epoch
      AND next_offset IS NOT DISTINCT FROM CAST(:expected AS bigint)
""")
_EARLIER = text("""
    SELECT EXISTS (SELECT 1 FROM source_offsets WHERE topic = :topic AND topic_id <> :topic_id)
""")


def claim(
    connection: Connection,
    topic_id: UUID,
    partition: int,
    *,
    topic: str | None = None,
    owner: str | None = None,
) -> Claim:
    """Claim the partition: from now on :func:`advance` fails for every earlier epoch.

    Parameters
    ----------
    connection : Connection
    topic_id : UUID
    partition : int
    topic, owner : str, optional
        Shown to people who read the table.
    """
    row = connection.execute(
        _CLAIM, {"topic_id": topic_id, "partition": partition, "topic": topic, "owner": owner}
    ).one()
    return Claim(row.epoch, row.next_offset)


def read_claim(connection: Connection, topic_id: UUID, partition: int) -> Claim | None:
    """Return the present claim of any owner; None if the partition was never claimed.

    Parameters
    ----------
    connection : Connection
    topic_id : UUID
        The topic's id in Kafka.
    partition : int
    """
    row = connection.execute(_READ, {"topic_id": topic_id, "partition": partition}).one_or_none()
    return None if row is None else Claim(row.epoch, row.next_offset)


def advance(connection: Connection, move: OffsetAdvance) -> bool:
    """Advance the offset if epoch and expected offset are unchanged.

    Returns
    -------
    bool
        False: roll back, clear the partition's cache and read the claim again.

    Raises
    ------
    ValueError
        The new offset is before the expected one.
    """
    if move.expected is not None and move.new < move.expected:
        raise ValueError(f"offset would go back from {move.expected} to {move.new}")
    result = connection.execute(_ADVANCE, asdict(move))
    return result.rowcount == 1


def has_earlier_account(connection: Connection, topic_id: UUID, topic: str) -> bool:
    """Return whether there are offsets of a topic with this name but another id.

    Parameters
    ----------
    connection : Connection
    topic_id : UUID
        The present id of the topic.
    topic : str
    """
    values = {"topic": topic, "topic_id": topic_id}
    return bool(connection.execute(_EARLIER, values).scalar_one())
