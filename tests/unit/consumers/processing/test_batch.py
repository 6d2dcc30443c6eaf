"""One batch from records to rows: duplicates, repetitions, publishing, offsets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from kafka import TopicPartition

from consumers.partition import AssignedPartition
from consumers.processing import batch, batch_commit
from consumers.processing.batch import BatchRecord, ParseLimits, StreamBatch
from consumers.processing.batch_commit import Targets
from consumers.processing.processor import update_cache
from consumers.records.parsing import Headers
from consumers.store import BatchCommit
from consumers.stream_cache import CachedStream, StreamCache
from errors import Unavailable
from tests.fixtures.records import reading
from tests.fixtures.scoring import score_stream

NOW = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp() * 1000)
TARGETS = Targets("out", "dead", "anomalies")


@dataclass
class FakeRecord:
    offset: int
    value: bytes | None
    key: bytes | None = b"k"
    timestamp: int = NOW
    headers: Headers = field(default_factory=list)
    unreadable: str | None = None


@pytest.fixture
def place() -> AssignedPartition:
    made = AssignedPartition(TopicPartition("in", 1), UUID(int=7), StreamCache())
    made.epoch, made.stored = 3, 10
    return made


def run(
    place: AssignedPartition,
    bodies: list[bytes],
    first: int = 10,
    stored: Any = None,
    targets: Targets = TARGETS,
    level: int = -1,
) -> BatchCommit:
    """A batch through every step, scored by the stub; its commit."""
    records = [FakeRecord(first + n, body) for n, body in enumerate(bodies)]
    items = batch.parse_records([(place, records)], ParseLimits(3600, 100))
    memories, missing = batch.remembered(items)
    memories |= {(at, key): CachedStream() for at, keys in missing.items() for key in keys}
    works = batch.group_by_stream(items, memories)
    batch.mark_duplicates(batch.possible_duplicates(works), stored or {})
    body = batch.build_request(works, {"A": "high"})
    if body is not None:
        streams = orjson.loads(body)["streams"]
        batch.apply_response(works, {"streams": [score_stream(stream) for stream in streams]})
    batch.resolve_in_batch_duplicates(items)
    commit = batch_commit.build(items, works, targets, lambda *_: level)
    update_cache(works)
    place.stored = commit.moves[0].new
    return commit


def test_every_record_becomes_one_row_and_the_offset_moves_past_the_last(place):
    commit = run(place, [reading("A", 0), b"nonsense", reading("B", 0)])
    assert [row["source_offset"] for row in commit.detections] == [10, 12]
    assert [row["reason"] for row in commit.dead_letters] == ["not_json"]
    (move,) = commit.moves
    assert (move.epoch, move.expected, move.new) == (3, 10, 13)
    assert {state.key[0] for state in commit.states[place.source]} == {"A", "B"}


def test_same_record_always_gives_the_same_id(place):
    one = run(place, [reading("A", 0)]).detections[0]["id"]
    place.memories.clear()
    assert run(place, [reading("A", 0)]).detections[0]["id"] == one


def test_repetition_inside_a_batch_is_a_duplicate_of_the_first(place):
    commit = run(place, [reading("A", 0), reading("A", 0), reading("A", 0, value=9.0)])
    assert len(commit.detections) == 2
    (letter,) = commit.dead_letters
    assert letter["reason"] == "duplicate"
    assert letter["original_id"] == commit.detections[0]["id"]


def test_repetition_of_a_refused_reading_shares_its_reason(place):
    commit = run(place, [reading("NOGROUP", 0)] * 2)
    assert [row["reason"] for row in commit.dead_letters] == ["no_group", "no_group"]
    assert not commit.states


def test_only_readings_not_newer_than_the_last_are_looked_up(place):
    run(place, [reading("A", 5)])
    records = [FakeRecord(11, reading("A", 5)), FakeRecord(12, reading("A", 6))]
    items = batch.parse_records([(place, records)], ParseLimits(3600, 100))
    works = batch.group_by_stream(items, batch.remembered(items)[0])
    assert [item.record.offset for item in batch.possible_duplicates(works)] == [11]
    works[0].memory.spread = True
    assert len(batch.possible_duplicates(works)) == 2


def test_stored_duplicate_is_not_scored_nor_published_to_the_dead_letter_topic(place):
    run(place, [reading("A", 5)])
    same = orjson.loads(reading("A", 5))["features"]
    stored = {0: [(UUID(int=1), {"rms": 0.0}), (UUID(int=2), same)]}
    commit = run(place, [reading("A", 5)], first=11, stored=stored)
    assert commit.detections == []
    assert commit.outbox == []
    assert commit.dead_letters[0]["original_id"] == UUID(int=2)


def test_a_batch_cut_differently_gives_the_same_scores(place):
    bodies = [reading("A", n) for n in range(12)]
    whole = [row["final_score"] for row in run(place, bodies).detections]
    place.memories.clear()
    parts = []
    for first, count in ((0, 1), (1, 4), (5, 7)):
        commit = run(place, bodies[first : first + count], first=10 + first)
        parts += [row["final_score"] for row in commit.detections]
    assert parts == whole


def test_messages_carry_the_id_of_their_row(place):
    commit = run(place, [reading("A", n) for n in range(20)])
    wanted = {str(row["id"]) for row in commit.detections if row["is_anomaly"]}
    messages = [orjson.loads(row["value"]) for row in commit.outbox]
    assert {message["detection_id"] for message in messages} == wanted
    assert all(row["target_topic"] == "out" and row["key"] == b"A" for row in commit.outbox)
    assert wanted


def test_publish_all_sends_every_result(place):
    commit = run(place, [reading("A", n) for n in range(5)], targets=Targets("o", "d", "all"))
    assert len(commit.outbox) == 5


@pytest.mark.parametrize(("level", "published"), [(-1, [0, 2, 3]), (1, [2, 3])])
def test_publish_events_sends_openings_and_rises(place, level, published):
    items, works = _event_batch(place, ["medium", "medium", "high", "critical", "high"])
    commit = batch_commit.build(items, works, Targets("out", "dead", "events"), lambda *_: level)
    assert [row["source_offset"] - 10 for row in commit.outbox] == published
    update_cache(works)
    items, works = _event_batch(place, ["critical"], first=20)
    again = batch_commit.build(items, works, Targets("out", "dead", "events"), lambda *_: level)
    assert again.outbox == []


def _event_batch(
    place: AssignedPartition, severities: list[str], first: int = 10
) -> tuple[list[BatchRecord], list[StreamBatch]]:
    """Readings of one event that this bridge did not see open."""
    records = [FakeRecord(first + n, reading("A", first + n)) for n in range(len(severities))]
    items = batch.parse_records([(place, records)], ParseLimits(3600, 100))
    held, _ = batch.remembered(items)
    works = batch.group_by_stream(items, {(place, ("A", "S1", "")): CachedStream(), **held})
    batch.build_request(works, {})
    event = {"id": "e", "started_at": "2026-01-01T00:00:00+00:00", "state": "ongoing"}
    results = [
        {
            "scores": [], "final_score": 0.9, "p": 1e-5, "threshold": 0.5, "is_anomaly": True,
            "criticality": severity, "metadata": {"window": "added", "event": event},
        }
        for severity in severities
    ]  # fmt: skip
    answer = {"results": results, "state": {"n": 1}, "window_length": 3}
    batch.apply_response(works, {"streams": [answer]})
    return items, works


def test_answer_that_does_not_fit_the_request_is_refused(place):
    items = batch.parse_records(
        [(place, [FakeRecord(10, reading("A", 0))])], ParseLimits(3600, 100)
    )
    works = batch.group_by_stream(items, {(place, ("A", "S1", "")): CachedStream()})
    batch.build_request(works, {})
    answers: list[dict[str, Any]] = [{}, {"streams": []}, {"streams": [{"results": []}]}]
    for wrong in answers:
        with pytest.raises(Unavailable):
            batch.apply_response(works, wrong)


def test_stream_refused_as_a_whole_keeps_its_state_and_window(place):
    run(place, [reading("A", n) for n in range(4)])
    memory = place.memories.get(("A", "S1", ""))
    state, window = memory.state, orjson.dumps(memory.window.packed())
    items = batch.parse_records(
        [(place, [FakeRecord(14, reading("A", 9))])], ParseLimits(3600, 100)
    )
    works = batch.group_by_stream(items, batch.remembered(items)[0])
    batch.build_request(works, {})
    error = {"error": {"code": "no_group", "message": "none"}, "metadata": {"window": "left_out"}}
    answer = {"results": [error], "state": orjson.loads(state), "window_length": 0}
    batch.apply_response(works, {"streams": [answer]})
    commit = batch_commit.build(items, works, TARGETS, lambda *_: -1)
    update_cache(works)
    assert commit.states == {}
    assert (memory.state, orjson.dumps(memory.window.packed())) == (state, window)


def test_criticality_of_the_asset_travels(place):
    items = batch.parse_records(
        [(place, [FakeRecord(10, reading("A", 0))])], ParseLimits(3600, 100)
    )
    works = batch.group_by_stream(items, {(place, ("A", "S1", "")): CachedStream()})
    body = batch.build_request(works, {"A": "critical"})
    assert orjson.loads(body or b"")["streams"][0]["criticality"] == "critical"


def test_a_state_says_how_far_back_its_window_reaches(place):
    def starts(commit: BatchCommit) -> list[datetime | None]:
        return [state.window_start for state in commit.states[place.source]]

    def at(commit: BatchCommit) -> list[datetime]:
        return [datetime.fromisoformat(str(row["timestamp"])) for row in commit.detections]

    first = run(place, [reading("A", minute) for minute in range(3)])
    assert starts(first) == [at(first)[0]]
    many = run(place, [reading("A", minute) for minute in range(3, 40)], first=13)
    assert starts(many) == starts(first)  # the window before the batch: a bound that holds
    last = run(place, [reading("A", 40)], first=50)
    memory = place.memories.get(("A", "S1", ""))
    assert memory is not None
    length = len(memory.window)
    assert length < 40
    assert starts(last) == [at(many)[-length]]
    memory.window_length -= 1  # as if the bundle in force looked one reading further back
    assert starts(run(place, [reading("A", 41)], first=51)) == [None]
