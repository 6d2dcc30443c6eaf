"""Where each assigned partition stands: read from the database in the background, then from Kafka.

The database may be down for long while polling must go on: one thread claims, and the poll loop
collects its answers.
"""

from __future__ import annotations

import logging
import queue
from dataclasses import dataclass
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from consumers.broker import internals
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition, PartitionStatus
from consumers.store import BatchCommit, BridgeStore, FencedError
from consumers.threads import PartThread
from db.queries.offsets import Claim, OffsetAdvance, has_earlier_account, read_claim
from errors import AnomalyError

log = logging.getLogger("consumers.bridge")


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins, past the offsets that are ``lost`` (first, end), if any."""

    offset: int
    lost: tuple[int, int] | None = None


class Answer(NamedTuple):
    """The database's answer about one partition.

    Parameters
    ----------
    claim : Claim or None
        None: the database has no account of it any more.
    replaces_topic : bool
        The partition is new, and a topic of its name was accounted for before.
    """

    assigned: AssignedPartition
    claim: Claim | None
    replaces_topic: bool = False


class Claims(PartThread):
    """A thread that claims partitions (status ``claiming``) or reads their claims (``doubtful``).

    Parameters
    ----------
    outage : Outage
        The database's.
    """

    def __init__(self, store: BridgeStore, outage: Outage, metrics: Metrics) -> None:
        super().__init__("claims", self._claim_all)
        self._store = store
        self._outage = outage
        self._metrics = metrics
        self._todo: queue.SimpleQueue[tuple[AssignedPartition, Start | None] | None]
        self._todo = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def ask(self, assigned: AssignedPartition, start: Start | None = None) -> None:
        """Have a partition claimed or its claim read; with ``start``, have that stored first."""
        self._todo.put((assigned, start))

    def answers(self) -> list[Answer]:
        """Return what has come in since the last call."""
        found = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def stop(self, seconds: float = 0.0) -> None:
        """Begin nothing more."""
        self._todo.put(None)
        super().stop(seconds)

    def _claim_all(self) -> None:
        while (asked := self._todo.get()) is not None:
            assigned, start = asked
            while not self.stopping.is_set() and assigned.status in (
                PartitionStatus.CLAIMING,
                PartitionStatus.DOUBTFUL,
            ):
                try:
                    self._done.put(self._answer(assigned, start))
                    self._outage.record_success()
                    break
                except AnomalyError as error:
                    start = None  # whether it was stored is not known
                    self.stopping.wait(self._outage.record_failure(error))

    def _answer(self, assigned: AssignedPartition, start: Start | None) -> Answer:
        topic, partition = assigned.topic_partition
        if assigned.status is PartitionStatus.DOUBTFUL:
            return Answer(assigned, self._store.run(read_claim, assigned.topic_id, partition))
        if start is not None:
            try:
                return Answer(assigned, self._store_start(assigned, start))
            except FencedError:
                pass  # the group gave it once more meanwhile, or someone else has it: claim again
        claim = self._store.claim(assigned.topic_id, partition, topic)
        new = claim.next_offset is None
        replaces = new and self._store.run(has_earlier_account, assigned.topic_id, topic)
        return Answer(assigned, claim, replaces)

    def _store_start(self, assigned: AssignedPartition, start: Start) -> Claim:
        """Store where reading begins; a first start too: "latest" is another after a restart.

        A loss is reported inside the transaction: a group that gives the partition twice at its
        start must not have it reported twice, and a crash must not leave it unreported.
        """
        move = OffsetAdvance(*assigned.source, assigned.epoch, assigned.stored, start.offset)

        def report() -> None:
            if start.lost is not None:
                report_lost(assigned, *start.lost, self._metrics)

        self._store.commit(BatchCommit(moves=[move]), before_commit=report)
        return Claim(assigned.epoch, start.offset)


def find_start(
    consumer: KafkaConsumer,
    assigned: AssignedPartition,
    replaces_topic: bool,
    reset: str,
    seconds: float,
) -> Start:
    """Return where to start reading a claimed partition.

    Parameters
    ----------
    replaces_topic : bool
        The partition is of a topic that replaced an earlier one of its name.
    reset : str
        ``earliest`` or ``latest``: where to start when neither database nor group knows.
    seconds : float
        For each question to the broker; kafka-python raises when it is over.
    """
    begin, end = bounds(consumer, assigned.topic_partition, seconds)
    start = assigned.stored
    if start is None and replaces_topic:
        start = begin  # the group's offset may be of the earlier topic, and all of this one is new
    elif start is None:
        otherwise = end if reset == "latest" else begin
        start = _group_start(consumer, assigned, begin, otherwise, seconds)
    # past the end? The fetch will show it: not every broker's answer about its end is exact
    return Start(max(start, begin), (start, begin) if start < begin else None)


def _group_start(
    consumer: KafkaConsumer, assigned: AssignedPartition, begin: int, otherwise: int, seconds: float
) -> int:
    """Return the group's offset of a partition that the database has no account of."""
    group = consumer.committed(assigned.topic_partition, metadata=True, timeout_ms=seconds * 1000)
    if group is None:
        return otherwise
    if group.metadata == internals.BRIDGE_METADATA:
        log.warning(
            "%s: a bridge committed offset %d to Kafka, but the database has no account of the "
            "partition, as after a restore from an older dump: reading from the log's beginning, "
            "%d", assigned, group.offset, begin, extra={"action": "restored"},
        )  # fmt: skip
        return begin
    return int(group.offset)


def bounds(consumer: KafkaConsumer, at: TopicPartition, seconds: float) -> tuple[int, int]:
    """Return the first offset that is still there, and the one the next record will get.

    Parameters
    ----------
    at
        The partition.
    seconds
        How long each of the two answers is waited for.
    """
    timeout: Any = seconds * 1000
    begin = consumer.beginning_offsets([at], timeout_ms=timeout)[at]
    end = consumer.end_offsets([at], timeout_ms=timeout)[at]
    return begin, end


def settle(assigned: AssignedPartition, start: int, begin: int, end: int, metrics: Metrics) -> int:
    """Return where to read on: at ``start``, or where the log now begins or ends, which is logged.

    A log that ends before ``start`` will give its next records offsets that are accounted for
    already; no second record can have the same source, so they are passed over, and counted.

    Parameters
    ----------
    start
        Offset that would be read next.
    begin, end
        First offset that the log still has, and the one behind its last.
    metrics
        Counts what is lost.
    """
    if start < begin:
        report_lost(assigned, start, begin, metrics)
        return begin
    if start > end:
        report_truncated(assigned, start, end)
        return end
    return start


def report_truncated(assigned: AssignedPartition, start: int, end: int) -> None:
    """Log that the partition now ends before an offset that was read.

    Parameters
    ----------
    start
        Offset up to which the partition was read.
    end
        Offset at which its log now ends.
    """
    log.error(
        "%s: the log was cut short at %d, but is read up to %d: the broker lost its end. "
        "What is written again below %d is counted as lost",
        assigned, end, start, start, extra={"action": "truncated"},
    )  # fmt: skip


def report_lost(assigned: AssignedPartition, start: int, begin: int, metrics: Metrics) -> None:
    """Log and count the records from ``start`` up to where the log now begins.

    Parameters
    ----------
    start
        First offset lost.
    begin
        First offset that is still there.
    metrics
        Counts the records lost.
    """
    metrics.lost.inc(begin - start)
    log.error(
        "%s: offsets %d to %d were dropped by the broker before they were read: "
        "%d records are lost",
        assigned, start, begin - 1, begin - start, extra={"action": "lost"},
    )  # fmt: skip
