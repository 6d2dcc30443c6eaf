"""The bridge's parts against a real database and real brokers, in this process."""

from __future__ import annotations

import threading
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import pytest
from kafka import TopicPartition
from sqlalchemy import text

from consumers import preflight
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.outbox_publisher import Outlet, Publisher
from consumers.partition import AssignedPartition
from consumers.polling.claims import Claims, Start
from consumers.replay import Message, dead_letters
from consumers.sending import Sending
from consumers.store import BatchCommit, BridgeStore, FencedError
from consumers.stream_cache import StreamCache
from db.encoding import encode_headers
from db.queries.dead_letters import DeadLetterFilter
from db.queries.offsets import Claim, OffsetAdvance
from db.queries.outbox import OutboxMessage
from errors import AnomalyError, BrokerUnavailable, StorageUnavailable, Unavailable
from tests.fixtures.waiting import wait_until

TOPIC = UUID(int=1)


def test_claim_fences_every_earlier_epoch(engine):
    old, new = BridgeStore(engine, "old"), BridgeStore(engine, "new")
    first = old.claim(TOPIC, 0, "in")
    second = new.claim(TOPIC, 0, "in")
    assert (first.next_offset, second.epoch) == (None, first.epoch + 1)
    with pytest.raises(FencedError):
        old.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, first.epoch, None, 5)]))
    new.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, second.epoch, None, 5)]))
    with pytest.raises(FencedError):
        new.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, second.epoch, None, 7)]))
    new.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, second.epoch, 5, 7)]))
    claim = new.read_claim(TOPIC, 0)
    assert claim is not None
    assert claim.next_offset == 7


def test_lost_claim_of_one_partition_stores_nothing_of_the_batch(engine):
    store = BridgeStore(engine, "one")
    mine = store.claim(TOPIC, 0, "in")
    batch = BatchCommit(
        moves=[OffsetAdvance(TOPIC, 0, mine.epoch, None, 1), OffsetAdvance(TOPIC, 1, 9, None, 1)],
        dead_letters=[letter(0)],
    )
    with pytest.raises(FencedError):
        store.commit(batch)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one() == 0


def test_topic_of_the_same_name_made_anew_is_known(engine):
    store = BridgeStore(engine, "one")
    store.claim(TOPIC, 0, "in")
    assert not store.replaces(TOPIC, "in")
    assert store.replaces(UUID(int=2), "in")
    assert not store.replaces(UUID(int=2), "other")


def test_a_loss_is_said_once_however_often_the_group_gives_the_partition(engine, caplog):
    store, metrics = BridgeStore(engine, "one"), Metrics()
    claims = Claims(store, Outage("database", lambda *_: None), metrics)
    claims.start()

    def ask(assigned: AssignedPartition, start: Start | None = None) -> Claim:
        claims.ask(assigned, start)
        ((same, claim, _),) = wait_until(claims.answers, "an answer")
        assert same is assigned
        assert claim is not None
        assigned.set_claim(claim)
        return claim

    first, second = (
        AssignedPartition(TopicPartition("in", 0), TOPIC, StreamCache()) for _ in range(2)
    )
    start = Start(7, lost=(0, 7))
    ask(first)
    ask(second)  # the group gives it once more
    assert ask(first, start).epoch == 3  # too late for its account: nothing logged, claimed again
    assert ask(second, start).epoch == 4
    assert ask(second, start).next_offset == 7
    assert ask(second).next_offset == 7
    claims.stop()
    assert caplog.text.count("7 records are lost") == 1
    assert metrics.registry.get_sample_value("bridge_records_lost_total") == 7


def letter(
    offset: int, reason: str = "not_json", asset: str | None = None, **changes: Any
) -> dict[str, Any]:
    return {
        "id": uuid4(), "topic_id": TOPIC, "partition": 0, "source_offset": offset, "topic": "in",
        "reason": reason, "message": "no", "key": b"k", "value": b"\x00\xff", "asset_id": asset,
        "headers": encode_headers([("h", None), ("h", b"\x00")]), **changes,
    }  # fmt: skip


def test_dead_letters_are_chosen_by_reason_and_asset(engine):
    store = BridgeStore(engine, "one")
    letters = [letter(n, asset=f"A{n % 2}") for n in range(6)]
    letters += [letter(6, "duplicate"), letter(7, "no_group", "A0"), letter(8, topic="other")]
    store.commit(BatchCommit(dead_letters=letters))
    found = list(dead_letters(engine, DeadLetterFilter("in")))
    assert len(found) == 7
    assert found[0] == Message(b"k", b"\x00\xff", [("h", None), ("h", b"\x00")], None)
    assert len(list(dead_letters(engine, DeadLetterFilter("in", reason="no_group")))) == 1
    assert len(list(dead_letters(engine, DeadLetterFilter("in", asset_id="A1")))) == 3
    assert len(list(islice(dead_letters(engine, DeadLetterFilter("in")), 2))) == 2


class FakeFuture:
    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def get(self, timeout):
        if self._error:
            raise self._error


class FakeProducer:
    """Takes messages; fails as told."""

    def __init__(self, failures: list[Exception | None]) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self._failures = failures

    def send(self, topic, key, value, headers, timestamp_ms):
        error = self._failures.pop(0) if self._failures else None
        if error is None:
            self.sent.append((topic, value))
        return FakeFuture(error)

    def partitions_for(self, topic):
        return {0}

    def flush(self, timeout):
        pass

    def close(self, timeout):
        pass


def publisher(
    store: BridgeStore,
    producer: FakeProducer,
    metrics: Metrics,
    store_outage: Outage | None = None,
) -> Publisher:
    quiet = Outage("publishing", lambda *_: None)
    outlet = Outlet("out", lambda: [(TOPIC, 0)], lambda: [], age=3600.0)
    sending = Sending(lambda **_: producer)
    return Publisher(store, sending, outlet, metrics, quiet, store_outage or quiet)


class LongTrouble(Outage):
    """Asks for an hour."""

    def __init__(self) -> None:
        super().__init__("database", lambda *_: None)
        self.asked = threading.Event()

    def record_failure(self, error: AnomalyError, asked: float = 0.0) -> float:
        self.asked.set()
        return 3600.0


def waiting(store: BridgeStore, number: int) -> None:
    rows = [
        {"topic_id": TOPIC, "partition": 0, "target_topic": "out", "value": b"%d" % n}
        for n in range(number)
    ]
    store.commit(BatchCommit(outbox=rows))


def test_outbox_is_published_in_order_and_only_what_failed_is_sent_again(engine):
    from kafka.errors import NotLeaderForPartitionError

    store = BridgeStore(engine, "one")
    waiting(store, 3)
    producer = FakeProducer([None, None, NotLeaderForPartitionError()])
    part = publisher(store, producer, Metrics())
    part.start()
    part.notify()
    wait_until(lambda: store.outbox_size() == 0, "all published")
    part.stop(5)
    assert [value for _, value in producer.sent] == [b"0", b"1", b"2"]


def test_a_commit_ends_the_wait_for_the_database(engine, monkeypatch):
    """The publisher's back-off may be long by then; what a batch stored is published at once."""
    store, outage = BridgeStore(engine, "one"), LongTrouble()
    failures = [StorageUnavailable("away")]

    def failing(*_: Any) -> list[OutboxMessage]:
        if failures:
            raise failures.pop()
        return BridgeStore.waiting(store, [(TOPIC, 0)], "out", 0, 10)

    monkeypatch.setattr(store, "waiting", failing)
    part = publisher(store, FakeProducer([]), Metrics(), outage)
    part.start()
    assert outage.asked.wait(20)
    waiting(store, 1)
    part.notify()
    wait_until(lambda: store.outbox_size() == 0, "published")
    part.stop(5)


def test_message_too_large_leaves_the_outbox_and_is_said(engine, caplog):
    from kafka.errors import MessageSizeTooLargeError

    store, metrics = BridgeStore(engine, "one"), Metrics()
    waiting(store, 2)
    part = publisher(
        store, FakeProducer([MessageSizeTooLargeError(), None, MessageSizeTooLargeError()]), metrics
    )
    part.start()
    part.notify()
    wait_until(lambda: store.outbox_size() == 0, "the outbox is empty")
    part.stop(5)
    assert "cannot be published to out: " in caplog.text
    assert metrics.registry.get_sample_value("bridge_unpublishable_total") == 1


def test_orphans_of_a_topic_made_anew_are_found_and_locked(engine):
    store = BridgeStore(engine, "one")
    store.claim(TOPIC, 0, "in")
    waiting(store, 2)
    assert store.orphans("in", UUID(int=2), 3600) == [(TOPIC, 0)]
    assert store.orphans("in", TOPIC, 3600) == []
    inside = threading.Event()
    seen: list[OutboxMessage] = []

    def slowly(messages):
        inside.set()
        seen.extend(store.publish_orphans([(TOPIC, 0)], "out", 0, 10, lambda found: []))
        return [message.id for message in messages]

    assert len(store.publish_orphans([(TOPIC, 0)], "out", 0, 10, slowly)) == 2
    assert inside.is_set()
    assert seen == []
    assert store.outbox_size() == 0


def test_messages_of_a_topic_that_is_gone_are_anyones_once_nothing_has_moved_for_long(engine):
    """Its name was changed in the settings, or it was deleted: no bridge owns it any more."""
    store = BridgeStore(engine, "one")
    store.claim(TOPIC, 0, "another")
    waiting(store, 2)
    for current in (UUID(int=2), None):
        assert store.orphans("in", current, 3600) == []
    aged = "UPDATE {} SET {} = now() - interval '2 hours'"
    with engine.begin() as connection:
        connection.execute(text(aged.format("outbox", "created_at")))
    assert store.orphans("in", None, 3600) == []  # its account still moves
    with engine.begin() as connection:
        connection.execute(text(aged.format("source_offsets", "updated_at")))
    for current in (UUID(int=2), None):
        assert store.orphans("in", current, 3600) == [(TOPIC, 0)]
    assert store.orphans("in", TOPIC, 3600) == []  # it is ours: drained as every partition of ours


def test_check_names_each_and_counts_failures(engine):
    said: list[str] = []

    def broken():
        raise BrokerUnavailable("Kafka at nowhere: refused")

    probes = [("database", lambda: preflight.probe_database(lambda: engine)), ("broker", broken)]
    assert preflight.run(probes, said.append) == 1
    assert said[0].startswith("database  ok      PostgreSQL")
    assert said[1] == "broker    FAILED  Kafka at nowhere: refused"
    assert preflight.run(probes[:1], said.append) == 0


def test_retry_after_of_the_service_is_kept():
    assert Outage("x", lambda *_: None).record_failure(Unavailable("busy"), asked=3.0) == 3.0


def test_criticalities_of_more_assets_than_are_kept(engine):
    store = BridgeStore(engine, "one")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO assets VALUES ('A7', 'critical'), ('A99999', 'low')"))
    for first in (0, 40_000, 80_000, 0):  # known ones and new ones, past the bound and again
        wanted = {f"A{number}" for number in range(first, first + 60_000)}
        found = store.criticalities(wanted)
        assert found.keys() == wanted
        assert found.get("A7", "critical") == "critical"
        assert found.get("A99999", "low") == "low"
