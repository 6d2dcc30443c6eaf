"""What is stored is published at least once, in order, past what its topic refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from kafka import errors as kafka_errors
from sqlalchemy import Engine, text

from consumers import outbox_publisher
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.outbox_publisher import Outlet, Publisher
from consumers.sending import Sending
from consumers.store import BatchCommit, BridgeStore
from db.queries import outbox
from db.queries.copy import add_outbox
from db.queries.outbox import INCIDENT_SOURCE, OutboxMessage
from errors import AnomalyError, StorageUnavailable
from tests.fixtures.producer import FakeProducer
from tests.fixtures.settings import SETTINGS
from tests.fixtures.waiting import wait_until

TOPIC = UUID(int=1)


class LongTrouble(Outage):
    """Asks for an hour."""

    def __init__(self) -> None:
        super().__init__("database", lambda *_: None)
        self.asked = threading.Event()

    def record_failure(
        self, error: AnomalyError, asked: float = 0.0, *, writing: bool = False
    ) -> float:
        self.asked.set()
        return 3600.0


class Publishing:
    """A publisher of one partition, on a store in which a test puts what waits."""

    def __init__(
        self,
        engine: Engine,
        producer: FakeProducer,
        *,
        store_outage: Outage | None = None,
        age: float = 3600.0,
        sources: tuple[tuple[UUID, int], ...] = ((TOPIC, 0),),
    ) -> None:
        self.store, self.metrics = BridgeStore(engine, "one", SETTINGS), Metrics()
        self.producer = producer
        self.codes: list[str | None] = []
        quiet = Outage("publishing", lambda _, code: self.codes.append(code))
        outlet = Outlet("out", lambda: sources, lambda: [INCIDENT_SOURCE], age)
        sending = Sending(lambda **_: self.producer)
        self.publisher = Publisher(
            self.store, sending, outlet, self.metrics, quiet, store_outage or quiet
        )

    def put(self, *values: bytes, source: tuple[UUID, int] = (TOPIC, 0)) -> None:
        self.store.commit(BatchCommit(outbox=[self.row(value, source) for value in values]))

    def row(self, value: bytes, source: tuple[UUID, int] = (TOPIC, 0)) -> dict[str, Any]:
        topic_id, partition = source
        return {
            "topic_id": topic_id, "partition": partition, "target_topic": "out", "value": value
        }  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[None]:
        if not self.publisher.is_alive():
            self.publisher.start()
        self.publisher.notify()
        yield
        self.publisher.stop(30)
        assert not self.publisher.is_alive()
        assert not self.publisher.died

    def until_waiting(self, number: int) -> None:
        wait_until(lambda: self.store.run(outbox.outbox_size) == number, f"{number} wait")

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def test_the_outbox_is_published_in_order_and_only_what_failed_is_sent_again(engine: Engine):
    lost = kafka_errors.NotLeaderForPartitionError()
    part = Publishing(engine, FakeProducer(None, None, lost))
    part.put(b"0", b"1", b"2")
    with part.running():
        part.until_waiting(0)
        wait_until(lambda: part.publisher.idle, "nothing is left to do")
    assert part.producer.sent == [("out", b"0"), ("out", b"1"), ("out", b"2")]
    assert part.value("bridge_published_total", topic="out") == 3
    assert part.codes == ["broker_unavailable", None]
    assert not part.publisher.refused


def test_a_commit_ends_the_wait_for_the_database(engine: Engine, monkeypatch):
    """The publisher's back-off may be long by then; what a batch stored is published at once."""
    outage = LongTrouble()
    part = Publishing(engine, FakeProducer(), store_outage=outage)
    failures = [StorageUnavailable("away")]

    def failing(*_: Any) -> list[OutboxMessage]:
        if failures:
            raise failures.pop()
        return BridgeStore.waiting(part.store, [(TOPIC, 0)], "out", 0, 10)

    monkeypatch.setattr(part.store, "waiting", failing)
    with part.running():
        assert outage.asked.wait(20)
        part.put(b"0")
        part.publisher.notify()
        part.until_waiting(0)


def test_a_message_too_large_leaves_the_outbox_and_is_logged(engine: Engine, caplog):
    too_large = kafka_errors.MessageSizeTooLargeError()
    part = Publishing(engine, FakeProducer(too_large, None, too_large))
    part.put(b"0", b"1")
    with part.running():
        part.until_waiting(0)
    assert "cannot be published to out: " in caplog.text
    assert part.value("bridge_unpublishable_total") == 1
    assert part.producer.sent == [("out", b"1")]  # its row is gone: it is not tried again


def test_messages_that_a_topic_rejects_alike_are_one_line(caplog):
    """Its limit is too small for any: a thousand lines would hide the rest of the log."""
    found = [
        OutboxMessage(n, TOPIC, 2, None if n == 0 else n, "out", b"key", b"{}", [])
        for n in range(1000)
    ]
    never = {n: "it is larger than the topic allows" for n in range(1000) if n != 1}
    never[999] = "another reason"
    outbox_publisher.log_unpublishable(found, never)
    many, one = caplog.messages
    assert many.startswith("incident key, record 2 of partition 2, record 3 of partition 2, ")
    assert "record 5 of partition 2 and 993 more cannot be published to out: it is larger" in many
    assert one.startswith("record 999 of partition 2 cannot be published to out: another reason;")


@pytest.mark.slow
def test_a_refused_message_waits_and_the_others_pass_it_by(engine: Engine, monkeypatch):
    monkeypatch.setattr(outbox_publisher, "REFUSED_AGAIN", 0.0)
    refused = kafka_errors.InvalidRecordError("no key")
    part = Publishing(engine, FakeProducer(refused, None, refused))
    part.put(b"refused", b"1")
    with part.running():
        part.until_waiting(0)  # once its topic takes it
    assert part.producer.sent == [("out", b"1"), ("out", b"refused")]
    assert part.value("bridge_topic_refuses", topic="out") == 0
    assert not part.publisher.refused


def test_what_is_stored_later_with_a_lower_id_passes_a_refused_message_by(engine: Engine):
    refused = kafka_errors.InvalidRecordError("no key")
    part = Publishing(engine, FakeProducer(refused, refused))
    with engine.begin() as another:  # a batch that takes longer to store
        add_outbox(another, [part.row(b"late")])
        part.put(b"refused")
        part.publisher.start()
        wait_until(lambda: part.publisher.refused and part.publisher.idle, "it is refused")
    with part.running():
        part.until_waiting(1)
    assert part.producer.sent == [("out", b"late")]


def test_what_failed_beside_a_refused_message_is_sent_again_at_once(engine: Engine):
    refused, lost = kafka_errors.InvalidRecordError(), kafka_errors.NotLeaderForPartitionError()
    part = Publishing(engine, FakeProducer(refused, refused, lost, refused))
    part.put(b"lost", b"refused")
    with part.running():
        part.until_waiting(1)
    assert part.producer.sent == [("out", b"lost")]


def test_of_many_refused_messages_the_last_are_skipped_one_by_one(engine: Engine, monkeypatch):
    monkeypatch.setattr(outbox_publisher, "CHUNK", 2)
    refused = kafka_errors.InvalidRecordError("no key")
    part = Publishing(engine, FakeProducer(*[refused] * 9, None, refused))
    part.put(*(b"%d" % n for n in range(5)), b"last")
    with part.running():
        part.until_waiting(5)
        assert part.publisher.refused
    assert part.producer.sent == [("out", b"last")]


@pytest.mark.slow
def test_what_its_topic_refuses_waits_without_pausing_the_bridge(engine: Engine):
    part = Publishing(engine, FakeProducer())
    part.producer.unknown["out"] = kafka_errors.TopicAuthorizationFailedError()
    part.put(b"0", b"1")
    with part.running():
        wait_until(lambda: part.publisher.refused, "the topic refuses")
        assert part.value("bridge_topic_refuses", topic="out") == 1
        part.until_waiting(2)
        part.producer.unknown.clear()
        part.until_waiting(0)
    assert part.codes == []


def test_what_was_refused_for_too_long_is_given_up_and_logged(engine: Engine, caplog):
    part = Publishing(engine, FakeProducer(), age=60.0)
    part.producer.unknown["out"] = kafka_errors.TopicAuthorizationFailedError()
    part.put(b"old", b"new")
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE outbox SET created_at = now() - interval '2 minutes' WHERE value = 'old'")
        )
    with part.running():
        part.until_waiting(1)
        wait_until(lambda: part.value("bridge_outbox_expired_total", topic="out"), "counted")
    assert "1 messages to out waited for more than" in caplog.text
    assert part.producer.sent == []


@pytest.mark.parametrize("owned", [True, False])
def test_messages_without_an_owner_are_published_too(engine: Engine, owned: bool):
    part = Publishing(engine, FakeProducer(), sources=((TOPIC, 0),) if owned else ())
    part.put(b"incident", source=INCIDENT_SOURCE)
    part.put(b"reading")
    with part.running():
        part.until_waiting(0 if owned else 1)
    assert ("out", b"incident") in part.producer.sent
    assert (("out", b"reading") in part.producer.sent) == owned


def test_stopping_publishes_what_waits_chunk_by_chunk(engine: Engine, monkeypatch):
    monkeypatch.setattr(outbox_publisher, "CHUNK", 2)
    part = Publishing(engine, FakeProducer())
    part.publisher.start()
    part.put(*(b"%d" % n for n in range(7)))
    part.publisher.notify()
    part.publisher.stop(30)
    assert part.store.run(outbox.outbox_size) == 0
    assert part.producer.closed
