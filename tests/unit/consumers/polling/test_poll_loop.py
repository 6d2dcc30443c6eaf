"""The poll loop claims, begins, checks and drops partitions, and lets none wait for another."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest
from kafka import TopicPartition
from kafka import errors as kafka_errors

from config import Settings
from consumers.broker import internals
from consumers.broker.unpacking import FetchedRecord
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition, PartitionStatus, PartitionTable
from consumers.polling import poll_loop as module
from consumers.polling.claims import Answer, Start
from consumers.polling.monitor import ConsumerMonitor
from consumers.polling.poll_loop import PollLoop
from consumers.polling.rebalance import Assignment
from consumers.stream_cache import CacheBudget, UnkeyedStreams
from db.queries.offsets import Claim
from tests.fixtures.partitions import FakeConsumer, FakeWorker, offsets

SETTINGS = Settings(_env_file=None, kafka_topic_input_features="in", bridge_unreadable_tries=3)
AT = [TopicPartition("in", number) for number in range(2)]


class FakeClaims:
    """Notes what is asked; answers what a test has ready."""

    def __init__(self) -> None:
        self.asked: list[tuple[AssignedPartition, Start | None]] = []
        self.ready: list[Answer] = []

    def ask(self, assigned: AssignedPartition, start: Start | None = None) -> None:
        self.asked.append((assigned, start))

    def answers(self) -> list[Answer]:
        found, self.ready = self.ready, []
        return found


class Loop:
    """A poll loop on a log from 0 to 100, stepped by the test."""

    def __init__(self) -> None:
        self.consumer = FakeConsumer(0, 100)
        self.claims, self.table = FakeClaims(), PartitionTable()
        worker: Any = FakeWorker()
        self.worker = worker
        self.codes: list[tuple[str, str | None]] = []
        metrics = Metrics()
        self.assignment = Assignment(
            self.consumer, self.table, [self.worker], 1.0, CacheBudget(10**6)
        )
        outage = Outage("broker", lambda *_: None)
        monitor = ConsumerMonitor(self.consumer, metrics, outage, UnkeyedStreams(60), SETTINGS)
        claims: Any = self.claims
        self.poll_loop = PollLoop(
            self.consumer, self.table, self.assignment, claims, metrics, monitor,
            SETTINGS,
            lambda what, code: self.codes.append((what, code)),
        )  # fmt: skip

    def step(self, polled: Any = None) -> None:
        if polled is not None:
            self.consumer.answers.append(polled)
        self.poll_loop.step()

    def answer(self, claim: Claim | None) -> None:
        """Answer what was asked last."""
        self.claims.ready.append(Answer(self.claims.asked.pop()[0], claim))
        self.step()

    def assign(self, *given: TopicPartition) -> None:
        self.consumer.assigned |= set(given)
        asyncio.run(self.assignment.on_partitions_assigned(given))

    def begin(self, *given: TopicPartition, at: int = 5) -> list[AssignedPartition]:
        """Assigned, claimed and ready."""
        self.step()
        self.assign(*given)
        self.step()
        for _ in given:
            self.answer(Claim(1, at))
        return [one for where in given if (one := self.table.get(where)) is not None]


@pytest.fixture
def loop() -> Loop:
    return Loop()


def records(*numbers: int) -> list[FetchedRecord]:
    return [FetchedRecord(number, number, 1, None, b"{}") for number in numbers]


def test_it_joins_the_group_once_the_topic_exists(loop, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)
    loop.consumer.topic = None
    loop.step()
    assert loop.consumer.listener is None
    loop.consumer.topic = UUID(int=7)
    loop.step()
    assert loop.consumer.listener is loop.assignment


def test_a_claimed_partition_is_read_from_where_the_database_says(loop):
    (one,) = loop.begin(AT[0], at=5)
    assert one.status is PartitionStatus.READY
    assert (loop.consumer.sought[-1], loop.consumer.paused) == (5, set())
    assert loop.worker.partitions == [one]


def test_a_first_start_is_stored_before_anything_is_read(loop):
    loop.begin(AT[0], at=None)
    one, start = loop.claims.asked[-1]
    assert start == Start(0)
    assert (one.status, loop.worker.partitions) == (PartitionStatus.CLAIMING, [])
    loop.answer(Claim(1, 0))
    assert one.status is PartitionStatus.READY


def test_an_answer_about_a_partition_that_is_gone_is_nothing(loop):
    loop.step()
    loop.assign(AT[0])
    loop.step()
    asyncio.run(loop.assignment.on_partitions_lost(AT[:1]))
    loop.answer(Claim(1, 5))
    assert loop.worker.partitions == []


def test_a_partition_that_leaves_while_kafka_is_asked_is_not_begun(loop, monkeypatch):
    def leaving(consumer: Any, assigned: AssignedPartition, *_: Any) -> Start:
        assigned.leave()
        return Start(5)

    monkeypatch.setattr(module, "find_start", leaving)
    loop.begin(AT[0])
    assert loop.worker.partitions == []
    assert loop.consumer.paused == {AT[0]}


def test_records_reach_the_buffer_and_wake_the_worker(loop):
    (one,) = loop.begin(AT[0])
    loop.step({AT[0]: records(5, 6)})
    assert (offsets(one), loop.worker.notified) == ([5, 6], 1)
    loop.step({AT[1]: records(0)})  # not assigned any more
    assert len(loop.table) == 1


def test_an_error_about_one_partition_holds_it_and_no_other(loop):
    one, two = loop.begin(*AT)

    def failing(*_: Any, **__: Any) -> Any:
        raise kafka_errors.KafkaTimeoutError("no answer in 5 s")

    loop.step({AT[0]: records(9)})
    loop.consumer.beginning_offsets = failing
    loop.step({AT[0]: records(9), AT[1]: records(5)})
    assert (offsets(one), offsets(two)) == ([], [5])
    assert loop.consumer.paused == {AT[0]}
    assert loop.codes == [("in[0]", "broker_unavailable")]
    del loop.consumer.beginning_offsets
    loop.step({AT[0]: records(9)})
    assert offsets(one) == [9]
    assert loop.codes[1:] == [("in[0]", None)]


def test_a_right_that_is_missing_is_raised(loop, monkeypatch):
    def refused(*_: Any) -> Start:
        raise kafka_errors.TopicAuthorizationFailedError({"in"})

    monkeypatch.setattr(module, "find_start", refused)
    with pytest.raises(kafka_errors.TopicAuthorizationFailedError):
        loop.begin(AT[0])


def test_kafka_is_asked_again_where_a_claimed_partition_begins(loop, monkeypatch):
    asked: list[AssignedPartition] = []

    def once(consumer: Any, assigned: AssignedPartition, *_: Any) -> Start:
        asked.append(assigned)
        if len(asked) == 1:
            raise kafka_errors.KafkaTimeoutError("no answer")
        return Start(5)

    monkeypatch.setattr(module, "find_start", once)
    monkeypatch.setattr(Outage, "record_failure", lambda *_: 0.0)
    (one,) = loop.begin(AT[0])
    loop.step()
    assert asked == [one, one]
    assert one.status is PartitionStatus.READY


def test_an_account_that_stands_where_it_was_left_goes_on(loop):
    (one,) = loop.begin(AT[0])
    for _ in range(2):
        one.doubt()
        loop.step()
        loop.step()
        assert loop.claims.asked == [(one, None)]  # once per doubt
        loop.answer(Claim(1, 5))
        assert one.status is PartitionStatus.READY


def test_a_commit_whose_answer_was_lost_is_taken_over(loop):
    (one,) = loop.begin(AT[0])
    loop.step({AT[0]: records(5, 6, 7)})
    one.doubt()
    loop.step()
    loop.answer(Claim(1, 7))
    assert (offsets(one), one.stored, one.status) == ([7], 7, PartitionStatus.READY)


@pytest.mark.parametrize("claim", [Claim(2, 9), None])
def test_an_account_that_is_anothers_is_claimed_again_after_a_heartbeat(loop, claim):
    (one,) = loop.begin(AT[0])
    loop.step({AT[0]: records(5)})
    one.doubt()
    loop.step()
    loop.answer(claim)
    assert (one.status.value, one.buffered, loop.worker.partitions) == ("lost", 0, [])
    loop.step()
    assert one.status.value == "lost"  # does the group still give it to us?
    loop.consumer.heartbeat_at = time.monotonic() + 1
    loop.step()
    loop.step()
    (again,) = loop.table
    assert one.status.value == "gone"
    assert (again.status, loop.claims.asked) == (PartitionStatus.CLAIMING, [(again, None)])


def test_an_account_that_was_set_back_is_claimed_again(loop):
    """As by a restore of the database."""
    (one,) = loop.begin(AT[0])
    one.doubt()
    loop.step()
    loop.answer(Claim(1, 3))
    assert one.status is PartitionStatus.GONE
    loop.step()
    assert loop.claims.asked[-1][0] is loop.table.get(AT[0])


def test_a_recreated_topic_begins_again(loop, monkeypatch, caplog):
    monkeypatch.setattr(module, "HOUSEKEEPING_SECONDS", 0.0)
    (one,) = loop.begin(AT[0])
    loop.consumer.topic = UUID(int=99)
    for _ in range(3):
        loop.step()
    (again,) = loop.table
    assert one.status is PartitionStatus.GONE
    assert again.topic_id == UUID(int=99)
    assert "the topic was recreated" in caplog.text


def test_an_offset_out_of_range_is_read_on_from_where_the_log_begins(loop, monkeypatch, caplog):
    (one,) = loop.begin(AT[0])
    monkeypatch.setattr(internals, "refreshed", lambda *_: None)
    loop.consumer.begin = 8
    loop.step(kafka_errors.OffsetOutOfRangeError({AT[0]: 5}))
    assert (one.fetched, loop.consumer.sought[-1]) == (8, 8)
    assert "3 records are lost" in caplog.text


def test_a_log_that_the_broker_cannot_read_is_asked_for_later(loop):
    loop.begin(AT[0])
    error = kafka_errors.CorruptRecordError()
    error.partition = AT[0]
    loop.step(error)
    assert loop.consumer.paused == {AT[0]}
    assert loop.codes == [("reading in[0]", "unreadable")]


def test_damage_is_still_shown_when_the_broker_answers_about_the_partition_again(loop, monkeypatch):
    loop.begin(AT[0])
    damaged = [FetchedRecord(5, 5, -1, None, b"raw", unreadable="checksum", retry=True)]
    loop.step({AT[0]: damaged})

    def failing(*_: Any, **__: Any) -> Any:
        raise kafka_errors.KafkaTimeoutError("no answer in 5 s")

    with monkeypatch.context() as patch:
        patch.setattr(loop.consumer, "beginning_offsets", failing)
        for _ in range(2):
            loop.step({AT[0]: records(9)})
    loop.step({AT[0]: damaged})
    assert dict(loop.codes) == {"reading in[0]": "unreadable", "in[0]": None}


def test_a_partition_that_goes_takes_its_outage_along(loop, monkeypatch, caplog):
    """Another bridge reads it from now on, so this one is not paused by it."""
    monkeypatch.setattr(module, "HOUSEKEEPING_SECONDS", 0.0)
    loop.begin(*AT)

    def failing(*_: Any, **__: Any) -> Any:
        raise kafka_errors.KafkaTimeoutError("no answer in 5 s")

    loop.consumer.beginning_offsets = failing
    for _ in range(2):
        loop.step({AT[0]: records(9)})
    error = kafka_errors.CorruptRecordError()
    error.partition = AT[1]
    loop.step(error)
    assert loop.codes == [("in[0]", "broker_unavailable"), ("reading in[1]", "unreadable")]
    asyncio.run(loop.assignment.on_partitions_revoked(AT))
    loop.step()
    assert loop.codes[2:] == [("in[0]", None), ("reading in[1]", None)]
    assert "works again" not in caplog.text
