"""Check connection and topic from time to time, commit to Kafka for monitors, update metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from kafka import KafkaConsumer, TopicPartition

from config import Settings
from consumers.broker import internals
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition
from consumers.stream_cache import UnkeyedStreams
from errors import BrokerUnavailable

log = logging.getLogger("consumers.bridge")

SILENT_SECONDS = 1.0  # without a connection to any broker, before it counts as an outage


class ConsumerMonitor:
    """Observe the consumer for logs and metrics, and notice a recreated topic.

    Parameters
    ----------
    consumer : KafkaConsumer
    metrics : Metrics
    outage : Outage
        Of the broker.
    unkeyed : UnkeyedStreams
    settings : Settings
    """

    def __init__(
        self, consumer: KafkaConsumer, metrics: Metrics, outage: Outage, unkeyed: UnkeyedStreams,
        settings: Settings,
    ) -> None:  # fmt: skip
        self._consumer = consumer
        self._topic = settings.kafka_topic_input_features
        self._metrics = metrics
        self._outage = outage
        self._unkeyed = unkeyed
        self._silent_seconds = settings.bridge_silent_s
        self._heard = time.monotonic()
        self._committed: dict[TopicPartition, int] = {}
        self._measured: set[str] = set()  # partitions that have a lag gauge
        self.topic_missing = False

    def observe(self, partitions: Iterable[AssignedPartition]) -> None:
        """Check everything except the topic."""
        now = time.monotonic()
        if internals.connected(self._consumer):
            self._heard = now
            self._outage.record_success()
        elif now - self._heard > SILENT_SECONDS:
            self._outage.record_failure(BrokerUnavailable("no connection to any broker"))
        partitions = list(partitions)
        self._commit_to_kafka(partitions)
        self._measure(partitions)

    def replaced(self, partitions: Iterable[AssignedPartition]) -> list[AssignedPartition]:
        """Return the partitions of a topic that was recreated since they were claimed."""
        current = internals.topic_id(self._consumer, self._topic)
        self.note_topic(current is not None)
        if current is None:
            internals.refresh_metadata(self._consumer)
            return []
        return [assigned for assigned in partitions if assigned.topic_id != current]

    def note_topic(self, exists: bool) -> None:
        """Log when the topic vanishes or appears."""
        if exists == self.topic_missing:
            self.topic_missing = not exists
            state = "exists" if exists else "does not exist yet; waiting"
            log.warning("topic %s %s", self._topic, state)

    def offsets_to_commit(
        self, partitions: Iterable[AssignedPartition]
    ) -> dict[TopicPartition, int]:
        """Return the offsets not yet committed to Kafka, which only lag monitors read."""
        return {
            assigned.topic_partition: position
            for assigned in partitions
            if assigned.stored is not None
            and assigned.owned
            # position is ahead of stored by offsets without a record, which would count as lag
            and self._committed.get(assigned.topic_partition)
            != (position := max(assigned.stored, assigned.position))
        }

    def _commit_to_kafka(self, partitions: list[AssignedPartition]) -> None:
        moved = self.offsets_to_commit(partitions)
        if moved and internals.is_stable(self._consumer):
            internals.commit_async(self._consumer, moved)
            self._committed.update(moved)

    def _measure(self, partitions: list[AssignedPartition]) -> None:
        metrics = self._metrics
        metrics.buffered.set(sum(assigned.buffered for assigned in partitions))
        metrics.unkeyed.set(len(self._unkeyed))
        metrics.streams.set(sum(len(assigned.cache) for assigned in partitions))
        metrics.stream_bytes.set(sum(assigned.cache.bytes for assigned in partitions))
        before = time.monotonic() - self._silent_seconds
        metrics.silent.set(sum(assigned.cache.silent(before) for assigned in partitions))
        ours = {str(assigned.topic_partition.partition) for assigned in partitions}
        for gone in self._measured - ours:  # another bridge measures these now
            metrics.lag.remove(gone)
        self._measured &= ours
        for assigned in partitions:
            end = self._consumer.highwater(assigned.topic_partition)
            if end is not None:
                assigned.set_end(end)
                number = str(assigned.topic_partition.partition)
                metrics.lag.labels(number).set(max(0, end - assigned.position))
                self._measured.add(number)
