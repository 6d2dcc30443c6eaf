"""The bridge assembled: what it publishes, when it is done, what ends it, and in which order."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from config import Settings
from consumers.app import Bridge, BridgeCondition
from consumers.metrics import Metrics
from consumers.processing.rejection_breaker import MisconfigurationError
from db.queries import outbox
from db.queries.outbox import INCIDENT_SOURCE
from errors import StorageUnavailable
from tests.fixtures.partitions import TOPIC_ID, FakeConsumer, ready
from tests.fixtures.producer import FakeProducer
from tests.fixtures.workers import FakeScorer, FakeStore

NO_OUTAGE = {"state": "running", "why": ""}


class QuietStore(FakeStore):
    """Whose outbox is empty."""

    def waiting(self, *_: Any) -> list[Any]:
        return []

    def run(self, call: Any, *given: Any) -> Any:
        if call is outbox.outbox_size:
            return 0
        assert call is outbox.orphaned_sources
        self.asked = given
        return []

    def publish_orphans(self, *_: Any) -> list[Any]:
        return []


class Scorer(FakeScorer):
    """Notes that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Consumer(FakeConsumer):
    """Notes what a stop commits, and that the group was left."""

    left = False

    def commit(self, offsets: Any, timeout_ms: float) -> None:
        self.committed_offsets.update(offsets)

    def close(self, autocommit: bool, timeout_ms: int) -> None:
        assert not autocommit
        self.left = True


class Assembled:
    """A bridge on a log of ten records, with doubles for what is outside."""

    def __init__(self, **settings: Any) -> None:
        self.consumer, self.store, self.metrics = Consumer(0, 10), QuietStore(), Metrics()
        self.scorers: list[Scorer] = []
        self.producers: list[FakeProducer] = []
        consumer: Any = self.consumer
        store: Any = self.store

        def make_producer(**options: Any) -> FakeProducer:
            self.producers.append(FakeProducer(**options))
            return self.producers[-1]

        def make_scorer() -> Any:
            self.scorers.append(Scorer())
            return self.scorers[-1]

        self.bridge = Bridge(
            Settings(_env_file=None, **settings), consumer, store, self.metrics,
            make_producer=make_producer, make_scorer=make_scorer, make_partitions=list,
        )  # fmt: skip

    def state(self, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value("bridge_state", labels)


@pytest.fixture
def assembled() -> Assembled:
    return Assembled(bridge_lanes=2)


def test_outages_show_together_and_the_state_returns_with_the_last():
    metrics = Metrics()
    condition = BridgeCondition(metrics)
    value = metrics.registry.get_sample_value
    condition.started()
    assert value("bridge_state", NO_OUTAGE) == 1
    condition.update("service", "no_model")
    condition.update("database", "storage_unavailable")
    both = {"state": "paused", "why": "no_model,storage_unavailable"}
    assert (value("bridge_state", both), value("bridge_state", NO_OUTAGE)) == (1, None)
    condition.update("service", None)
    condition.started()  # an outage that came before the start is not hidden by it
    assert value("bridge_state", {"state": "paused", "why": "storage_unavailable"}) == 1
    condition.update("database", None)
    condition.update("never away", None)
    assert value("bridge_state", NO_OUTAGE) == 1


def test_partitions_that_cannot_be_made_yet_pause_nothing(assembled: Assembled):
    assembled.bridge.condition.started()
    assembled.bridge.maintainer._outage.record_failure(StorageUnavailable("away"))
    assert assembled.state(**NO_OUTAGE) == 1


def test_why_most_records_are_rejected_is_kept():
    assert BridgeCondition(Metrics()).misconfiguration is None
    condition, error = BridgeCondition(Metrics()), MisconfigurationError("no bundle fits")
    condition.misconfigured(error)
    assert condition.misconfiguration is error


@pytest.mark.parametrize(
    ("incidents", "names"),
    [
        ("", ["anomalies", "dead", "other topics"]),
        ("incidents", ["anomalies", "dead", "other topics", "incidents"]),
    ],
)
def test_each_output_topic_has_a_publisher_and_what_an_earlier_set_up_left_has_one(
    incidents: str, names: list[str]
):
    assembled = Assembled(
        kafka_topic_output_anomalies="anomalies", kafka_topic_dead_letter="dead",
        kafka_topic_incidents=incidents, bridge_outbox_days=2,
    )  # fmt: skip
    outlets = [one._outlet for one in assembled.bridge.publishers]
    assert [str(one) for one in outlets] == names
    assert outlets[2].target == frozenset({"anomalies", "dead", incidents} - {""})
    assert {one.age for one in outlets} == {2 * 86_400}
    assert outlets[0].orphans() == []
    assert list(assembled.store.asked) == ["extracted-features", TOPIC_ID, 2 * 86_400]
    if incidents:  # no partition's owner publishes them
        assert (outlets[3].sources(), outlets[3].orphans()) == ((), [INCIDENT_SOURCE])


def test_each_worker_has_a_client_of_its_own_and_a_commit_wakes_every_publisher(
    assembled: Assembled,
):
    bridge = assembled.bridge
    assert len(bridge.workers) == len(assembled.scorers) == 2
    for publisher in bridge.publishers:
        publisher._work.clear()
    bridge.workers[0]._deps.stored()
    assert all(publisher._work.is_set() for publisher in bridge.publishers)
    assert bridge.workers[0]._deps is bridge.workers[1]._deps
    # each worker's next batch waits in the buffers while it scores one
    assert bridge.poll_loop._backpressure._max_records == 2 * 2 * 2000


def test_it_is_drained_once_its_partitions_and_its_outbox_are(assembled: Assembled):
    bridge, assigned = assembled.bridge, ready(at=10)
    for publisher in bridge.publishers:
        publisher._idle = True
    assert not bridge.drained()  # the group has given nothing yet
    bridge.assignment._assigned_once = True
    bridge.table.add(assigned)
    assembled.consumer.assigned.add(assigned.topic_partition)
    assert not bridge.drained()  # where the log ends is not known
    assigned.set_end(10)
    assert bridge.drained()
    bridge.publishers[0].notify()
    assert not bridge.drained()


def test_without_its_topic_it_is_drained_after_a_while(
    assembled: Assembled, monkeypatch: pytest.MonkeyPatch
):
    assembled.bridge.monitor.topic_missing = True
    assembled.bridge._started = float("inf")
    assert not assembled.bridge.drained()
    assembled.bridge._started = 0.0
    assert assembled.bridge.drained()


def test_a_thread_that_ends_unasked_is_named_and_a_stop_ends_all(
    assembled: Assembled, monkeypatch: pytest.MonkeyPatch
):
    bridge, assigned = assembled.bridge, ready(at=7)
    monkeypatch.setattr(bridge.maintainer, "_part", lambda: None)
    bridge.start()
    assert assembled.state(**NO_OUTAGE) == 1
    bridge.maintainer.join(10)
    assert bridge.defect() == "maintainer"
    bridge.table.add(assigned)
    bridge.stop(20)
    assert not any(thread.is_alive() for thread in bridge._threads())
    assert assembled.consumer.committed_offsets[assigned.topic_partition].offset == 7
    assert assembled.consumer.left
    assert all(scorer.closed for scorer in assembled.scorers)


def test_metrics_that_are_no_longer_answered_are_a_defect(
    assembled: Assembled, monkeypatch: pytest.MonkeyPatch
):
    assert assembled.bridge.defect() is None
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    monkeypatch.setattr(assembled.metrics, "_server", ended)
    assert assembled.bridge.defect() == "metrics"


def test_what_its_topic_refuses_is_unpublished(assembled: Assembled):
    bridge = assembled.bridge
    assert not bridge.unpublished()
    bridge.publishers[1]._topic_outage.record_failure(MisconfigurationError("refused"))
    assert bridge.unpublished()
