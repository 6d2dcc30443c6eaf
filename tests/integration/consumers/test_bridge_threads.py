"""Any thread of the bridge that ends makes the process exit 1 and say which."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from prometheus_client import generate_latest

from consumers import bridge as entry
from consumers.app import BridgeCondition
from consumers.metrics import Metrics
from consumers.outbox_publisher import Publisher
from consumers.polling.claims import Claims
from consumers.processing.processor import BatchProcessor
from consumers.table_partitions import TablePartitionMaintainer
from errors import StorageUnavailable
from tests.fixtures.bridging import Scene
from tests.fixtures.records import plant, reading


@pytest.mark.parametrize(
    ("part", "step", "name"),
    [
        (Publisher, "_look", "publisher of "),
        (Claims, "_answer", "claims"),
        (TablePartitionMaintainer, "step", "maintainer"),
        (BatchProcessor, "run", "worker-0"),
    ],
)
def test_a_thread_that_dies_ends_the_bridge_with_1_and_its_name(
    in_process, monkeypatch, caplog, part, step, name
):
    def broken(*_: Any) -> None:
        raise RuntimeError("nobody expects this")

    monkeypatch.setattr(part, step, broken)
    made = in_process(bridge_lanes=1)
    made.scene.produce(plant(20))
    bridge, made._bridge = made._bridge, None
    monkeypatch.setattr(bridge, "start", lambda: None)  # it is
    code = entry._drive(bridge, made.settings, threading.Event(), False)
    assert code == 1
    messages = [record.message for record in caplog.records if record.levelname == "CRITICAL"]
    assert len(messages) == 1
    assert messages[0].startswith(f"thread {name}")
    assert "nobody expects this" in caplog.text


def test_a_thread_that_returns_is_a_defect_too(in_process, monkeypatch):
    made = in_process()
    monkeypatch.setattr(Claims, "_claim_all", lambda self: None)
    again = in_process()
    assert made._bridge.defect() is None
    again._bridge.claims.join(10)
    assert again._bridge.defect() == "claims"


def test_a_bridge_in_trouble_at_its_start_is_not_called_running():
    metrics = Metrics()
    condition = BridgeCondition(metrics)
    condition.update("database", "storage_unavailable")
    condition.started()
    state = {"state": "paused", "why": "storage_unavailable"}
    assert metrics.registry.get_sample_value("bridge_state", state) == 1


def test_troubles_noticed_by_many_threads_leave_one_state():
    metrics = Metrics()
    condition = BridgeCondition(metrics)

    def work(what: str) -> None:
        for _ in range(300):
            condition.update(what, what)
            condition.update(what, None)
        condition.update(what, what)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [
        line for line in generate_latest(metrics.registry).decode().splitlines()
        if line.startswith("bridge_state{")
    ]  # fmt: skip
    assert states == ['bridge_state{state="paused",why="a,b,c,d"} 1.0']


def test_the_lag_of_a_partition_that_left_is_no_longer_said(in_process):
    made = in_process(bridge_lanes=1)

    def measured() -> set[int]:
        lag = made.metrics.registry.get_sample_value
        return {n for n in range(3) if lag("bridge_lag", {"partition": str(n)}) is not None}

    made.scene.produce(plant(60, bad_every=0))
    made.run_until(lambda: len(measured()) > 1 and made.scene.accounted() == 60, "lag is measured")
    before = measured()
    gone = next(p for p in made._bridge.table if p.topic_partition.partition in before)
    made._bridge.assignment.drop([gone])
    made.run_until(
        lambda: measured() == before - {gone.topic_partition.partition}, "its gauge is gone"
    )


def test_a_rebalance_does_not_wait_for_a_lane_whose_records_are_refused(in_process):
    """It holds no batch: nothing of it is stored before the set-up is mended."""
    made = in_process(bridge_lanes=1, refusal_window=10, refusal_retry_s=600)
    scene: Scene = made.scene
    scene.produce([(b"k", reading("NOGROUP_1", number)) for number in range(200)])
    made.run_until(
        lambda: made._bridge.condition.misconfiguration is not None, "the refusal is logged"
    )
    (worker,) = made._bridge.workers
    made.run_until(lambda: not worker.is_processing(made._bridge.table), "no partition is held")
    assert worker.is_alive()


def test_the_database_in_trouble_is_no_defect(in_process, monkeypatch):
    made = in_process()
    failures = [StorageUnavailable("away")] * 3
    ask = Claims._answer

    def failing(self: Claims, *given: Any) -> Any:
        if failures:
            raise failures.pop()
        return ask(self, *given)

    monkeypatch.setattr(Claims, "_answer", failing)
    made.finish(made.scene.produce(plant(30)))
    assert not failures
