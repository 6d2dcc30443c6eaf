"""Handle rebalances: have assigned partitions claimed, and release revoked ones.

The listener runs on kafka-python's thread while ``poll`` waits, so it only changes statuses; the
poll loop (:mod:`consumers.polling.poll_loop`) does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from consumers.broker import internals
from consumers.partition import AssignedPartition, EarlierTopic, PartitionStatus, PartitionTable
from consumers.processing.worker import PartitionWorker
from consumers.stream_cache import CacheBudget


@dataclass(eq=False)
class Assignment(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Follow the group's assignment.

    Parameters
    ----------
    consumer : KafkaConsumer
    table : PartitionTable
        The partitions that this class maintains.
    workers : sequence of PartitionWorker
        The partitions are divided among them.
    revoke_seconds : float
        Maximum time for a batch in flight once its partition is revoked.
    budget : CacheBudget
        Makes the stream cache of each partition.
    """

    consumer: KafkaConsumer
    table: PartitionTable
    workers: Sequence[PartitionWorker]
    revoke_seconds: float
    budget: CacheBudget
    #: assigned partitions whose topic id is not known yet
    _unnamed: set[TopicPartition] = field(default_factory=set, init=False)
    #: what is known of partitions that this bridge had before
    _had: dict[TopicPartition, EarlierTopic] = field(default_factory=dict, init=False)
    _assigned_once: bool = field(default=False, init=False)

    # -- on kafka-python's thread ---------------------------------------------------------------

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause new partitions until they are claimed."""
        for topic_partition in assigned:
            internals.pause_until_claimed(self.consumer, topic_partition)
            self.expect(topic_partition)
        self._assigned_once = True

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let batches in flight finish until the deadline; heartbeats continue meanwhile."""
        revoked = list(revoked)
        leaving = self._release(revoked)
        for assigned in leaving:
            assigned.leave()
        deadline = time.monotonic() + self.revoke_seconds
        while any(worker.is_processing(leaving) for worker in self.workers) and (
            time.monotonic() < deadline
        ):
            await internals.sleep_in_listener(self.consumer, 0.01)
        # the poll loop may have started to claim one of these again
        self.drop([*leaving, *self._release(revoked)])

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Drop partitions that may already belong to another member."""
        self.drop(self._release(list(lost)))

    def _release(self, released: Sequence[TopicPartition]) -> list[AssignedPartition]:
        self._unnamed -= set(released)
        return [found for at in released if (found := self.table.get(at)) is not None]

    # -- for the poll loop ----------------------------------------------------------------------

    def worker(self, assigned: AssignedPartition) -> PartitionWorker:
        """Return the worker of a partition."""
        number: int = assigned.topic_partition.partition
        return self.workers[number % len(self.workers)]

    def expect(self, topic_partition: TopicPartition) -> None:
        """Note that a partition was assigned, or must be claimed as if newly assigned."""
        self._unnamed.add(topic_partition)

    def add_expected(self, topic: str) -> list[AssignedPartition]:
        """Add the expected partitions to the table, once the topic's id is known."""
        if not self._unnamed:
            return []
        topic_id = internals.topic_id(self.consumer, topic)
        if topic_id is None:
            internals.refresh_metadata(self.consumer)
            return []
        added = []
        for topic_partition in list(self._unnamed):
            self._unnamed.discard(topic_partition)
            had = self._had.get(topic_partition)  # kept: this may be dropped before it begins
            earlier = had if had is not None and had.topic_id != topic_id else None
            cache = self.budget.partition()
            added.append(AssignedPartition(topic_partition, topic_id, cache, earlier))
            self.table.add(added[-1])
        return added

    def drop(self, partitions: Iterable[AssignedPartition]) -> None:
        """Prevent any further storing for these partitions."""
        for assigned in partitions:
            assigned.drop()
            if assigned.stored is not None:
                self._remember(assigned)
            self.table.remove(assigned)
            for worker in self.workers:
                worker.remove(assigned)

    def _remember(self, assigned: AssignedPartition) -> None:
        known, had = assigned.known, self._had.get(assigned.topic_partition)
        # one that has not begun yet knows less than what was known of the same topic before
        if had is None or had.topic_id != known.topic_id or known.end >= had.end:
            self._had[assigned.topic_partition] = known

    def settled(self) -> bool:
        """Return whether every partition that the group has assigned is being processed."""
        partitions = list(self.table)
        return (
            self._assigned_once
            and not self._unnamed
            and internals.is_stable(self.consumer)
            and all(assigned.status is PartitionStatus.READY for assigned in partitions)
            and set(self.consumer.assignment()) == {one.topic_partition for one in partitions}
        )
