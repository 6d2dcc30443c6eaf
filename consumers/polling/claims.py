"""Claim assigned partitions in the database, and determine where to start reading them.

Polling must continue even if the database is down for long. So one thread claims, and the poll
loop collects its answers.
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

#: Log texts on lost records: partition, first and last offset, number.
DELETED = "%s: the broker deleted offsets %d to %d before they were read: %d records are lost"
#: There may have been more, which the bridge had not seen.
RECREATED = (
    "%s: the topic was deleted and recreated before offsets %d to %d of the earlier one were"
    " stored: at least %d records are lost"
)


@dataclass(frozen=True, slots=True)
class Start:
    """The offset at which reading starts, and the ``lost`` offsets (first, end) before it."""

    offset: int
    lost: tuple[int, int] | None = None


class Answer(NamedTuple):
    """The database's answer about one partition.

    Parameters
    ----------
    claim : Claim or None
        None: the database no longer has a row of the partition.
    replaces_topic : bool
        The partition is new, and the database has offsets of an earlier topic of this name.
    """

    assigned: AssignedPartition
    claim: Claim | None
    replaces_topic: bool = False


class Claims(PartThread):
    """Claim partitions (status ``claiming``) or read their claims again (``doubtful``).

    Parameters
    ----------
    outage : Outage
        Of the database.
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
        """Claim a partition or read its claim again; store ``start`` first, if given."""
        self._todo.put((assigned, start))

    def answers(self) -> list[Answer]:
        """Return the answers since the last call."""
        found = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def stop(self, seconds: float = 0.0) -> None:
        """Begin no further claim."""
        self._todo.put(None)
        super().stop(seconds)

    def _claim_all(self) -> None:
        while (asked := self._todo.get()) is not None:
            assigned, start = asked
            while not self.stopping.is_set() and assigned.status in (
                PartitionStatus.CLAIMING,
                PartitionStatus.DOUBTFUL,
            ):
                doubtful = assigned.status is PartitionStatus.DOUBTFUL  # then it is only read
                try:
                    self._done.put(self._answer(assigned, start))
                    self._outage.record_success(reading=doubtful)
                    break
                except AnomalyError as error:
                    start = None  # it may have been stored
                    self.stopping.wait(self._outage.record_failure(error, writing=not doubtful))

    def _answer(self, assigned: AssignedPartition, start: Start | None) -> Answer:
        topic, partition = assigned.topic_partition
        if assigned.status is PartitionStatus.DOUBTFUL:
            return Answer(assigned, self._store.run(read_claim, assigned.topic_id, partition))
        if start is not None:
            try:
                return Answer(assigned, self._store_start(assigned, start))
            except FencedError:
                pass  # assigned again meanwhile, or claimed by another bridge: claim again
        claim = self._store.claim(assigned.topic_id, partition, topic)
        new = claim.next_offset is None
        replaces = new and self._store.run(has_earlier_account, assigned.topic_id, topic)
        return Answer(assigned, claim, replaces)

    def _store_start(self, assigned: AssignedPartition, start: Start) -> Claim:
        """Store the offset at which reading starts.

        A first start is stored too, because "latest" would be another offset after a restart. Lost
        records are reported inside the transaction: they must be reported exactly once, even if the
        group assigns the partition twice or the process is killed.
        """
        move = OffsetAdvance(*assigned.source, assigned.epoch, assigned.stored, start.offset)
        gone = self._gone(assigned) if assigned.stored is None else None

        def report() -> None:
            if start.lost is not None:
                report_lost(assigned, *start.lost, self._metrics)
            if gone is not None:
                report_lost(assigned, *gone, self._metrics, RECREATED)

        self._store.commit(BatchCommit(moves=[move]), before_commit=report)
        return Claim(assigned.epoch, start.offset)

    def _gone(self, assigned: AssignedPartition) -> tuple[int, int] | None:
        """Return the offsets (first, end) of an earlier topic that nobody stored, if any."""
        if (earlier := assigned.earlier) is None:
            return None
        partition = assigned.topic_partition.partition
        claim = self._store.run(read_claim, earlier.topic_id, partition)
        stored = 0 if claim is None or claim.next_offset is None else claim.next_offset
        first = max(stored, earlier.position)  # offsets without a record are not stored
        return (first, earlier.end) if first < earlier.end else None


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
        The partition belongs to a topic that replaced an earlier one of the same name.
    reset : str
        ``earliest`` or ``latest``: where to start if neither database nor group has an offset.
    seconds : float
        Time-out of each request to the broker; kafka-python raises when it is over.
    """
    begin, end = bounds(consumer, assigned.topic_partition, seconds)
    start = assigned.stored
    if start is None and replaces_topic:
        start = begin  # the group's offset may belong to the earlier topic; this topic is unread
    elif start is None:
        otherwise = end if reset == "latest" else begin
        start = _group_start(consumer, assigned, begin, otherwise, seconds)
    # an offset beyond the end is noticed by the fetch: some brokers report an inexact end
    return Start(max(start, begin), (start, begin) if start < begin else None)


def _group_start(
    consumer: KafkaConsumer, assigned: AssignedPartition, begin: int, otherwise: int, seconds: float
) -> int:
    """Return the group's offset of a partition that has no row in the database."""
    group = consumer.committed(assigned.topic_partition, metadata=True, timeout_ms=seconds * 1000)
    if group is None:
        return otherwise
    if group.metadata == internals.BRIDGE_METADATA:
        log.warning(
            "%s: a bridge committed offset %d to Kafka, but the database has no offset of the "
            "partition (was it restored from an older dump?): reading from the log's beginning, "
            "%d", assigned, group.offset, begin, extra={"action": "restored"},
        )  # fmt: skip
        return begin
    return int(group.offset)


def bounds(consumer: KafkaConsumer, at: TopicPartition, seconds: float) -> tuple[int, int]:
    """Return the first offset of the log, and the offset that the next record will get.

    Parameters
    ----------
    at
        The partition.
    seconds
        Time-out of each of the two requests.
    """
    timeout: Any = seconds * 1000
    begin = consumer.beginning_offsets([at], timeout_ms=timeout)[at]
    end = consumer.end_offsets([at], timeout_ms=timeout)[at]
    return begin, end


def settle(assigned: AssignedPartition, start: int, begin: int, end: int, metrics: Metrics) -> int:
    """Return the offset to continue at: ``start``, or the log's beginning or end, with a log line.

    If a log ends before ``start``, its next records get offsets that are already stored. Since no
    second record can have the same source, these records are skipped and counted as lost.

    Parameters
    ----------
    start
        Offset that would be read next.
    begin, end
        First offset of the log, and the offset after its last.
    metrics
        Counts lost records.
    """
    if start < begin:
        report_lost(assigned, start, begin, metrics)
        return begin
    if start > end:
        report_truncated(assigned, start, end)
        return end
    return start


def report_truncated(assigned: AssignedPartition, start: int, end: int) -> None:
    """Log that a partition's log now ends before an offset that was already read.

    Parameters
    ----------
    start
        Offset up to which the partition was read.
    end
        Offset at which its log now ends.
    """
    log.error(
        "%s: the broker lost the end of the log: it now ends at %d, but was read up to %d. "
        "New records below offset %d are counted as lost",
        assigned, end, start, start, extra={"action": "truncated"},
    )  # fmt: skip


def report_lost(
    assigned: AssignedPartition, first: int, end: int, metrics: Metrics, how: str = DELETED
) -> None:
    """Log and count the records that were deleted before they were processed.

    Parameters
    ----------
    first
        First lost offset.
    end
        Offset after the last that is known to be lost.
    metrics
        Counts lost records.
    how
        The log text: of deleted records, or of a recreated topic.
    """
    metrics.lost.inc(end - first)
    log.error(how, assigned, first, end - 1, end - first, extra={"action": "lost"})
