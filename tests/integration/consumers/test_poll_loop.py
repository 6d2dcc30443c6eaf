"""The poll thread when Kafka or the database does not answer about one partition."""

from __future__ import annotations

import time
from typing import Any

import pytest
from kafka import errors as kafka_errors

from consumers.broker.unpacking import FetchedRecord
from consumers.partition import AssignedPartition, PartitionStatus
from consumers.polling import offset_validator, poll_loop
from consumers.polling.claims import find_start
from tests.fixtures.records import reading
from tests.fixtures.waiting import wait_until


def test_a_place_that_is_in_doubt_again_at_once_is_asked_about_again(in_process):
    """A lane may fail before the poll thread has seen the place ready: it stood still for good."""
    bridge = in_process(bridge_lanes=1)
    bridge.run_until(bridge.settled, "all begun")
    assigned, part = bridge.partitions[0], bridge.poll_loop
    for _ in range(3):
        assigned.doubt()
        part._follow_statuses()
        wait_until(
            lambda: part._take_answers() or assigned.status is PartitionStatus.READY, "an answer"
        )
    assigned.doubt()
    bridge.run_until(bridge.settled, "ready again")
    bridge.finish(bridge.scene.produce([(b"k", reading("A", 1))]))


def test_an_error_about_one_partition_lets_go_of_no_other_partitions_records(
    in_process, monkeypatch, caplog
):
    bridge = in_process(bridge_lanes=1)
    bridge.run_until(bridge.settled, "all begun")
    first, second, _ = bridge.partitions
    paused = bridge._bridge.consumer.paused
    asked: list[float] = []

    def failing(*_: Any) -> tuple[int, int]:
        asked.append(time.monotonic())
        raise kafka_errors.KafkaTimeoutError("no answer in 5 s")

    monkeypatch.setattr(offset_validator, "bounds", failing)
    assert not first.confirm_hole(5)  # seen once
    bridge.poll_loop._receive(
        {
            first.topic_partition: [FetchedRecord(5, 5, 1, b"k", b"{}")],
            second.topic_partition: [FetchedRecord(0, 0, 1, b"k", reading("A", 1))],
        }
    )
    assert asked
    assert first.fetched == 0
    assert first.topic_partition in paused()
    assert "no answer in 5 s; waiting" in caplog.text
    bridge.run_until(lambda: bridge.scene.accounted() == 1, "the other's record is stored")
    monkeypatch.undo()
    bridge.run_until(lambda: first.topic_partition not in paused(), "the partition goes on")


def test_kafka_is_asked_where_a_partition_begins_with_patience(in_process, monkeypatch, caplog):
    times: list[float] = []

    def failing(consumer: Any, assigned: AssignedPartition, *rest: Any) -> Any:
        if assigned.topic_partition.partition == 0:
            times.append(time.monotonic())
            if len(times) < 4:
                raise kafka_errors.KafkaTimeoutError("no answer in 5 s")
        return find_start(consumer, assigned, *rest)

    monkeypatch.setattr(poll_loop, "find_start", failing)
    bridge = in_process(bridge_lanes=1)
    bridge.run_until(bridge.settled, "all begun")
    assert times[3] - times[0] > 0.1 + 0.2 + 0.4 - 0.05  # the least of its back-off
    assert caplog.text.count("no answer in 5 s; waiting") == 1
    # claimed once per assignment, of which the group may give two at its start
    assert {row[0] for row in bridge.scene.sql("SELECT epoch FROM source_offsets")} <= {1, 2}
    bridge.finish(bridge.scene.produce([(b"k", reading("A", 1))]))


def test_a_right_that_is_missing_is_said_and_not_waited_for(in_process, monkeypatch):
    def refused(*_: Any) -> None:
        raise kafka_errors.TopicAuthorizationFailedError({"in"})

    monkeypatch.setattr(poll_loop, "find_start", refused)
    bridge = in_process(bridge_lanes=1)
    with pytest.raises(kafka_errors.TopicAuthorizationFailedError):
        bridge.run_until(bridge.settled, "all begun")
