"""Fetching stops where records cannot be taken yet, and starts again when they can."""

from __future__ import annotations

import time
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from kafka import KafkaConsumer

from consumers.partition import AssignedPartition


class Backpressure:
    """Shares what may be buffered among the partitions, by count and by bytes.

    Parameters
    ----------
    consumer : KafkaConsumer
    max_records, max_bytes : int
        How many records, and how many bytes of them, may be buffered over all partitions.
    """

    def __init__(self, consumer: KafkaConsumer, max_records: int, max_bytes: int) -> None:
        self._consumer = consumer
        self._max_records = max_records
        self._max_bytes = max_bytes
        # paused partitions, each with the monotonic time before which it is not resumed
        self._paused: WeakKeyDictionary[AssignedPartition, float] = WeakKeyDictionary()

    def balance(self, partitions: Iterable[AssignedPartition]) -> None:
        """Pause the partitions that have enough, resume those that have room for half as much."""
        owned = [assigned for assigned in partitions if assigned.owned]
        if not owned:
            return
        records = max(1, self._max_records // len(owned))
        size = self._max_bytes // len(owned)
        now = time.monotonic()
        for assigned in owned:
            count = assigned.buffered
            if assigned not in self._paused:
                if count >= records or assigned.bytes >= size:
                    self._pause(assigned, 0.0)
            elif (
                now >= self._paused[assigned]
                and count <= records // 2
                and assigned.bytes <= size // 2
            ):
                self.resume(assigned)

    def hold(self, assigned: AssignedPartition, seconds: float) -> None:
        """Fetch nothing of a partition for a while, then again from where it stands."""
        self._pause(assigned, time.monotonic() + seconds)
        self._consumer.seek(assigned.topic_partition, assigned.fetched)

    def resume(self, assigned: AssignedPartition) -> None:
        """Fetch from a partition."""
        self._consumer.resume(assigned.topic_partition)
        self._paused.pop(assigned, None)

    def _pause(self, assigned: AssignedPartition, until: float) -> None:
        self._consumer.pause(assigned.topic_partition)
        self._paused[assigned] = until
