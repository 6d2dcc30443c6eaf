"""The partitions that the group has given us, and the place that each of them becomes.

The rebalance listener runs on kafka-python's own thread while ``poll`` waits, so it only marks
places and lets the main loop (:mod:`consumers.polling.poll_loop`) do the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from consumers.broker import internals
from consumers.partition import AssignedPartition, PartitionStatus
from consumers.processing.worker import PartitionWorker
from consumers.stream_cache import CacheBudget


class Assignment(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Follows the group.

    Parameters
    ----------
    consumer : KafkaConsumer
    lanes : sequence of Lane
        The places are shared out among them.
    revoke_seconds : float
        How long a batch in hand may take once its partition is asked back.
    budget : CacheBudget
        Where what is remembered of the partitions' streams is kept.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        workers: Sequence[PartitionWorker],
        revoke_seconds: float,
        budget: CacheBudget,
    ) -> None:
        self._consumer = consumer
        self._workers = workers
        self._revoke_seconds = revoke_seconds
        self._budget = budget
        self._partitions: dict[TopicPartition, AssignedPartition] = {}
        self._unnamed: set[TopicPartition] = set()  # assigned; the topic's id is not known yet
        self._assigned_once = False

    # -- on kafka-python's thread ---------------------------------------------------------------

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for partition in assigned:
            internals.pause_until_claimed(self._consumer, partition)
            self.expect(partition)
        self._assigned_once = True

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Batches in hand may finish until the deadline; heartbeats go on meanwhile."""
        leaving = [assigned for at in revoked if (assigned := self._partitions.get(at)) is not None]
        self._unnamed -= set(revoked)
        for assigned in leaving:
            assigned.status = PartitionStatus.LEAVING
        deadline = time.monotonic() + self._revoke_seconds
        while (
            any(worker.is_processing(leaving) for worker in self._workers)
            and time.monotonic() < deadline
        ):
            await internals.sleep_in_listener(self._consumer, 0.01)
        self.drop(leaving)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._unnamed -= set(lost)
        self.drop([assigned for at in lost if (assigned := self._partitions.get(at)) is not None])

    # -- for the main loop ----------------------------------------------------------------------

    @property
    def partitions(self) -> list[AssignedPartition]:
        return list(self._partitions.values())

    def get(self, partition: TopicPartition) -> AssignedPartition | None:
        return self._partitions.get(partition)

    def worker(self, assigned: AssignedPartition) -> PartitionWorker:
        """The lane that works a place off."""
        number: int = assigned.topic_partition.partition
        return self._workers[number % len(self._workers)]

    def expect(self, partition: TopicPartition) -> None:
        """An assigned partition is to become a place, or another place than it was."""
        self._unnamed.add(partition)

    def name(self, topic: str) -> list[AssignedPartition]:
        """Make the expected partitions places, once the topic's id is known."""
        if not self._unnamed:
            return []
        topic_id = internals.topic_id(self._consumer, topic)
        if topic_id is None:
            internals.refresh_metadata(self._consumer)
            return []
        made = []
        for partition in list(self._unnamed):
            self._unnamed.discard(partition)
            made.append(AssignedPartition(partition, topic_id, self._budget.partition()))
            self._partitions[partition] = made[-1]
        return made

    def drop(self, partitions: Iterable[AssignedPartition]) -> None:
        """Nothing of these may be stored any more."""
        for assigned in partitions:
            assigned.status = PartitionStatus.GONE
            self._partitions.pop(assigned.topic_partition, None)
            for worker in self._workers:
                worker.remove(assigned)

    def settled(self) -> bool:
        """The group has given us our partitions and each of them is being worked on."""
        return (
            self._assigned_once
            and not self._unnamed
            and internals.is_stable(self._consumer)
            and all(assigned.status is PartitionStatus.READY for assigned in self.partitions)
            and set(self._consumer.assignment()) == set(self._partitions)
        )
