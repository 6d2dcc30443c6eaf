"""Poll the consumer, fill the partitions' buffers, and start claimed partitions.

Only :meth:`PollLoop.step` uses the consumer; :mod:`consumers.polling.rebalance` handles
assignment and revocation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from config import Settings
from consumers.broker import clients, internals
from consumers.broker.fetching import Element
from consumers.metrics import Metrics
from consumers.outage import Outage, StateListener
from consumers.partition import AssignedPartition, PartitionStatus, PartitionTable
from consumers.polling.backpressure import Backpressure
from consumers.polling.claims import Answer, Claims, find_start
from consumers.polling.monitor import ConsumerMonitor
from consumers.polling.offset_validator import ASK_SECONDS, OffsetValidator
from consumers.polling.rebalance import Assignment
from errors import BrokerUnavailable

log = logging.getLogger("consumers.bridge")

POLL_SECONDS = 0.05  # maximum wait of one poll
HOUSEKEEPING_SECONDS = 0.5  # between looks at the topic, the broker and the lag


class PollLoop:
    """Receive the records and the claims of the assigned partitions.

    Parameters
    ----------
    consumer : KafkaConsumer
        Used only by this thread and by the rebalance listener.
    table : PartitionTable
        The partitions, maintained by ``assignment``.
    listener : callable
        Called when the broker stops or resumes answering about a partition.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        table: PartitionTable,
        assignment: Assignment,
        claims: Claims,
        metrics: Metrics,
        monitor: ConsumerMonitor,
        settings: Settings,
        listener: StateListener,
    ) -> None:
        self._consumer = consumer
        self._table = table
        self._assignment = assignment
        self._claims = claims
        self._monitor = monitor
        self._validator = OffsetValidator(
            consumer, metrics, listener, settings.bridge_unreadable_tries
        )
        self._listener = listener
        self._outages: dict[TopicPartition, Outage] = {}
        # claimed partitions whose start must be requested from Kafka at the given time
        self._waiting: dict[AssignedPartition, tuple[float, Answer]] = {}
        self._topic = settings.kafka_topic_input_features
        self._reset = settings.kafka_auto_offset_reset
        # of all partitions together
        records = 2 * settings.bridge_batch_max * settings.bridge_lanes
        self._backpressure = Backpressure(consumer, records, int(settings.bridge_buffer_mb * 2**20))
        self._next_housekeeping = 0.0
        self._subscribed = False

    def step(self) -> None:
        """Poll once and run everything that is due."""
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
        for assigned in self._assignment.add_expected(self._topic):
            self._claims.ask(assigned)
        self._take_answers()
        self._retry_starts()
        self._follow_statuses()
        self._backpressure.balance(self._table)
        now = time.monotonic()
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + HOUSEKEEPING_SECONDS
            self._monitor.observe(self._table)
            self._drop_replaced()
            self._forget_outages()

    def _subscribe(self) -> None:
        """Join the group once the topic exists: some brokers do not notify earlier members."""
        exists = bool(self._consumer.partitions_for_topic(self._topic))
        self._monitor.note_topic(exists)
        if exists:
            self._consumer.subscribe([self._topic], listener=self._assignment)
            self._subscribed = True
        else:
            time.sleep(POLL_SECONDS)

    # -- records --------------------------------------------------------------------------------

    def _receive(self, polled: dict[TopicPartition, list[Element]]) -> None:
        now = time.monotonic()
        workers = set()
        for topic_partition, elements in polled.items():
            assigned = self._table.get(topic_partition)
            if assigned is None or not assigned.owned:
                continue
            try:
                wait = self._validator.accept(assigned, elements, now)
            except kafka_errors.KafkaError as error:
                # only this partition's fetched records are discarded; they are fetched again
                wait = self._record_failure(assigned, error)
            else:
                self._record_answer(assigned)
            if wait:
                self._backpressure.hold(assigned, wait)
            workers.add(self._assignment.worker(assigned))
        for worker in workers:
            worker.notify()

    def _record_failure(self, assigned: AssignedPartition, error: kafka_errors.KafkaError) -> float:
        """Return the seconds to wait after the broker failed to answer about one partition.

        Raises
        ------
        KafkaError
            No retry can succeed.
        """
        if clients.is_fatal(error):
            raise error
        outage = self._outages.setdefault(
            assigned.topic_partition, Outage(str(assigned), self._listener)
        )
        return outage.record_failure(BrokerUnavailable(str(error) or type(error).__name__))

    def _record_answer(self, assigned: AssignedPartition) -> None:
        """Record that the broker answered about a partition, or that no answer is needed."""
        if assigned.topic_partition in self._outages:
            self._outages.pop(assigned.topic_partition).record_success()

    def _forget_outages(self) -> None:
        """End the outages of partitions that are no longer assigned to this bridge."""
        for topic_partition in list(self._outages):
            if self._table.get(topic_partition) is None:
                self._outages.pop(topic_partition).abandon()
        self._validator.forget_damages(self._table)

    def _out_of_range(self, offsets: dict[TopicPartition, int]) -> None:
        internals.refreshed(self._consumer, ASK_SECONDS)
        self._drop_replaced()  # a recreated topic has other offsets
        for topic_partition, offset in offsets.items():
            self._settle(topic_partition, partial(self._validator.out_of_range, offset=offset))

    def _truncated(self, ends: dict[TopicPartition, Any]) -> None:
        """Continue at the present ends of these partitions' logs, as far as they are known."""
        for topic_partition, end in ends.items():
            offset = None if end is None else end.offset
            self._settle(topic_partition, partial(self._validator.truncated, end=offset))

    def _settle(
        self, topic_partition: TopicPartition, settle: Callable[[AssignedPartition], None]
    ) -> None:
        """Determine where to continue in one partition; a failure does not delay the others."""
        assigned = self._table.get(topic_partition)
        if assigned is None or not assigned.owned:
            return
        try:
            settle(assigned)
            self._record_answer(assigned)
        except kafka_errors.KafkaError as error:
            self._backpressure.hold(assigned, self._record_failure(assigned, error))

    def _unreadable(self, error: kafka_errors.KafkaError) -> None:
        assigned = self._table.get(error.partition)
        if assigned is not None:
            self._backpressure.hold(assigned, self._validator.unreadable(assigned, error))

    # -- claims ---------------------------------------------------------------------------------

    def _take_answers(self) -> None:
        for answer in self._claims.answers():
            assigned = answer.assigned
            if self._table.get(assigned.topic_partition) is not assigned:
                continue
            if assigned.status is PartitionStatus.CLAIMING and answer.claim is not None:
                assigned.set_claim(answer.claim)
                self._start(answer)
            elif assigned.status is PartitionStatus.DOUBTFUL:
                self._check(answer)

    def _start(self, answer: Answer) -> None:
        """Ask Kafka where a claimed partition starts; store this offset, or start reading."""
        assigned = answer.assigned
        try:
            start = find_start(
                self._consumer, assigned, answer.replaces_topic, self._reset, ASK_SECONDS
            )
        except kafka_errors.KafkaError as error:
            due = time.monotonic() + self._record_failure(assigned, error)
            self._waiting[assigned] = due, answer
            return
        self._record_answer(assigned)
        if start.offset != assigned.stored:
            self._claims.ask(assigned, start)
            return
        if not assigned.begin(start.offset):
            return
        self._consumer.seek(assigned.topic_partition, start.offset)
        self._backpressure.resume(assigned)
        log.info(
            "%s: epoch %d, from offset %d",
            assigned, assigned.epoch, start.offset, extra={"action": "claimed"},
        )  # fmt: skip
        self._assignment.worker(assigned).add(assigned)

    def _retry_starts(self) -> None:
        """Ask Kafka again about partitions for which it gave no answer."""
        now = time.monotonic()
        for assigned, (due, answer) in list(self._waiting.items()):
            claiming = assigned.status is PartitionStatus.CLAIMING
            if due > now and claiming:
                continue
            del self._waiting[assigned]
            if claiming:
                self._start(answer)

    def _check(self, answer: Answer) -> None:
        """Continue after a failed transaction, if the partition is still ours."""
        assigned, claim = answer.assigned, answer.claim
        worker = self._assignment.worker(assigned)
        if claim is None or claim.epoch != assigned.epoch:
            if assigned.lose():
                worker.remove(assigned)
                self._consumer.pause(assigned.topic_partition)
                log.warning(
                    "%s: another bridge has claimed it; dropped",
                    assigned, extra={"action": "dropped"},
                )  # fmt: skip
            return
        if (claim.next_offset or 0) < (assigned.stored or 0):
            self._reclaim(assigned)  # the database was set back, for example by a restore
            return
        if claim.next_offset != assigned.stored and claim.next_offset is not None:
            # the commit took effect although its answer was lost
            assigned.advance(claim.next_offset, time.monotonic())
        if assigned.resume():
            worker.notify()

    def _follow_statuses(self) -> None:
        for assigned in self._table:
            if assigned.request_reread():
                self._claims.ask(assigned)
            elif (
                assigned.status is PartitionStatus.LOST
                and internals.last_heartbeat(self._consumer) > assigned.lost_at
                and internals.is_stable(self._consumer)
            ):
                # the group still assigns it to us: claim it again
                self._reclaim(assigned)

    def _drop_replaced(self) -> None:
        for assigned in self._monitor.replaced(self._table):
            log.warning(
                "%s: the topic was recreated; starting from its beginning",
                assigned, extra={"action": "topic_recreated"},
            )  # fmt: skip
            self._reclaim(assigned)

    def _reclaim(self, assigned: AssignedPartition) -> None:
        """Claim a partition as if newly assigned, if the group still assigns it to us."""
        self._assignment.drop([assigned])
        if assigned.topic_partition in self._consumer.assignment():
            self._consumer.pause(assigned.topic_partition)
            self._assignment.expect(assigned.topic_partition)
