"""The main loop: polls whatever happens, fills the places' buffers, settles their claims.

Only :meth:`PollLoop.step` talks to the consumer; what the group gives and takes meanwhile is in
:mod:`consumers.polling.rebalance`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from consumers.broker import clients, internals
from consumers.broker.fetching import Element
from consumers.metrics import Metrics
from consumers.outage import Outage, StateListener
from consumers.partition import AssignedPartition, PartitionStatus
from consumers.polling.backpressure import Backpressure
from consumers.polling.claims import Claims, find_start
from consumers.polling.monitor import ConsumerMonitor
from consumers.polling.offset_validator import ASK_SECONDS, OffsetValidator
from consumers.polling.rebalance import Assignment
from db.queries.offsets import Claim
from errors import BrokerUnavailable

log = logging.getLogger("consumers.bridge")

POLL_SECONDS = 0.05
HOUSEKEEPING_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PollSettings:
    """Settings of the main loop."""

    topic: str
    reset: str
    buffer_records: int  # all in all
    buffer_bytes: int  # all in all
    unreadable_tries: int


class PollLoop:
    """Takes in the assigned partitions' records and claims."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        assignment: Assignment,
        claims: Claims,
        metrics: Metrics,
        monitor: ConsumerMonitor,
        settings: PollSettings,
        listener: StateListener,
    ) -> None:
        self._consumer = consumer
        self._claims = claims
        self._monitor = monitor
        self._validator = OffsetValidator(consumer, metrics, listener, settings.unreadable_tries)
        self._listener = listener
        self._outages: dict[TopicPartition, Outage] = {}
        self._waiting: dict[
            AssignedPartition, float
        ] = {}  # claimed; to ask Kafka about at that time
        self._settings = settings
        self._backpressure = Backpressure(consumer, settings.buffer_records, settings.buffer_bytes)
        self._next_housekeeping = 0.0
        self._subscribed = False
        self.assignment = assignment

    def step(self) -> None:
        """Poll once and do what is due."""
        if not self._subscribed:
            self._subscribe()
            return
        internals.complete_pending_join(self._consumer)
        internals.resume_parked_records(self._consumer)
        try:
            self._receive(self._consumer.poll(timeout_ms=int(POLL_SECONDS * 1000)))
        except kafka_errors.OffsetOutOfRangeError as error:
            self._out_of_range(error.args[0])
        except kafka_errors.LogTruncationError as error:
            self._truncated(error.divergent_offsets)
        except kafka_errors.CorruptRecordError as error:
            self._unreadable(error)
        for assigned in self.assignment.name(self._settings.topic):
            self._claims.ask(assigned)
        self._take_answers()
        self._retry_starts()
        self._follow_statuses()
        self._backpressure.balance(self.assignment.partitions)
        now = time.monotonic()
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + HOUSEKEEPING_SECONDS
            self._housekeeping()

    def _subscribe(self) -> None:
        """Join the group once the topic exists: not every broker tells an early member later."""
        if self._consumer.partitions_for_topic(self._settings.topic):
            self._monitor.note_topic(True)
            self._consumer.subscribe([self._settings.topic], listener=self.assignment)
            self._subscribed = True
        else:
            self._monitor.note_topic(False)
            time.sleep(POLL_SECONDS)

    def _receive(self, polled: dict[TopicPartition, list[Element]]) -> None:
        now = time.monotonic()
        workers = set()
        for partition, elements in polled.items():
            assigned = self.assignment.get(partition)
            if assigned is None or assigned.status not in (
                PartitionStatus.READY,
                PartitionStatus.DOUBTFUL,
            ):
                continue
            try:
                wait = self._validator.accept(assigned, elements, now)
            except kafka_errors.KafkaError as error:
                # only this partition's records are let go: they are fetched again
                wait = self._record_failure(assigned, error)
            else:
                self._record_answer(assigned)
            if wait:
                self._backpressure.hold(assigned, wait)
            workers.add(self.assignment.worker(assigned))
        for worker in workers:
            worker.notify()

    def _record_failure(self, assigned: AssignedPartition, error: kafka_errors.KafkaError) -> float:
        """The broker does not answer about one partition; seconds to wait before the next try.

        Raises
        ------
        KafkaError
            No later try can succeed.
        """
        if clients.is_fatal(error):
            raise error
        outage = self._outages.setdefault(
            assigned.topic_partition, Outage(str(assigned), self._listener)
        )
        return outage.record_failure(BrokerUnavailable(str(error) or type(error).__name__))

    def _record_answer(self, assigned: AssignedPartition) -> None:
        """The broker answered about a partition, or need not be asked."""
        if assigned.topic_partition in self._outages:
            self._outages.pop(assigned.topic_partition).record_success()

    def _out_of_range(self, offsets: dict[TopicPartition, int]) -> None:
        internals.refreshed(self._consumer, ASK_SECONDS)
        self._drop_replaced()  # made anew, the topic has other offsets, and its places are dropped
        for partition, offset in offsets.items():
            self._settle(partition, partial(self._validator.out_of_range, offset=offset))

    def _truncated(self, ends: dict[TopicPartition, Any]) -> None:
        """The broker lost the end of these partitions' logs; where each now ends, if known."""
        for partition, end in ends.items():
            offset = None if end is None else end.offset
            self._settle(partition, partial(self._validator.truncated, end=offset))

    def _settle(
        self, partition: TopicPartition, settle: Callable[[AssignedPartition], None]
    ) -> None:
        """Find out where to read on in one partition; the others do not wait for it."""
        assigned = self.assignment.get(partition)
        if assigned is None or assigned.status not in (
            PartitionStatus.READY,
            PartitionStatus.DOUBTFUL,
        ):
            return
        try:
            settle(assigned)
            self._record_answer(assigned)
        except kafka_errors.KafkaError as error:
            self._backpressure.hold(assigned, self._record_failure(assigned, error))

    def _unreadable(self, error: kafka_errors.KafkaError) -> None:
        assigned = self.assignment.get(error.partition)
        if assigned is not None:
            self._backpressure.hold(assigned, self._validator.unreadable(assigned, error))

    def _take_answers(self) -> None:
        for assigned, claim in self._claims.answers():
            if self.assignment.get(assigned.topic_partition) is not assigned:
                continue
            if assigned.status is PartitionStatus.CLAIMING and claim is not None:
                self._begin(assigned, claim)
            elif assigned.status is PartitionStatus.DOUBTFUL:
                self._check(assigned, claim)

    def _begin(self, assigned: AssignedPartition, claim: Claim) -> None:
        assigned.epoch, assigned.stored = claim.epoch, claim.next_offset
        self._start(assigned)

    def _start(self, assigned: AssignedPartition) -> None:
        try:
            find_start(self._consumer, assigned, self._settings.reset, ASK_SECONDS)
        except kafka_errors.KafkaError as error:
            self._waiting[assigned] = time.monotonic() + self._record_failure(assigned, error)
            return
        self._record_answer(assigned)
        if assigned.due is not None:
            self._claims.ask(assigned)
            return
        self._consumer.seek(assigned.topic_partition, assigned.position)
        self._consumer.resume(assigned.topic_partition)
        assigned.paused = False
        assigned.status = PartitionStatus.READY
        log.info(
            "%s: epoch %d, from offset %d",
            assigned, assigned.epoch, assigned.position, extra={"action": "claimed"},
        )  # fmt: skip
        self.assignment.worker(assigned).add(assigned)

    def _retry_starts(self) -> None:
        """Ask Kafka once more about places that it gave no answer about."""
        now = time.monotonic()
        for assigned, due in list(self._waiting.items()):
            if due > now and assigned.status is PartitionStatus.CLAIMING:
                continue
            del self._waiting[assigned]
            if assigned.status is PartitionStatus.CLAIMING:
                self._start(assigned)

    def _check(self, assigned: AssignedPartition, claim: Claim | None) -> None:
        """After a failed transaction: did it take effect, and is the account still ours?"""
        if claim is None or claim.epoch != assigned.epoch:
            assigned.status, assigned.lost_at = PartitionStatus.LOST, time.monotonic()
            self.assignment.worker(assigned).remove(assigned)
            self._consumer.pause(assigned.topic_partition)
            assigned.clear()
            log.warning(
                "%s: another bridge took it over; dropped",
                assigned, extra={"action": "dropped"},
            )  # fmt: skip
            return
        if (claim.next_offset or 0) < (assigned.stored or 0):
            self._reclaim(assigned)  # the database was set back under us, as by a restore
            return
        if claim.next_offset != assigned.stored and claim.next_offset is not None:
            # the answer to a commit was lost, the commit was not
            assigned.stored = claim.next_offset
            assigned.drop_through(claim.next_offset, time.monotonic())
        assigned.asked = False  # before a lane can be in doubt again
        assigned.status = PartitionStatus.READY
        self.assignment.worker(assigned).notify()

    def _follow_statuses(self) -> None:
        for assigned in self.assignment.partitions:
            if assigned.status is PartitionStatus.DOUBTFUL and not assigned.asked:
                assigned.asked = True
                self._claims.ask(assigned)
            elif (
                assigned.status is PartitionStatus.LOST
                and internals.last_heartbeat(self._consumer) > assigned.lost_at
                and internals.is_stable(self._consumer)
            ):
                # the group still gives it to us: claim it as if newly assigned
                self._reclaim(assigned)

    def _housekeeping(self) -> None:
        self._monitor.look(self.assignment.partitions)
        self._drop_replaced()

    def _drop_replaced(self) -> None:
        for assigned in self._monitor.replaced(self.assignment.partitions):
            log.warning(
                "%s: the topic was made anew; starting from its beginning",
                assigned, extra={"action": "topic_recreated"},
            )  # fmt: skip
            self._reclaim(assigned)

    def _reclaim(self, assigned: AssignedPartition) -> None:
        """As if it were newly assigned, where the group still gives it to us."""
        self.assignment.drop([assigned])
        if assigned.topic_partition in self._consumer.assignment():
            self._consumer.pause(assigned.topic_partition)
            self.assignment.expect(assigned.topic_partition)
