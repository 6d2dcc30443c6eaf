"""Messages to the broker are settled one by one: what one of them meets costs no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from kafka import errors as kafka_errors

from consumers.sending import Sending, reason
from db.queries.outbox import OutboxMessage
from errors import SettingsError
from tests.fixtures.producer import FakeFuture, FakeProducer


def message(number: int, topic: str = "out", key: bytes | None = b"k") -> OutboxMessage:
    return OutboxMessage(number, UUID(int=1), 0, number, topic, key, b"%d" % number, [])


def one_after_the_other(*producers: FakeProducer) -> Callable[..., FakeProducer]:
    """What makes these producers, and notes the options each was made with."""
    left = list(producers)

    def make(**options: Any) -> FakeProducer:
        made = left.pop(0)
        made.options = options
        return made

    return make


def test_what_is_too_large_costs_the_others_nothing():
    producer = FakeProducer()
    producer.raises[b"2"] = kafka_errors.MessageSizeTooLargeError("3 MB")
    settled = Sending(lambda: producer).send([message(n) for n in (1, 2, 3)])
    assert settled.acknowledged == [1, 3]
    assert settled.never == {2: "[Error 10] MessageSizeTooLargeError: 3 MB"}
    assert (settled.refused, settled.closed, settled.failure) == ({}, {}, None)
    assert not producer.closed


def test_what_is_never_taken_does_not_wait_for_a_topic_that_closes():
    producer = FakeProducer(kafka_errors.TopicAuthorizationFailedError())
    producer.raises[b"1"] = kafka_errors.MessageSizeTooLargeError("3 MB")
    settled = Sending(lambda: producer).send([message(1), message(2)])
    assert (set(settled.never), set(settled.refused)) == ({1}, {2})


def test_those_that_were_refused_together_are_sent_again_each_for_itself():
    """An idempotent producer fails all that follow a refused batch."""
    bare = kafka_errors.KafkaError("came along")
    together = FakeProducer(kafka_errors.InvalidRecordError("no key"), bare, bare)
    singly = FakeProducer(None, kafka_errors.PolicyViolationError("too old"), bare)
    sending = Sending(one_after_the_other(together, singly))
    settled = sending.send([message(1, key=None), message(2), message(3)])
    assert singly.options == {
        "enable_idempotence": False, "max_in_flight_requests_per_connection": 1,
    }  # fmt: skip
    assert settled.acknowledged == [2]  # those with a key go first
    assert settled.refused == {
        3: "rejects records ([Error 44] PolicyViolationError: too old)",
        1: "rejects records without a key (is it compacted?)",
    }
    assert settled.failure is None
    assert together.closed
    assert singly.closed  # the next messages are sent by an idempotent one again


@pytest.mark.parametrize(
    ("error", "answers", "why"),
    [
        (kafka_errors.TopicAuthorizationFailedError(), True, "cannot be written with this login"),
        (kafka_errors.KafkaTimeoutError("metadata"), True, "does not exist"),
    ],
)
def test_a_topic_that_takes_nothing_is_closed_and_another_is_not(
    error: Exception, answers: bool, why: str
):
    first, second = FakeProducer(), FakeProducer()
    first.unknown["out"], first.answers = error, answers
    sending = Sending(one_after_the_other(first, second))
    settled = sending.send([message(1), message(2, "other"), message(3)])
    assert settled.closed["out"].startswith(why)
    assert settled.refused.keys() == {1, 3}
    assert settled.acknowledged == [2]
    assert settled.failure is None


def test_a_topic_deleted_meanwhile_is_closed_and_what_was_acknowledged_stays_so():
    class Deleted(FakeProducer):
        """Whose topic goes after the first message."""

        def send(self, topic: str, **given: Any) -> FakeFuture:  # type: ignore[override]
            if self.sent:
                self.unknown[topic] = ValueError("gone")
                raise ValueError("no partition")
            return super().send(topic, **given)

    settled = Sending(Deleted).send([message(1), message(2), message(3)])
    assert settled.closed == {"out": "does not exist"}
    assert settled.acknowledged == [1]
    assert settled.refused.keys() == {2, 3}
    assert settled.never == {}


def test_a_broker_that_does_not_answer_is_asked_about_no_other_topic():
    producer = FakeProducer()
    producer.unknown["out"], producer.answers = kafka_errors.KafkaTimeoutError("metadata"), False
    producer.unknown["other"] = kafka_errors.TopicAuthorizationFailedError()  # if it were asked
    settled = Sending(lambda: producer).send([message(1), message(2, "other")])
    assert settled.failure is not None
    assert settled.failure.message.startswith("publishing to out: ")
    assert (settled.acknowledged, settled.closed, producer.sent) == ([], {}, [])
    assert producer.closed


def test_what_a_new_producer_was_answered_tells_nothing_of_the_topic():
    """A broker that is being stopped may answer that, and then no more."""

    class Connected(FakeProducer):
        def __init__(self) -> None:
            super().__init__()
            self.unknown["out"] = kafka_errors.KafkaTimeoutError("metadata")
            self.connected = time.monotonic()

        @property
        def _last_successful_refresh_ms(self) -> float:
            return self.connected * 1000

    settled = Sending(Connected).send([message(1)])
    assert settled.closed == {}
    assert settled.failure is not None


def test_a_lost_answer_fails_the_rest_and_keeps_what_was_acknowledged():
    lost = kafka_errors.KafkaTimeoutError("30 s")
    producer = FakeProducer(None, lost, None)
    settled = Sending(lambda: producer).send([message(n) for n in (1, 2, 3)])
    assert settled.acknowledged == [1, 3]
    assert settled.failure is not None
    assert (settled.never, settled.refused) == ({}, {})
    assert producer.closed  # what it still holds must not be sent behind our back


def test_a_login_that_is_taken_back_is_an_outage_not_the_end():
    def make() -> FakeProducer:
        raise SettingsError("refused the login", code="broker_refused")

    settled = Sending(make).send([message(1)])
    assert settled.failure is not None
    assert (settled.failure.code, settled.failure.retriable) == ("broker_refused", True)


def test_reasons_are_put_into_words():
    assert reason(kafka_errors.UnknownTopicOrPartitionError()) == "does not exist"
    assert reason(ConnectionError()) == "ConnectionError"


def test_a_login_lost_between_two_tries_keeps_what_was_acknowledged():
    producers = [FakeProducer(None, kafka_errors.InvalidRecordError("too old"))]

    def make(**_: Any) -> FakeProducer:
        if not producers:
            raise SettingsError("rejected", code="broker_refused")
        return producers.pop()

    settled = Sending(make).send([message(1), message(2)])
    assert settled.acknowledged == [1]
    assert settled.failure is not None
    assert settled.failure.code == "broker_refused"
