"""Where each assigned partition stands: asked of the database in the background, then of Kafka.

The database may be down for long, and polling must go on: claims are made by one thread, and
the main loop collects the answers.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from consumers.broker import internals
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition, PartitionStatus
from consumers.store import BatchCommit, BridgeStore, FencedError, OffsetAdvance
from consumers.threads import PartThread
from db.queries.offsets import Claim
from errors import AnomalyError

log = logging.getLogger("consumers.bridge")

Answer = tuple[AssignedPartition, Claim | None]


class Claims:
    """A thread that claims places (status ``claiming``) or reads their claims (``doubtful``)."""

    def __init__(self, store: BridgeStore, outage: Outage, metrics: Metrics) -> None:
        self._store = store
        self._outage = outage
        self._metrics = metrics
        self._todo: queue.SimpleQueue[AssignedPartition | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._stop = threading.Event()
        self.thread = PartThread("claims", self._run)

    def start(self) -> None:
        self.thread.start()

    def ask(self, assigned: AssignedPartition) -> None:
        self._todo.put(assigned)

    def answers(self) -> list[Answer]:
        """What has come in since the last call."""
        found = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def stop(self) -> None:
        self._stop.set()
        self._todo.put(None)
        self.thread.stop(0.0)

    def _run(self) -> None:
        while (assigned := self._todo.get()) is not None:
            while not self._stop.is_set() and assigned.status in (
                PartitionStatus.CLAIMING,
                PartitionStatus.DOUBTFUL,
            ):
                try:
                    self._done.put((assigned, self._ask(assigned)))
                    self._outage.record_success()
                    break
                except AnomalyError as error:
                    self._stop.wait(self._outage.record_failure(error))

    def _ask(self, assigned: AssignedPartition) -> Claim | None:
        topic, partition = assigned.topic_partition
        if assigned.status is PartitionStatus.DOUBTFUL:
            return self._store.read_claim(assigned.topic_id, partition)
        if assigned.due is not None:
            return self._move(assigned, assigned.due, assigned.lost)
        claim = self._store.claim(assigned.topic_id, partition, topic)
        if claim.next_offset is None:
            assigned.anew = self._store.replaces(assigned.topic_id, topic)
        return claim

    def _move(
        self, assigned: AssignedPartition, due: int, lost: tuple[int, int] | None
    ) -> Claim | None:
        """Store where reading begins, past what is lost; then as any claim.

        What is lost is said inside the transaction: a group that gives the partition twice at its
        start must not have it said twice, and a crash must not leave it unsaid.
        """
        assigned.due = assigned.lost = None
        move = OffsetAdvance(*assigned.source, assigned.epoch, assigned.stored, due)

        def report() -> None:
            if lost is not None:
                report_lost(assigned, *lost, self._metrics)

        try:
            self._store.commit(BatchCommit(moves=[move]), before_commit=report)
        except FencedError:
            return self._ask(assigned)
        return Claim(assigned.epoch, due)


def find_start(
    consumer: KafkaConsumer, assigned: AssignedPartition, reset: str, seconds: float
) -> None:
    """Set ``position`` of a claimed place, and what its account must be told before it is read.

    A first start is stored at once: "latest" is another offset after each restart.

    Parameters
    ----------
    reset : str
        ``earliest`` or ``latest``: where to start when neither database nor group knows.
    seconds : float
        For each question to the broker; kafka-python raises when it is over.
    """
    at = assigned.topic_partition
    begin, end = bounds(consumer, at, seconds)
    start = assigned.stored
    if start is None:
        start = _first_start(
            consumer, assigned, begin, end if reset == "latest" else begin, seconds
        )
    assigned.lost = (start, begin) if start < begin else None
    # past the end? The fetch will tell: not every broker's answer about its end is exact
    assigned.fetched = assigned.position = max(start, begin)
    assigned.due = assigned.position if assigned.position != assigned.stored else None


def _first_start(
    consumer: KafkaConsumer, assigned: AssignedPartition, begin: int, otherwise: int, seconds: float
) -> int:
    """Where to start a partition that the database has no account of."""
    # the group's offset may be of an earlier topic of this name: then all of this one is new
    if assigned.anew:
        return begin
    group = consumer.committed(assigned.topic_partition, metadata=True, timeout_ms=seconds * 1000)
    if group is None:
        return otherwise
    if group.metadata == internals.BRIDGE_METADATA:
        log.warning(
            "%s: a bridge told Kafka that it stood at %d, but the database has no account of "
            "the partition, as after a restore from an older dump: reading from the log's "
            "beginning, %d", assigned, group.offset, begin, extra={"action": "restored"},
        )  # fmt: skip
        return begin
    return int(group.offset)


def bounds(consumer: KafkaConsumer, at: TopicPartition, seconds: float) -> tuple[int, int]:
    """First offset that is still there, and the one the next record will get."""
    timeout: Any = seconds * 1000
    begin = consumer.beginning_offsets([at], timeout_ms=timeout)[at]
    end = consumer.end_offsets([at], timeout_ms=timeout)[at]
    return begin, end


def settle(assigned: AssignedPartition, start: int, begin: int, end: int, metrics: Metrics) -> int:
    """Where to read on: at ``start``, or where the log now begins or ends, said loudly.

    A log that ends before ``start`` will give its next records offsets that are accounted for
    already; no second record can have the same source, so they are passed over, and counted.
    """
    if start < begin:
        report_lost(assigned, start, begin, metrics)
        return begin
    if start > end:
        report_truncated(assigned, start, end)
        return end
    return start


def report_truncated(assigned: AssignedPartition, start: int, end: int) -> None:
    """Say that the log now ends before an offset that was read."""
    log.error(
        "%s: the log was cut short at %d, but is read up to %d: the broker lost its end. "
        "What is written anew below %d is counted as lost",
        assigned, end, start, start, extra={"action": "truncated"},
    )  # fmt: skip


def report_lost(assigned: AssignedPartition, start: int, begin: int, metrics: Metrics) -> None:
    """Say and count the records from ``start`` up to where the log now begins."""
    metrics.lost.inc(begin - start)
    log.error(
        "%s: offsets %d to %d were dropped by the broker before they were read: "
        "%d records are lost",
        assigned, start, begin - 1, begin - start, extra={"action": "lost"},
    )  # fmt: skip
