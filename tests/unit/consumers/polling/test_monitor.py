"""The monitor logs what changes once, measures, and tells Kafka's lag monitors where we are."""

from __future__ import annotations

import logging
import time
from uuid import UUID

import pytest

from consumers.broker.internals import BRIDGE_METADATA
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.polling import monitor as module
from consumers.polling.monitor import ConsumerMonitor
from consumers.stream_cache import CachedStream, UnkeyedStreams
from tests.fixtures.partitions import FakeConsumer, FakeRecord, claiming, ready
from tests.fixtures.settings import given


class Observed:
    """A monitor with all that it looks at."""

    def __init__(self) -> None:
        self.consumer = FakeConsumer(end=10)
        self.metrics = Metrics()
        self.codes: list[str | None] = []
        self.unkeyed = UnkeyedStreams(3600)
        outage = Outage("broker", lambda _, code: self.codes.append(code))
        settings = given(kafka_topic_input_features="in", bridge_silent_s=60)
        self.monitor = ConsumerMonitor(self.consumer, self.metrics, outage, self.unkeyed, settings)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def observed() -> Observed:
    return Observed()


def test_no_connection_for_a_while_is_an_outage_until_there_is_one(observed, monkeypatch):
    observed.consumer.connected = False
    observed.monitor.observe([])
    assert observed.codes == []  # a connection may be made again at once
    monkeypatch.setattr(module, "SILENT_SECONDS", -1.0)
    observed.monitor.observe([])
    observed.consumer.connected = True
    observed.monitor.observe([])
    assert observed.codes == ["broker_unavailable", None]


def test_what_is_stored_is_committed_to_kafka_once(observed):
    one, unclaimed = ready(at=4), claiming(1, stored=3)
    observed.monitor.observe([one, unclaimed])
    (committed,) = observed.consumer.committed_offsets.values()
    assert (committed.offset, committed.metadata) == (4, BRIDGE_METADATA)
    assert observed.monitor.offsets_to_commit([one]) == {}
    one.advance(6, 0.0)
    assert observed.monitor.offsets_to_commit([one]) == {one.topic_partition: 6}


def test_offsets_that_hold_no_record_are_no_lag(observed):
    """A transaction's marker behind the last record."""
    one = ready(at=4)
    one.extend([], 7, 0.0)
    assert observed.monitor.offsets_to_commit([one]) == {one.topic_partition: 7}


def test_nothing_is_committed_while_the_group_rebalances(observed):
    observed.consumer.stable = False
    observed.monitor.observe([ready(at=4)])
    assert observed.consumer.committed_offsets == {}


def test_lag_is_measured_of_assigned_partitions_only(observed):
    one, two = ready(0, at=4), ready(1, at=10)
    observed.monitor.observe([one, two])
    assert observed.value("bridge_lag", partition="0") == 6
    assert observed.value("bridge_lag", partition="1") == 0
    observed.monitor.observe([two])
    assert observed.value("bridge_lag", partition="0") is None


def test_the_first_end_seen_is_what_drain_works_up_to(observed):
    one = ready(at=4)
    observed.monitor.observe([one])
    observed.consumer.end = 99
    observed.monitor.observe([one])
    one.advance(10, 0.0)
    assert one.drained


def test_streams_and_records_are_counted(observed):
    one = ready(records=[FakeRecord(0), FakeRecord(1)])
    now = time.monotonic()
    for asset, seen in (("A", now), ("B", now - 3600)):
        one.cache.put((asset, "", ""), CachedStream(seen=seen))
    observed.unkeyed.note(("A", "", ""), True)
    observed.monitor.observe([one])
    names = ("records_buffered", "streams", "streams_silent", "streams_spread")
    assert [observed.value(f"bridge_{name}") for name in names] == [2, 2, 1, 1]
    assert observed.value("bridge_streams_bytes") == one.cache.bytes


def test_a_recreated_topic_is_noticed(observed):
    one = ready()
    assert observed.monitor.replaced([one]) == []
    observed.consumer.topic = UUID(int=99)
    assert observed.monitor.replaced([one]) == [one]


def test_a_topic_that_goes_and_comes_is_logged_once_each(observed, caplog):
    one = ready()
    with caplog.at_level(logging.WARNING):
        for topic_id in (None, None, one.topic_id, one.topic_id):
            observed.consumer.topic = topic_id
            assert observed.monitor.replaced([one]) == []
            assert observed.monitor.topic_missing is (topic_id is None)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["topic in does not exist yet; waiting", "topic in exists"]
