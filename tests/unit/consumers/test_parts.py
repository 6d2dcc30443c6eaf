"""Small parts of the bridge: troubles, refusals, culprits, memories, places."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from kafka import TopicPartition
from prometheus_client import generate_latest

from consumers.kill import killer
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition
from consumers.processing.poison_records import PoisonRecords, Verdict
from consumers.records.parsing import Headers
from consumers.stream_cache import StreamCache
from consumers.window import encode_row, pack_rows
from errors import Unavailable

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeRecord:
    offset: int
    value: bytes | None = b"x"
    key: bytes | None = None
    timestamp: int = 0
    headers: Headers = field(default_factory=list)
    unreadable: str | None = None


def test_trouble_is_said_once_and_its_end_once(caplog):
    told = []
    outage = Outage("service", lambda what, code: told.append((what, code)))
    with caplog.at_level(logging.WARNING):
        waits = [outage.record_failure(Unavailable("away")) for _ in range(12)]
        outage.record_success()
        outage.record_success()
    assert len(caplog.records) == 2
    assert told == [("service", "unavailable"), ("service", None)]
    assert waits[0] <= 0.2
    assert 5 <= waits[-1] <= 10


def test_an_answer_asked_for_before_the_trouble_does_not_end_it():
    told = []
    outage = Outage("service", lambda what, code: told.append(code))
    begun = time.monotonic()
    outage.record_failure(Unavailable("away"))
    outage.record_success(begun)
    assert told == ["unavailable"]
    outage.record_success(time.monotonic())
    assert told == ["unavailable", None]


def test_trouble_waits_at_least_as_long_as_asked():
    assert Outage("service", lambda *_: None).record_failure(Unavailable("busy"), 42.0) == 42.0


def test_culprits_take_turns_and_each_reaches_its_verdict():
    poison_records = PoisonRecords()
    turns = [
        (poison_records.record_failure("a"), poison_records.record_failure("b")) for _ in range(5)
    ]
    assert turns[-1] == (5, 5)
    poison_records.decide("a", "refused")
    poison_records.decide("b", None)
    assert poison_records.verdict("a") == Verdict("refused")
    assert poison_records.verdict("b") == Verdict(None)
    assert poison_records.verdict("c") is None
    poison_records.forget(["a"])
    poison_records.keep(lambda record_id: record_id != "b")
    assert poison_records.verdict("a") is poison_records.verdict("b") is None
    assert poison_records.record_failure("a") == poison_records.record_failure("b") == 1


def test_rows_are_compact_when_all_have_the_same_features():
    one = encode_row(START, {"b": 2.0, "a": 1.0})
    two = encode_row(START, {"a": 3.0, "b": 4.0})
    packed = orjson.loads(orjson.dumps(pack_rows([one, two])))
    stamp = START.isoformat()
    assert packed == {"names": ["a", "b"], "rows": [[stamp, 1.0, 2.0], [stamp, 3.0, 4.0]]}


def test_rows_with_different_features_are_a_list():
    rows = [encode_row(START, {"a": 1.0}), encode_row(START, {"a": 1.0, "b": 2.0})]
    packed = orjson.loads(orjson.dumps(pack_rows(rows)))
    assert [row["features"] for row in packed] == [{"a": 1.0}, {"a": 1.0, "b": 2.0}]
    assert pack_rows([]) == []


def test_place_keeps_records_until_they_are_accounted_for():
    assigned = AssignedPartition(TopicPartition("t", 0), UUID(int=1), StreamCache())
    assigned.extend([FakeRecord(n) for n in (0, 1, 5)], 6, 1.0)
    assert [record.offset for record in assigned.head(2)] == [0, 1]
    assert (len(assigned.buffer), assigned.fetched) == (3, 6)
    assigned.drop_through(2, 2.0)
    assert [record.offset for record in assigned.head(9)] == [5]
    assert assigned.bytes == 201
    assert (assigned.position, assigned.next) == (2, 6)


def test_offsets_behind_the_last_record_that_hold_none_are_done_with_it():
    """A transaction's marker: else --drain never ended, and the lag stayed at 1."""
    assigned = AssignedPartition(TopicPartition("t", 0), UUID(int=1), StreamCache())
    assigned.extend([FakeRecord(0)], 1, 1.0)
    assigned.extend([], 3, 2.0)
    assert assigned.position == 0
    assigned.drop_through(1, 3.0)
    assert assigned.position == 3
    assigned.extend([], 5, 4.0)
    assert assigned.position == 5


def test_kill_point_must_be_known():
    for wrong in ("nowhere:1", "in_commit", "in_commit:x"):
        with pytest.raises(ValueError, match="BRIDGE_KILL_POINT"):
            killer(wrong)
    killer("in_commit:2")("in_commit")  # the first passage lives


def test_metrics_have_one_state_at_a_time():
    metrics = Metrics()
    metrics.set_state("paused", "no_model")
    metrics.set_state("running", "")
    text = generate_latest(metrics.registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("bridge_state{")]
    assert lines == ['bridge_state{state="running",why=""} 1.0']
