"""Fetching stops where records cannot be taken yet, and starts again when they can."""

from __future__ import annotations

import time
from collections.abc import Iterable

from kafka import KafkaConsumer

from consumers.partition import AssignedPartition, PartitionStatus


class Backpressure:
    """Shares what may be buffered among the places, by count and by bytes.

    Parameters
    ----------
    consumer : KafkaConsumer
    records, size : int
        How many records, and how many bytes of them, may be buffered all in all.
    """

    def __init__(self, consumer: KafkaConsumer, records: int, size: int) -> None:
        self._consumer = consumer
        self._records = records
        self._size = size

    def balance(self, partitions: Iterable[AssignedPartition]) -> None:
        """Stop fetching for places that have enough, go on for those that have room."""
        ready = [
            p for p in partitions if p.status in (PartitionStatus.READY, PartitionStatus.DOUBTFUL)
        ]
        if not ready:
            return
        most = max(1, self._records // len(ready))
        share = self._size // len(ready)
        now = time.monotonic()
        for assigned in ready:
            count = len(assigned.buffer)
            if not assigned.paused:
                if count >= most or assigned.bytes >= share:
                    self._pause(assigned)
            elif now >= assigned.held_until and count <= most // 2 and assigned.bytes <= share // 2:
                self._consumer.resume(assigned.topic_partition)
                assigned.paused = False

    def hold(self, assigned: AssignedPartition, seconds: float) -> None:
        """Fetch nothing of a place for a while, then again from where it stands."""
        assigned.held_until = time.monotonic() + seconds
        self._pause(assigned)
        self._consumer.seek(assigned.topic_partition, assigned.fetched)

    def _pause(self, assigned: AssignedPartition) -> None:
        self._consumer.pause(assigned.topic_partition)
        assigned.paused = True
