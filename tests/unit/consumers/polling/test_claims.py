"""Where a claimed partition begins: by the database, then the group, then the policy."""

from __future__ import annotations

from uuid import UUID

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from consumers.broker.internals import BRIDGE_METADATA
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition, EarlierTopic
from consumers.polling.claims import Claims, Start, find_start
from consumers.store import BridgeStore
from consumers.stream_cache import StreamCache
from db.queries.offsets import Claim
from tests.fixtures.partitions import FakeConsumer, FakeRecord, claiming
from tests.fixtures.settings import SETTINGS
from tests.fixtures.waiting import wait_until

TOPIC = UUID(int=1)


@pytest.mark.parametrize(
    ("stored", "committed", "replaces", "reset", "start"),
    [
        (7, 3, False, "latest", 7),
        (None, 3, False, "latest", 3),
        (None, None, False, "latest", 10),
        (None, None, False, "earliest", 2),
        (None, 8, True, "latest", 2),
    ],
)
def test_start_is_the_databases_then_the_groups_then_by_policy(
    stored, committed, replaces, reset, start
):
    consumer = FakeConsumer(2, 10, committed)
    assert find_start(consumer, claiming(stored=stored), replaces, reset, 1.0) == Start(start)


@pytest.mark.parametrize(("stored", "committed"), [(0, None), (None, 0)])
def test_start_below_the_log_is_lost(stored, committed):
    consumer = FakeConsumer(2, 10, committed)
    start = find_start(consumer, claiming(stored=stored), False, "earliest", 1.0)
    assert start == Start(2, lost=(0, 2))


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_an_offset_that_only_a_bridge_committed_to_the_group_is_no_start(reset, caplog):
    """The database was restored from a dump that does not know the partition yet."""
    consumer = FakeConsumer(2, 10, OffsetAndMetadata(8, BRIDGE_METADATA, -1))
    assert find_start(consumer, claiming(), False, reset, 1.0) == Start(2)
    assert "has no offset of the partition" in caplog.text


def test_what_a_deleted_topic_still_held_is_logged_with_the_first_start_of_the_new_one(
    engine, caplog
):
    store, metrics = BridgeStore(engine, "one", SETTINGS), Metrics()
    claims = Claims(store, Outage("database", lambda *_: None), metrics)
    claims.start()
    at = TopicPartition("in", 0)

    def begin(assigned: AssignedPartition, offset: int) -> None:
        for start in (None, Start(offset)):
            claims.ask(assigned, start)
            ((_, claim, _),) = wait_until(claims.answers, "an answer")
            assigned.set_claim(claim)
        assigned.begin(offset)

    old = AssignedPartition(at, TOPIC, StreamCache())
    begin(old, 5)
    old.extend([FakeRecord(offset, b"{}") for offset in range(5, 9)], 9, 0.0)
    begin(AssignedPartition(at, UUID(int=2), StreamCache(), old.known), 0)
    assert "offsets 5 to 8 of the earlier one were stored: at least 4 records" in caplog.text
    assert metrics.lost._value.get() == 4
    caplog.clear()
    stored = EarlierTopic(TOPIC, 3, 5)  # another bridge stored what this one had not
    begin(AssignedPartition(at, UUID(int=3), StreamCache(), stored), 0)
    assert "lost" not in caplog.text
    claims.stop(5)


def test_a_loss_is_logged_once_however_often_the_group_gives_the_partition(engine, caplog):
    store, metrics = BridgeStore(engine, "one", SETTINGS), Metrics()
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
