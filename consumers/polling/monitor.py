"""What the main loop looks at now and then: connection, topic, Kafka's own commit, metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from kafka import KafkaConsumer, TopicPartition

from consumers.broker import internals
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition, PartitionStatus
from consumers.stream_cache import UnkeyedStreams
from errors import BrokerUnavailable

log = logging.getLogger("consumers.bridge")

SILENT_SECONDS = 1.0


class ConsumerMonitor:
    """Looks, says and measures; decides nothing but whether the topic is another one now."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        topic: str,
        metrics: Metrics,
        outage: Outage,
        unkeyed: UnkeyedStreams,
        silent_seconds: float,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._metrics = metrics
        self._outage = outage
        self._unkeyed = unkeyed
        self._silent_seconds = silent_seconds
        self._heard = time.monotonic()
        self._committed: dict[TopicPartition, int] = {}
        self._measured: set[str] = set()  # partitions whose lag was last said
        self.topic_missing = False

    def look(self, partitions: Sequence[AssignedPartition]) -> None:
        """Everything but the topic."""
        now = time.monotonic()
        if internals.connected(self._consumer):
            self._heard = now
            self._outage.record_success()
        elif now - self._heard > SILENT_SECONDS:
            self._outage.record_failure(BrokerUnavailable("no connection to any broker"))
        self._commit_to_kafka(partitions)
        self._measure(partitions)

    def replaced(self, partitions: Sequence[AssignedPartition]) -> list[AssignedPartition]:
        """Places of a topic that was made anew since they were claimed."""
        current = internals.topic_id(self._consumer, self._topic)
        self.note_topic(current is not None)
        if current is None:
            internals.refresh_metadata(self._consumer)
            return []
        return [assigned for assigned in partitions if assigned.topic_id != current]

    def note_topic(self, exists: bool) -> None:
        """Say it when the topic vanishes or appears."""
        if exists == self.topic_missing:
            self.topic_missing = not exists
            said = "is there" if exists else "does not exist yet; waiting"
            log.warning("topic %s %s", self._topic, said)

    def offsets_to_commit(
        self, partitions: Sequence[AssignedPartition]
    ) -> dict[TopicPartition, int]:
        """What Kafka's own commit does not know yet; it is for lag monitors only."""
        return {
            assigned.topic_partition: position
            for assigned in partitions
            if assigned.stored is not None
            and assigned.status in (PartitionStatus.READY, PartitionStatus.DOUBTFUL)
            # ahead of what is stored by offsets that hold no record: else they count as lag
            and self._committed.get(assigned.topic_partition)
            != (position := max(assigned.stored, assigned.position))
        }

    def _commit_to_kafka(self, partitions: Sequence[AssignedPartition]) -> None:
        moved = self.offsets_to_commit(partitions)
        if moved and internals.is_stable(self._consumer):
            internals.commit_async(self._consumer, moved)
            self._committed.update(moved)

    def _measure(self, partitions: Sequence[AssignedPartition]) -> None:
        metrics = self._metrics
        metrics.buffered.set(sum(len(assigned.buffer) for assigned in partitions))
        metrics.unkeyed.set(len(self._unkeyed))
        metrics.streams.set(sum(len(assigned.cache) for assigned in partitions))
        metrics.stream_bytes.set(sum(assigned.cache.bytes for assigned in partitions))
        before = time.monotonic() - self._silent_seconds
        metrics.silent.set(sum(assigned.cache.silent(before) for assigned in partitions))
        ours = {str(assigned.topic_partition.partition) for assigned in partitions}
        for gone in self._measured - ours:  # another bridge says it now
            metrics.lag.remove(gone)
        self._measured &= ours
        for assigned in partitions:
            end = self._consumer.highwater(assigned.topic_partition)
            if end is not None:
                if assigned.drain_to is None:
                    assigned.drain_to = end
                lag = max(0, end - assigned.position)
                number = str(assigned.topic_partition.partition)
                metrics.lag.labels(number).set(lag)
                self._measured.add(number)
