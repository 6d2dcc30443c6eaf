"""Track each partition assigned to this bridge, from its claim to its loss."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

from kafka import TopicPartition

from consumers.records.parsing import Record
from consumers.stream_cache import StreamCache
from db.queries.offsets import Claim
from db.queries.outbox import Source


class PartitionStatus(Enum):
    """Stages in the life of an assigned partition; each assignment makes a new object."""

    CLAIMING = "claiming"  # assigned; the offset is being claimed in the database
    READY = "ready"  # claimed: records may be processed
    LEAVING = "leaving"  # being revoked: the batch in flight may finish, no other may begin
    DOUBTFUL = "doubtful"  # a transaction failed: read the stored offset again first
    LOST = "lost"  # another bridge has claimed it: wait for a heartbeat, then claim again
    GONE = "gone"  # revoked: nothing of it may be stored


_OWNED: Final = (PartitionStatus.READY, PartitionStatus.DOUBTFUL)
#: The group decides these, on another thread and at any moment.
_TAKEN_BACK: Final = (PartitionStatus.LEAVING, PartitionStatus.GONE)


class EarlierTopic(NamedTuple):
    """What was known of a partition of a topic that was deleted and recreated.

    Attributes
    ----------
    topic_id : UUID
    position : int
        Offset of the next record that would have been processed.
    end : int
        The end of its log, as far as it was seen.
    """

    topic_id: UUID
    position: int
    end: int


class IllegalTransitionError(RuntimeError):
    """The status cannot follow the present one: a bug of the caller."""


class AssignedPartition:
    """One partition that the group assigned to this bridge, with its fetched records.

    The poll thread adds records, one worker removes them, and the rebalance listener ends the
    assignment. The group may revoke a partition at any moment, so :meth:`leave` and :meth:`drop`
    are always allowed, and later transitions are ignored and return False. Any other transition
    out of order raises :class:`IllegalTransitionError`.

    Parameters
    ----------
    topic_partition : TopicPartition
    topic_id : UUID
        Differs from an earlier topic of the same name.
    cache : StreamCache
        The partition's streams.
    earlier : EarlierTopic, optional
        If this bridge had the partition of an earlier topic of the same name.
    """

    def __init__(
        self,
        topic_partition: TopicPartition,
        topic_id: UUID,
        cache: StreamCache,
        earlier: EarlierTopic | None = None,
    ) -> None:
        self.topic_partition: Final = topic_partition
        self.topic_id: Final = topic_id
        self.cache: Final = cache
        self.earlier: Final = earlier
        self._status = PartitionStatus.CLAIMING
        self._claim = Claim(0, None)
        self._reread_requested = False
        self._lost_at = 0.0
        self._position = 0
        self._fetched = 0
        self._hole = (-1, -1)
        self._drain_target: int | None = None
        self._end = 0
        self._buffer: deque[Record] = deque()
        self._bytes = 0
        self._oldest = 0.0
        self._lock = threading.Lock()

    # -- status ---------------------------------------------------------------------------------

    @property
    def status(self) -> PartitionStatus:
        """The current stage."""
        return self._status

    @property
    def owned(self) -> bool:
        """Whether it is claimed and neither lost nor revoked."""
        return self._status in _OWNED

    def set_claim(self, claim: Claim) -> None:
        """Store the answer to a claim; :meth:`begin` follows once Kafka has been asked, too."""
        self._claim = claim

    def begin(self, position: int) -> bool:
        """Become READY; reading starts at ``position``."""
        if not self._become(PartitionStatus.READY, PartitionStatus.CLAIMING):
            return False
        self._position = self._fetched = position
        return True

    def doubt(self) -> bool:
        """Become DOUBTFUL after a failed transaction, until the stored offset is read again."""
        return self._become(PartitionStatus.DOUBTFUL, PartitionStatus.READY)

    def request_reread(self) -> bool:
        """Return True once per doubt: the caller must read the stored offset again."""
        due = self._status is PartitionStatus.DOUBTFUL and not self._reread_requested
        self._reread_requested |= due
        return due

    def resume(self) -> bool:
        """Become READY again: the stored offset is unchanged."""
        return self._become(PartitionStatus.READY, PartitionStatus.DOUBTFUL)

    def lose(self) -> bool:
        """Discard all records, because another bridge has claimed the partition."""
        if not self._become(PartitionStatus.LOST, PartitionStatus.DOUBTFUL):
            return False
        self._lost_at = time.monotonic()
        with self._lock:
            self._buffer.clear()
            self._bytes = 0
        self.cache.clear()
        return True

    def leave(self) -> bool:
        """Begin no further batch: the group is revoking the partition."""
        return self._become(PartitionStatus.LEAVING)

    def drop(self) -> None:
        """End the assignment: nothing of it may be stored any more."""
        with self._lock:
            self._status = PartitionStatus.GONE

    def _become(self, status: PartitionStatus, before: PartitionStatus | None = None) -> bool:
        with self._lock:
            if self._status in _TAKEN_BACK:
                return False
            if before not in (None, self._status):
                raise IllegalTransitionError(f"{self}: {self._status.value} -> {status.value}")
            self._reread_requested = False
            self._status = status
            return True

    # -- offsets --------------------------------------------------------------------------------

    @property
    def source(self) -> Source:
        """Topic id and partition, its key in the database."""
        return self.topic_id, self.topic_partition.partition

    @property
    def epoch(self) -> int:
        """The claim's epoch, which must be unchanged in the database at a commit."""
        return self._claim.epoch

    @property
    def stored(self) -> int | None:
        """The stored ``next_offset``, which must be unchanged in the database at a commit."""
        return self._claim.next_offset

    @property
    def position(self) -> int:
        """Offset of the next record to process; after a gap it is ahead of ``stored``."""
        return self._position

    @property
    def fetched(self) -> int:
        """Offset of the next record to fetch."""
        return self._fetched

    @property
    def lost_at(self) -> float:
        """When another bridge's claim was noticed (`time.monotonic`)."""
        return self._lost_at

    @property
    def next(self) -> int:
        """Lowest offset that the next record may have: all before it are stored or buffered.

        ``fetched`` is lower if a log was truncated and assigns offsets a second time.
        """
        with self._lock:
            return max(self._position, self._buffer[-1].offset + 1 if self._buffer else 0)

    def set_end(self, end: int) -> None:
        """Store the end of the log; ``--drain`` processes up to the first end seen."""
        self._end = max(self._end, end)
        if self._drain_target is None:
            self._drain_target = end

    @property
    def known(self) -> EarlierTopic:
        """What remains known of this partition once its topic is recreated."""
        return EarlierTopic(self.topic_id, self._position, max(self._end, self._fetched))

    @property
    def drained(self) -> bool:
        """Whether all records up to the first end seen are processed."""
        return self._drain_target is not None and self._position >= self._drain_target

    def confirm_hole(self, first: int) -> bool:
        """Return whether the offsets before ``first`` were missing at the last poll, too."""
        hole, before = (self._fetched, first), self._hole
        self._hole = hole
        return hole == before

    # -- records --------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Number of buffered records."""
        return len(self._buffer)

    @property
    def bytes(self) -> int:
        """Size of the buffered records, as :func:`size` counts it."""
        return self._bytes

    @property
    def oldest(self) -> float:
        """When the first buffered record was received (`time.monotonic`)."""
        return self._oldest

    def extend(self, records: Iterable[Record], fetched: int, now: float) -> None:
        """Append fetched records.

        Parameters
        ----------
        records
            In the order of their offsets, all of them after the buffered ones.
        fetched
            Offset of the next record to fetch.
        now
            `time.monotonic`.
        """
        with self._lock:
            if not self._buffer:
                self._oldest = now
            for record in records:
                self._buffer.append(record)
                self._bytes += size(record)
            self._fetched = fetched
            self._skip_empty_offsets()

    def head(self, count: int) -> list[Record]:
        """Return the first records; they stay buffered until they are stored."""
        with self._lock:
            return list(islice(self._buffer, count))

    def advance(self, stored: int, now: float) -> None:
        """Release the records before ``stored``, which the database now holds."""
        with self._lock:
            while self._buffer and self._buffer[0].offset < stored:
                self._bytes -= size(self._buffer.popleft())
            self._claim = Claim(self._claim.epoch, stored)
            self._position = stored
            self._oldest = now
            self._skip_empty_offsets()

    def _skip_empty_offsets(self) -> None:
        """Advance past trailing offsets without a record (such as transaction markers)."""
        if not self._buffer:
            self._position = max(self._position, self._fetched)

    def __str__(self) -> str:
        return f"{self.topic_partition.topic}[{self.topic_partition.partition}]"

    def __repr__(self) -> str:
        return f"<{self}: {self._status.value}, epoch {self.epoch}, at {self._position}>"


class PartitionTable:
    """The partitions assigned to this bridge now; shared by its threads."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, AssignedPartition] = {}

    def __iter__(self) -> Iterator[AssignedPartition]:
        return iter(list(self._partitions.values()))

    def __len__(self) -> int:
        return len(self._partitions)

    def get(self, topic_partition: TopicPartition) -> AssignedPartition | None:
        """Return the partition, or None if it is not assigned or its topic id is not known."""
        return self._partitions.get(topic_partition)

    def add(self, assigned: AssignedPartition) -> None:
        """Add a partition; replace an earlier assignment of it."""
        self._partitions[assigned.topic_partition] = assigned

    def remove(self, assigned: AssignedPartition) -> None:
        """Remove an assignment, unless it has been replaced."""
        if self._partitions.get(assigned.topic_partition) is assigned:
            del self._partitions[assigned.topic_partition]

    def sources(self) -> list[Source]:
        """Return topic id and partition of the owned partitions."""
        return [assigned.source for assigned in self if assigned.owned]


def size(record: Any) -> int:
    """Return the number of bytes that a buffered record counts for."""
    count = 200 + len(record.value or b"") + len(record.key or b"")
    for name, value in record.headers:
        count += 100 + len(name) + len(value or b"")
    return count
