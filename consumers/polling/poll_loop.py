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
        watch: ConsumerMonitor,
        rules: PollSettings,
        notice: StateListener,
    ) -> None:
        self._consumer = consumer
        self._claims = claims
        self._watch = watch
        self._reception = OffsetValidator(consumer, metrics, notice, rules.unreadable_tries)
        self._notice = notice
        self._asking: dict[TopicPartition, Outage] = {}
        self._waiting: dict[
            AssignedPartition, float
        ] = {}  # claimed; to ask Kafka about at that time
        self._rules = rules
        self._flow = Backpressure(consumer, rules.buffer_records, rules.buffer_bytes)
        self._next_look = 0.0
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
        for place in self.assignment.name(self._rules.topic):
            self._claims.ask(place)
        self._take_answers()
        self._start_again()
        self._follow_statuses()
        self._flow.balance(self.assignment.places)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + HOUSEKEEPING_SECONDS
            self._look_around()

    def _subscribe(self) -> None:
        """Join the group once the topic exists: not every broker tells an early member later."""
        if self._consumer.partitions_for_topic(self._rules.topic):
            self._watch.note_topic(True)
            self._consumer.subscribe([self._rules.topic], listener=self.assignment)
            self._subscribed = True
        else:
            self._watch.note_topic(False)
            time.sleep(POLL_SECONDS)

    def _receive(self, polled: dict[TopicPartition, list[Element]]) -> None:
        now = time.monotonic()
        lanes = set()
        for partition, elements in polled.items():
            place = self.assignment.get(partition)
            if place is None or place.status not in (
                PartitionStatus.READY,
                PartitionStatus.DOUBTFUL,
            ):
                continue
            try:
                wait = self._reception.accept(place, elements, now)
            except kafka_errors.KafkaError as error:
                # only this partition's records are let go: they are fetched again
                wait = self._failed(place, error)
            else:
                self._asked(place)
            if wait:
                self._flow.hold(place, wait)
            lanes.add(self.assignment.lane(place))
        for lane in lanes:
            lane.notify()

    def _failed(self, place: AssignedPartition, error: kafka_errors.KafkaError) -> float:
        """The broker does not answer about one partition; seconds to wait before the next try.

        Raises
        ------
        KafkaError
            No later try can succeed.
        """
        if clients.is_fatal(error):
            raise error
        topic, partition = place.partition
        trouble = self._asking.setdefault(
            place.partition, Outage(f"{topic}[{partition}]", self._notice)
        )
        return trouble.failed(BrokerUnavailable(str(error) or type(error).__name__))

    def _asked(self, place: AssignedPartition) -> None:
        """The broker answered about a partition, or need not be asked."""
        if place.partition in self._asking:
            self._asking.pop(place.partition).passed()

    def _out_of_range(self, offsets: dict[TopicPartition, int]) -> None:
        internals.refreshed(self._consumer, ASK_SECONDS)
        self._drop_replaced()  # made anew, the topic has other offsets, and its places are dropped
        for partition, offset in offsets.items():
            self._settle(partition, partial(self._reception.out_of_range, offset=offset))

    def _truncated(self, ends: dict[TopicPartition, Any]) -> None:
        """The broker lost the end of these partitions' logs; where each now ends, if known."""
        for partition, end in ends.items():
            offset = None if end is None else end.offset
            self._settle(partition, partial(self._reception.truncated, end=offset))

    def _settle(
        self, partition: TopicPartition, settle: Callable[[AssignedPartition], None]
    ) -> None:
        """Find out where to read on in one partition; the others do not wait for it."""
        place = self.assignment.get(partition)
        if place is None or place.status not in (PartitionStatus.READY, PartitionStatus.DOUBTFUL):
            return
        try:
            settle(place)
            self._asked(place)
        except kafka_errors.KafkaError as error:
            self._flow.hold(place, self._failed(place, error))

    def _unreadable(self, error: kafka_errors.KafkaError) -> None:
        place = self.assignment.get(error.partition)
        if place is not None:
            self._flow.hold(place, self._reception.unreadable(place, error))

    def _take_answers(self) -> None:
        for place, claim in self._claims.answers():
            if self.assignment.get(place.partition) is not place:
                continue
            if place.status is PartitionStatus.CLAIMING and claim is not None:
                self._begin(place, claim)
            elif place.status is PartitionStatus.DOUBTFUL:
                self._check(place, claim)

    def _begin(self, place: AssignedPartition, claim: Claim) -> None:
        place.epoch, place.stored = claim.epoch, claim.next_offset
        self._start(place)

    def _start(self, place: AssignedPartition) -> None:
        try:
            find_start(self._consumer, place, self._rules.reset, ASK_SECONDS)
        except kafka_errors.KafkaError as error:
            self._waiting[place] = time.monotonic() + self._failed(place, error)
            return
        self._asked(place)
        if place.due is not None:
            self._claims.ask(place)
            return
        self._consumer.seek(place.partition, place.position)
        self._consumer.resume(place.partition)
        place.paused = False
        place.status = PartitionStatus.READY
        log.info(
            "%s[%d]: epoch %d, from offset %d",
            *place.partition, place.epoch, place.position, extra={"action": "claimed"},
        )  # fmt: skip
        self.assignment.lane(place).add(place)

    def _start_again(self) -> None:
        """Ask Kafka once more about places that it gave no answer about."""
        now = time.monotonic()
        for place, due in list(self._waiting.items()):
            if due > now and place.status is PartitionStatus.CLAIMING:
                continue
            del self._waiting[place]
            if place.status is PartitionStatus.CLAIMING:
                self._start(place)

    def _check(self, place: AssignedPartition, claim: Claim | None) -> None:
        """After a failed transaction: did it take effect, and is the account still ours?"""
        if claim is None or claim.epoch != place.epoch:
            place.status, place.lost_at = PartitionStatus.LOST, time.monotonic()
            self.assignment.lane(place).remove(place)
            self._consumer.pause(place.partition)
            place.clear()
            log.warning(
                "%s[%d]: another bridge took it over; dropped",
                *place.partition, extra={"action": "dropped"},
            )  # fmt: skip
            return
        if (claim.next_offset or 0) < (place.stored or 0):
            self._claim_anew(place)  # the database was set back under us, as by a restore
            return
        if claim.next_offset != place.stored and claim.next_offset is not None:
            # the answer to a commit was lost, the commit was not
            place.stored = claim.next_offset
            place.drop_through(claim.next_offset, time.monotonic())
        place.asked = False  # before a lane can be in doubt again
        place.status = PartitionStatus.READY
        self.assignment.lane(place).notify()

    def _follow_statuses(self) -> None:
        for place in self.assignment.places:
            if place.status is PartitionStatus.DOUBTFUL and not place.asked:
                place.asked = True
                self._claims.ask(place)
            elif (
                place.status is PartitionStatus.LOST
                and internals.last_heartbeat(self._consumer) > place.lost_at
                and internals.is_stable(self._consumer)
            ):
                # the group still gives it to us: claim it as if newly assigned
                self._claim_anew(place)

    def _look_around(self) -> None:
        self._watch.look(self.assignment.places)
        self._drop_replaced()

    def _drop_replaced(self) -> None:
        for place in self._watch.replaced(self.assignment.places):
            log.warning(
                "%s[%d]: the topic was made anew; starting from its beginning",
                *place.partition, extra={"action": "topic_recreated"},
            )  # fmt: skip
            self._claim_anew(place)

    def _claim_anew(self, place: AssignedPartition) -> None:
        """As if it were newly assigned, where the group still gives it to us."""
        self.assignment.drop([place])
        if place.partition in self._consumer.assignment():
            self._consumer.pause(place.partition)
            self.assignment.expect(place.partition)
