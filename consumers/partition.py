"""A place: one assigned partition, from its claim to its loss, with the records fetched of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Any
from uuid import UUID

from kafka import TopicPartition

from consumers.records.parsing import Record
from consumers.stream_cache import StreamCache


class PartitionStatus(Enum):
    """Of a place; it never comes back from ``gone``: a new assignment makes a new place."""

    CLAIMING = "claiming"  # assigned; the database has not yet said where it stands
    READY = "ready"  # ours: records may be taken
    LEAVING = "leaving"  # being revoked: the batch in hand may finish, no other may begin
    DOUBTFUL = "doubtful"  # a transaction failed: read the account again before going on
    LOST = "lost"  # the account is another's: wait for a heartbeat, then claim again
    GONE = "gone"  # not ours any more: nothing of it may be stored


class AssignedPartition:
    """One partition that the group assigned to this bridge.

    Attributes
    ----------
    stored : int or None
        ``next_offset`` of the database's row, which the next commit must find there.
    position : int
        Offset of the next record to account for; behind a gap it is ahead of ``stored``.
    fetched : int
        Offset of the next record to fetch.
    """

    def __init__(self, topic_partition: TopicPartition, topic_id: UUID, cache: StreamCache) -> None:
        self.topic_partition = topic_partition
        self.topic_id = topic_id
        self.status = PartitionStatus.CLAIMING
        self.epoch = 0
        self.stored: int | None = None
        self.due: int | None = None  # where the account must stand before anything is read
        self.lost: tuple[int, int] | None = None  # offsets that it passes over by that
        self.anew = False  # a topic of this name was accounted for before
        self.position = 0
        self.fetched = 0
        self.hole = (-1, -1)  # offsets that were missing when last polled
        self.drain_to: int | None = None
        self.lost_at = 0.0
        self.cache = cache
        self.buffer: deque[Record] = deque()
        self.bytes = 0
        self.oldest = 0.0  # monotonic time when the buffer's head came in
        self.paused = False
        self.held_until = 0.0  # monotonic time before which nothing is fetched of it
        self.asked = False  # the account is being read again
        self._lock = threading.Lock()  # one thread fetches, another takes

    @property
    def source(self) -> tuple[UUID, int]:
        return self.topic_id, self.topic_partition.partition

    @property
    def next(self) -> int:
        """Offset that the next record must have at least: all before it are accounted for or here.

        ``fetched`` is lower where a log was cut short and gives offsets a second time.
        """
        with self._lock:
            return max(self.position, self.buffer[-1].offset + 1 if self.buffer else 0)

    def extend(self, records: Iterable[Record], fetched: int, now: float) -> None:
        """Take in fetched records; the log is read up to ``fetched``."""
        with self._lock:
            if not self.buffer:
                self.oldest = now
            for record in records:
                self.buffer.append(record)
                self.bytes += size(record)
            self.fetched = fetched
            self._skip_nothing()

    def head(self, count: int) -> list[Record]:
        """The first records, which stay in the buffer until they are accounted for."""
        with self._lock:
            return list(islice(self.buffer, count))

    def drop_through(self, position: int, now: float) -> None:
        """Let go of the records before ``position``: they are accounted for."""
        with self._lock:
            while self.buffer and self.buffer[0].offset < position:
                self.bytes -= size(self.buffer.popleft())
            self.position = position
            self.oldest = now
            self._skip_nothing()

    def _skip_nothing(self) -> None:
        """Offsets behind the last record that hold none (as a transaction's marker) are done."""
        if not self.buffer:
            self.position = max(self.position, self.fetched)

    def clear(self) -> None:
        with self._lock:
            self.buffer.clear()
            self.bytes = 0
        self.cache.clear()

    def __str__(self) -> str:
        return f"{self.topic_partition.topic}[{self.topic_partition.partition}]"

    def __repr__(self) -> str:
        return f"<{self}: {self.status.value}, epoch {self.epoch}, at {self.position}>"


def size(record: Any) -> int:
    """Bytes a buffered record is counted as."""
    count = 200 + len(record.value or b"") + len(record.key or b"")
    for name, value in record.headers:
        count += 100 + len(name) + len(value or b"")
    return count
