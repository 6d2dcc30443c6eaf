"""One batch from records to rows: duplicates, repetitions, publishing, offsets."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from config import Settings
from consumers.partition import AssignedPartition
from consumers.processing import batch, batch_commit
from consumers.processing.batch import BatchRecord, StreamBatch
from consumers.processing.processor import update_cache
from consumers.store import BatchCommit
from consumers.stream_cache import CachedStream
from errors import Unavailable
from tests.fixtures.partitions import FakeRecord, ready
from tests.fixtures.records import reading
from tests.fixtures.scoring import score_stream

SETTINGS = Settings(
    _env_file=None, kafka_topic_output_anomalies="out", kafka_topic_dead_letter="dead",
    max_features=100,
)  # fmt: skip
EVENTS = SETTINGS.model_copy(update={"kafka_publish": "events"})


@pytest.fixture
def assigned() -> AssignedPartition:
    return ready(1, at=10, epoch=3)


def run(
    assigned: AssignedPartition,
    bodies: list[bytes],
    first: int = 10,
    stored: Any = None,
    settings: Settings = SETTINGS,
    level: int = -1,
) -> BatchCommit:
    """A batch through every step, scored by the stub; its commit."""
    records = [FakeRecord(first + n, body) for n, body in enumerate(bodies)]
    items = batch.parse_records([(assigned, records)], SETTINGS)
    cached, missing = batch.look_up_streams(items)
    cached |= {(at, key): CachedStream() for at, keys in missing.items() for key in keys}
    streams = batch.group_by_stream(items, cached)
    batch.mark_duplicates(batch.possible_duplicates(streams), stored or {})
    body = batch.build_request(streams, {"A": "high"})
    if body is not None:
        sent = orjson.loads(body)["streams"]
        batch.apply_response(streams, {"streams": [score_stream(one) for one in sent]})
    batch.resolve_in_batch_duplicates(items)
    commit = batch_commit.build(items, streams, settings, lambda *_: level)
    update_cache(streams)
    assigned.advance(commit.moves[0].new, 0.0)
    return commit


def test_every_record_becomes_one_row_and_the_offset_moves_past_the_last(assigned):
    commit = run(assigned, [reading("A", 0), b"nonsense", reading("B", 0)])
    assert [row["source_offset"] for row in commit.detections] == [10, 12]
    assert [row["reason"] for row in commit.dead_letters] == ["not_json"]
    (move,) = commit.moves
    assert (move.epoch, move.expected, move.new) == (3, 10, 13)
    assert {state.key[0] for state in commit.states[assigned.source]} == {"A", "B"}


def test_same_record_always_gives_the_same_id(assigned):
    one = run(assigned, [reading("A", 0)]).detections[0]["id"]
    assigned.cache.clear()
    assert run(assigned, [reading("A", 0)]).detections[0]["id"] == one


def test_repetition_inside_a_batch_is_a_duplicate_of_the_first(assigned):
    commit = run(assigned, [reading("A", 0), reading("A", 0), reading("A", 0, value=9.0)])
    assert len(commit.detections) == 2
    (letter,) = commit.dead_letters
    assert letter["reason"] == "duplicate"
    assert letter["original_id"] == commit.detections[0]["id"]


def test_repetition_of_a_refused_reading_shares_its_reason(assigned):
    commit = run(assigned, [reading("NOGROUP", 0)] * 2)
    assert [row["reason"] for row in commit.dead_letters] == ["no_group", "no_group"]
    assert not commit.states


def test_only_readings_not_newer_than_the_last_are_looked_up(assigned):
    run(assigned, [reading("A", 5)])
    records = [FakeRecord(11, reading("A", 5)), FakeRecord(12, reading("A", 6))]
    items = batch.parse_records([(assigned, records)], SETTINGS)
    streams = batch.group_by_stream(items, batch.look_up_streams(items)[0])
    assert [item.record.offset for item in batch.possible_duplicates(streams)] == [11]
    streams[0].cached.unkeyed = True
    assert len(batch.possible_duplicates(streams)) == 2


def test_stored_duplicate_is_not_scored_nor_published_to_the_dead_letter_topic(assigned):
    run(assigned, [reading("A", 5)])
    same = orjson.loads(reading("A", 5))["features"]
    stored = {0: [(UUID(int=1), {"rms": 0.0}), (UUID(int=2), same)]}
    commit = run(assigned, [reading("A", 5)], first=11, stored=stored)
    assert commit.detections == []
    assert commit.outbox == []
    assert commit.dead_letters[0]["original_id"] == UUID(int=2)


def test_a_batch_cut_differently_gives_the_same_scores(assigned):
    bodies = [reading("A", n) for n in range(12)]
    whole = [row["final_score"] for row in run(assigned, bodies).detections]
    assigned.cache.clear()
    parts = []
    for first, count in ((0, 1), (1, 4), (5, 7)):
        commit = run(assigned, bodies[first : first + count], first=10 + first)
        parts += [row["final_score"] for row in commit.detections]
    assert parts == whole


def test_messages_carry_the_id_of_their_row(assigned):
    commit = run(assigned, [reading("A", n) for n in range(20)])
    wanted = {str(row["id"]) for row in commit.detections if row["is_anomaly"]}
    messages = [orjson.loads(row["value"]) for row in commit.outbox]
    assert {message["detection_id"] for message in messages} == wanted
    assert all(row["target_topic"] == "out" and row["key"] == b"A" for row in commit.outbox)
    assert wanted


def test_publish_all_sends_every_result(assigned):
    every = SETTINGS.model_copy(update={"kafka_publish": "all"})
    commit = run(assigned, [reading("A", n) for n in range(5)], settings=every)
    assert len(commit.outbox) == 5


@pytest.mark.parametrize(("level", "published"), [(-1, [0, 2, 3]), (1, [2, 3])])
def test_publish_events_sends_openings_and_rises(assigned, level, published):
    items, streams = _event_batch(assigned, ["medium", "medium", "high", "critical", "high"])
    commit = batch_commit.build(items, streams, EVENTS, lambda *_: level)
    assert [row["source_offset"] - 10 for row in commit.outbox] == published
    update_cache(streams)
    items, streams = _event_batch(assigned, ["critical"], first=20)
    again = batch_commit.build(items, streams, EVENTS, lambda *_: level)
    assert again.outbox == []


def _event_batch(
    assigned: AssignedPartition, severities: list[str], first: int = 10
) -> tuple[list[BatchRecord], list[StreamBatch]]:
    """Readings of one event that this bridge did not see open."""
    records = [FakeRecord(first + n, reading("A", first + n)) for n in range(len(severities))]
    items = batch.parse_records([(assigned, records)], SETTINGS)
    held, _ = batch.look_up_streams(items)
    streams = batch.group_by_stream(items, {(assigned, ("A", "S1", "")): CachedStream(), **held})
    batch.build_request(streams, {})
    event = {"id": "e", "started_at": "2026-01-01T00:00:00+00:00", "state": "ongoing"}
    results = [
        {
            "scores": [], "final_score": 0.9, "p": 1e-5, "threshold": 0.5, "is_anomaly": True,
            "criticality": severity, "metadata": {"window": "added", "event": event},
        }
        for severity in severities
    ]  # fmt: skip
    answer = {"results": results, "state": {"n": 1}, "window_length": 3}
    batch.apply_response(streams, {"streams": [answer]})
    return items, streams


def test_answer_that_does_not_fit_the_request_is_refused(assigned):
    items = batch.parse_records([(assigned, [FakeRecord(10, reading("A", 0))])], SETTINGS)
    streams = batch.group_by_stream(items, {(assigned, ("A", "S1", "")): CachedStream()})
    batch.build_request(streams, {})
    answers: list[dict[str, Any]] = [{}, {"streams": []}, {"streams": [{"results": []}]}]
    for wrong in answers:
        with pytest.raises(Unavailable):
            batch.apply_response(streams, wrong)


def test_stream_refused_as_a_whole_keeps_its_state_and_window(assigned):
    run(assigned, [reading("A", n) for n in range(4)])
    cached = assigned.cache.get(("A", "S1", ""))
    state, window = cached.state, orjson.dumps(cached.window.packed())
    items = batch.parse_records([(assigned, [FakeRecord(14, reading("A", 9))])], SETTINGS)
    streams = batch.group_by_stream(items, batch.look_up_streams(items)[0])
    batch.build_request(streams, {})
    error = {"error": {"code": "no_group", "message": "none"}, "metadata": {"window": "left_out"}}
    answer = {"results": [error], "state": orjson.loads(state), "window_length": 0}
    batch.apply_response(streams, {"streams": [answer]})
    commit = batch_commit.build(items, streams, SETTINGS, lambda *_: -1)
    update_cache(streams)
    assert commit.states == {}
    assert (cached.state, orjson.dumps(cached.window.packed())) == (state, window)


def test_criticality_of_the_asset_travels(assigned):
    items = batch.parse_records([(assigned, [FakeRecord(10, reading("A", 0))])], SETTINGS)
    streams = batch.group_by_stream(items, {(assigned, ("A", "S1", "")): CachedStream()})
    body = batch.build_request(streams, {"A": "critical"})
    assert orjson.loads(body or b"")["streams"][0]["criticality"] == "critical"


def test_a_state_says_how_far_back_its_window_reaches(assigned):
    def starts(commit: BatchCommit) -> list[datetime | None]:
        return [state.window_start for state in commit.states[assigned.source]]

    def at(commit: BatchCommit) -> list[datetime]:
        return [datetime.fromisoformat(str(row["timestamp"])) for row in commit.detections]

    first = run(assigned, [reading("A", minute) for minute in range(3)])
    assert starts(first) == [at(first)[0]]
    many = run(assigned, [reading("A", minute) for minute in range(3, 40)], first=13)
    assert starts(many) == starts(first)  # the window before the batch: a bound that holds
    last = run(assigned, [reading("A", 40)], first=50)
    cached = assigned.cache.get(("A", "S1", ""))
    assert cached is not None
    length = len(cached.window)
    assert length < 40
    assert starts(last) == [at(many)[-length]]
    cached.window_length -= 1  # as if the bundle in force looked one reading further back
    assert starts(run(assigned, [reading("A", 41)], first=51)) == [None]
