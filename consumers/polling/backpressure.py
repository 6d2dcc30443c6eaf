"""Pause fetching of partitions whose buffers are full, and resume it when they have room."""

from __future__ import annotations

import time
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from kafka import KafkaConsumer

from consumers.partition import AssignedPartition


class Backpressure:
    """Divide the buffer among the partitions, by number of records and by bytes.

    Parameters
    ----------
    consumer : KafkaConsumer
    max_records, max_bytes : int
        Maximum number of buffered records, and their maximum size, over all partitions.
    """

    def __init__(self, consumer: KafkaConsumer, max_records: int, max_bytes: int) -> None:
        self._consumer = consumer
        self._max_records = max_records
        self._max_bytes = max_bytes
        # paused partitions, each with the earliest monotonic time at which it may be resumed
        self._paused: WeakKeyDictionary[AssignedPartition, float] = WeakKeyDictionary()

    def balance(self, partitions: Iterable[AssignedPartition]) -> None:
        """Pause partitions that have their share; resume those that have less than half of it."""
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
        """Fetch nothing of a partition for a while; then fetch from its present position."""
        self._pause(assigned, time.monotonic() + seconds)
        self._consumer.seek(assigned.topic_partition, assigned.fetched)

    def resume(self, assigned: AssignedPartition) -> None:
        """Resume fetching a partition."""
        self._consumer.resume(assigned.topic_partition)
        self._paused.pop(assigned, None)

    def _pause(self, assigned: AssignedPartition, until: float) -> None:
        self._consumer.pause(assigned.topic_partition)
        self._paused[assigned] = until
