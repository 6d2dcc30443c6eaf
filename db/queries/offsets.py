"""Where each partition's account stands: claims, and the compare-and-set that advances them.

Call :func:`advance` LAST in a batch's transaction: its row lock then lasts from there to the
COMMIT only, so a claim by the partition's new owner never waits for an old one's slow inserts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Claim:
    """Ownership of one partition. ``next_offset`` None: nothing of it was ever stored."""

    epoch: int
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class OffsetAdvance:
    """A compare-and-set of one partition's account.

    Parameters
    ----------
    topic_id : UUID
    partition : int
    epoch : int
        Of the claim that the caller holds.
    expected : int or None
        The stored offset, as the caller knows it; None: nothing stored yet.
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
    """Take the partition over: from now on every earlier epoch's :func:`advance` fails.

    Parameters
    ----------
    connection : Connection
    topic_id : UUID
    partition : int
    topic, owner : str, optional
        Names for people who look at the table.
    """
    row = connection.execute(
        _CLAIM, {"topic_id": topic_id, "partition": partition, "topic": topic, "owner": owner}
    ).one()
    return Claim(row.epoch, row.next_offset)


def read_claim(connection: Connection, topic_id: UUID, partition: int) -> Claim | None:
    """Return the claim in force, whosever it is; None when nobody ever claimed the partition.

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
    """Move the account on, if it is still ours and stands where we think.

    Returns
    -------
    bool
        False: roll back, clear the partition's cache and read the claim again.

    Raises
    ------
    ValueError
        The new offset lies before the expected one.
    """
    if move.expected is not None and move.new < move.expected:
        raise ValueError(f"offset would go back from {move.expected} to {move.new}")
    result = connection.execute(_ADVANCE, asdict(move))
    return result.rowcount == 1


def has_earlier_account(connection: Connection, topic_id: UUID, topic: str) -> bool:
    """Return whether a topic of this name, but with another id, had an account.

    Parameters
    ----------
    connection : Connection
    topic_id : UUID
        The id that the name stands for now.
    topic : str
    """
    values = {"topic": topic, "topic_id": topic_id}
    return bool(connection.execute(_EARLIER, values).scalar_one())
