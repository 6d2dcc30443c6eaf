"""The main loop: polls whatever happens, fills the places' buffers, follows the group.

Only :meth:`Intake.step` talks to the consumer. The rebalance listener runs on kafka-python's own
thread while ``poll`` waits, so it only marks places and lets the loop do the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from consumers import behind
from consumers.claims import Claims, find_start
from consumers.flow import Flow
from consumers.lane import Lane
from consumers.metrics import Metrics
from consumers.places import Place, Status
from consumers.reception import ASK_SECONDS, Reception
from consumers.trouble import Notice
from consumers.watch import Watch
from db.repository import Claim

log = logging.getLogger("consumers.bridge")

# a damaged batch, or one compressed in a way that needs a package
UNREADABLE = (kafka_errors.CorruptRecordError, kafka_errors.UnsupportedCodecError)
POLL_SECONDS = 0.05
HOUSEKEEPING_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the main loop. Times in seconds."""

    topic: str
    reset: str
    buffer_records: int  # a lane
    buffer_bytes: int  # all in all
    streams_cached: int
    revoke_seconds: float


class Intake(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Assigned partitions, their records and their claims."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        lanes: Sequence[Lane],
        claims: Claims,
        metrics: Metrics,
        watch: Watch,
        rules: Rules,
        notice: Notice,
    ) -> None:
        self._consumer = consumer
        self._lanes = lanes
        self._claims = claims
        self._watch = watch
        self._reception = Reception(consumer, metrics, notice)
        self._rules = rules
        self._flow = Flow(consumer, rules.buffer_records * len(lanes), rules.buffer_bytes)
        self._places: dict[TopicPartition, Place] = {}
        self._unnamed: set[TopicPartition] = set()  # assigned; the topic's id is not known yet
        self._next_look = 0.0
        self._subscribed = False
        self.assigned_once = False

    def _subscribe(self) -> None:
        """Join the group once the topic exists: not every broker tells an early member later."""
        if self._consumer.partitions_for_topic(self._rules.topic):
            self._watch.note_topic(True)
            self._consumer.subscribe([self._rules.topic], listener=self)
            self._subscribed = True
        else:
            self._watch.note_topic(False)
            time.sleep(POLL_SECONDS)

    @property
    def places(self) -> list[Place]:
        return list(self._places.values())

    def settled(self) -> bool:
        """The group has given us our partitions and each of them is being worked on."""
        return (
            self.assigned_once
            and not self._unnamed
            and behind.is_stable(self._consumer)
            and all(place.status is Status.READY for place in self.places)
            and set(self._consumer.assignment()) == set(self._places)
        )

    # -- the group, on kafka-python's thread ----------------------------------------------------

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for partition in assigned:
            behind.placeholder(self._consumer, partition)
            self._unnamed.add(partition)
        self.assigned_once = True

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Batches in hand may finish until the deadline; heartbeats go on meanwhile."""
        leaving = [place for at in revoked if (place := self._places.get(at)) is not None]
        self._unnamed -= set(revoked)
        for place in leaving:
            place.status = Status.LEAVING
        deadline = time.monotonic() + self._rules.revoke_seconds
        while any(lane.holds(leaving) for lane in self._lanes) and time.monotonic() < deadline:
            await behind.nap(self._consumer, 0.01)
        self._drop(leaving)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._unnamed -= set(lost)
        self._drop([place for at in lost if (place := self._places.get(at)) is not None])

    def _drop(self, places: Iterable[Place]) -> None:
        for place in places:
            place.status = Status.GONE
            self._places.pop(place.partition, None)
            for lane in self._lanes:
                lane.remove(place)

    # -- the loop -------------------------------------------------------------------------------

    def step(self) -> None:
        """Poll once and do what is due."""
        if not self._subscribed:
            self._subscribe()
            return
        behind.finish_joining(self._consumer)
        behind.hand_out_parked(self._consumer)
        try:
            self._receive(self._consumer.poll(timeout_ms=int(POLL_SECONDS * 1000)))
        except kafka_errors.OffsetOutOfRangeError as error:
            self._out_of_range(error.args[0])
        except UNREADABLE as error:
            self._unreadable(error)
        self._name_places()
        self._take_answers()
        self._follow_statuses()
        self._flow.balance(self.places)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + HOUSEKEEPING_SECONDS
            self._look_around()

    def _receive(self, polled: dict[TopicPartition, list[Any]]) -> None:
        now = time.monotonic()
        lanes = set()
        for partition, records in polled.items():
            place = self._places.get(partition)
            if place is None or place.status not in (Status.READY, Status.DOUBTFUL):
                continue
            place.extend(self._reception.accept(place, records), now)
            lanes.add(self._lane(place))
        for lane in lanes:
            lane.notify()

    def _out_of_range(self, offsets: dict[TopicPartition, int]) -> None:
        behind.refreshed(self._consumer, ASK_SECONDS)
        self._drop_replaced()  # made anew, the topic has other offsets, and its places are dropped
        for partition, offset in offsets.items():
            place = self._places.get(partition)
            if place is not None:
                self._reception.out_of_range(place, offset)

    def _unreadable(self, error: kafka_errors.KafkaError) -> None:
        at = behind.drop_unreadable(self._consumer)
        place = None if at is None else self._places.get(at)
        if place is not None:
            self._flow.hold(place, self._reception.unreadable(place, error))

    def _lane(self, place: Place) -> Lane:
        number: int = place.partition.partition
        return self._lanes[number % len(self._lanes)]

    def _name_places(self) -> None:
        """A newly assigned partition becomes a place once its topic's id is known."""
        if not self._unnamed:
            return
        topic_id = behind.topic_id(self._consumer, self._rules.topic)
        if topic_id is None:
            behind.refresh_metadata(self._consumer)
            return
        for partition in list(self._unnamed):
            self._unnamed.discard(partition)
            place = Place(partition, topic_id, self._rules.streams_cached)
            self._places[partition] = place
            self._claims.ask(place)

    def _take_answers(self) -> None:
        for place, claim in self._claims.answers():
            if self._places.get(place.partition) is not place:
                continue
            if place.status is Status.CLAIMING and claim is not None:
                self._begin(place, claim)
            elif place.status is Status.DOUBTFUL:
                self._check(place, claim)

    def _begin(self, place: Place, claim: Claim) -> None:
        place.epoch, place.stored = claim.epoch, claim.next_offset
        try:
            find_start(self._consumer, place, self._rules.reset, ASK_SECONDS)
        except kafka_errors.KafkaError as error:
            log.debug("%r: %s", place, error)
            self._claims.ask(place)  # the epoch grows once more, which harms nobody
            return
        if place.lost is not None:
            self._claims.ask(place)
            return
        self._consumer.seek(place.partition, place.position)
        self._consumer.resume(place.partition)
        place.paused = False
        place.status = Status.READY
        log.info(
            "%s[%d]: epoch %d, from offset %d",
            *place.partition, place.epoch, place.position, extra={"action": "claimed"},
        )  # fmt: skip
        self._lane(place).add(place)

    def _check(self, place: Place, claim: Claim | None) -> None:
        """After a failed transaction: did it take effect, and is the account still ours?"""
        if claim is None or claim.epoch != place.epoch:
            place.status, place.lost_at = Status.LOST, time.monotonic()
            self._lane(place).remove(place)
            self._consumer.pause(place.partition)
            place.clear()
            log.warning(
                "%s[%d]: another bridge took it over; dropped",
                *place.partition, extra={"action": "dropped"},
            )  # fmt: skip
            return
        if claim.next_offset != place.stored and claim.next_offset is not None:
            # the answer to a commit was lost, the commit was not
            place.stored = claim.next_offset
            place.drop_through(claim.next_offset, time.monotonic())
        place.status = Status.READY
        self._lane(place).notify()

    def _follow_statuses(self) -> None:
        for place in self.places:
            if place.status is Status.DOUBTFUL and not place.asked:
                place.asked = True
                self._claims.ask(place)
            elif place.status is Status.READY:
                place.asked = False
            elif (
                place.status is Status.LOST
                and behind.last_heartbeat(self._consumer) > place.lost_at
                and behind.is_stable(self._consumer)
            ):
                # the group still gives it to us: claim it as if newly assigned
                self._drop([place])
                if place.partition in self._consumer.assignment():
                    self._unnamed.add(place.partition)

    # -- now and then ---------------------------------------------------------------------------

    def _look_around(self) -> None:
        self._watch.look(self.places)
        self._drop_replaced()

    def _drop_replaced(self) -> None:
        for place in self._watch.replaced(self.places):
            log.warning(
                "%s[%d]: the topic was made anew; starting from its beginning",
                *place.partition, extra={"action": "topic_recreated"},
            )  # fmt: skip
            self._drop([place])
            self._consumer.pause(place.partition)
            self._unnamed.add(place.partition)
