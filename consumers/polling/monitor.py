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
        trouble: Outage,
        spread: UnkeyedStreams,
        silent_seconds: float,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._metrics = metrics
        self._trouble = trouble
        self._spread = spread
        self._silent_seconds = silent_seconds
        self._heard = time.monotonic()
        self._told: dict[TopicPartition, int] = {}
        self._measured: set[str] = set()  # partitions whose lag was last said
        self.topic_missing = False

    def look(self, places: Sequence[AssignedPartition]) -> None:
        """Everything but the topic."""
        now = time.monotonic()
        if internals.connected(self._consumer):
            self._heard = now
            self._trouble.passed()
        elif now - self._heard > SILENT_SECONDS:
            self._trouble.failed(BrokerUnavailable("no connection to any broker"))
        self._tell_kafka(places)
        self._measure(places)

    def replaced(self, places: Sequence[AssignedPartition]) -> list[AssignedPartition]:
        """Places of a topic that was made anew since they were claimed."""
        current = internals.topic_id(self._consumer, self._topic)
        self.note_topic(current is not None)
        if current is None:
            internals.refresh_metadata(self._consumer)
            return []
        return [place for place in places if place.topic_id != current]

    def note_topic(self, exists: bool) -> None:
        """Say it when the topic vanishes or appears."""
        if exists == self.topic_missing:
            self.topic_missing = not exists
            said = "is there" if exists else "does not exist yet; waiting"
            log.warning("topic %s %s", self._topic, said)

    def offsets_to_tell(self, places: Sequence[AssignedPartition]) -> dict[TopicPartition, int]:
        """What Kafka's own commit does not know yet; it is for lag monitors only."""
        return {
            place.partition: position
            for place in places
            if place.stored is not None
            and place.status in (PartitionStatus.READY, PartitionStatus.DOUBTFUL)
            # ahead of what is stored by offsets that hold no record: else they count as lag
            and self._told.get(place.partition) != (position := max(place.stored, place.position))
        }

    def _tell_kafka(self, places: Sequence[AssignedPartition]) -> None:
        moved = self.offsets_to_tell(places)
        if moved and internals.is_stable(self._consumer):
            internals.commit_async(self._consumer, moved)
            self._told.update(moved)

    def _measure(self, places: Sequence[AssignedPartition]) -> None:
        metrics = self._metrics
        metrics.buffered.set(sum(len(place.buffer) for place in places))
        metrics.spread.set(len(self._spread))
        metrics.streams.set(sum(len(place.memories) for place in places))
        metrics.stream_bytes.set(sum(place.memories.bytes for place in places))
        before = time.monotonic() - self._silent_seconds
        metrics.silent.set(sum(place.memories.silent(before) for place in places))
        ours = {str(place.partition.partition) for place in places}
        for gone in self._measured - ours:  # another bridge says it now
            metrics.lag.remove(gone)
        self._measured &= ours
        for place in places:
            end = self._consumer.highwater(place.partition)
            if end is not None:
                if place.drain_to is None:
                    place.drain_to = end
                lag = max(0, end - place.position)
                number = str(place.partition.partition)
                metrics.lag.labels(number).set(lag)
                self._measured.add(number)
