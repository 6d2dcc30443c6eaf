"""A batch is stored before anything is cached; what fails leaves everything to be tried again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.partition import AssignedPartition
from consumers.processing.batch import BatchRecord, parse_records
from consumers.processing.processor import BatchProcessor
from consumers.schedule_cache import Schedules
from consumers.scoring_client import BatchRefusedError
from consumers.store import FencedError
from errors import InputError, StorageUnavailable
from serving.requests.stream_request import parse_streams
from tests.fixtures.settings import SETTINGS
from tests.fixtures.workers import Plant


def batch(assigned: AssignedPartition) -> list[BatchRecord]:
    return parse_records([(assigned, assigned.head(assigned.buffered))], SETTINGS)


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
def processor(plant: Plant) -> BatchProcessor:
    return BatchProcessor(plant.deps, plant.scorer)


def test_a_batch_is_stored_then_cached_and_the_publishers_are_woken(
    plant: Plant, processor: BatchProcessor
) -> None:
    assigned = plant.give(0, "A", "B")
    processor.run(batch(assigned))
    assert plant.store.stored() == [0, 1]
    assert (assigned.stored, assigned.buffered, len(assigned.cache)) == (2, 0, 2)
    assert plant.woken == 1


def test_nothing_is_cached_or_released_when_the_commit_fails(
    plant: Plant, processor: BatchProcessor
) -> None:
    assigned = plant.give(0, "A", "B")
    plant.store.failures.append(StorageUnavailable("down"))
    with pytest.raises(StorageUnavailable):
        processor.run(batch(assigned))
    assert (assigned.stored, assigned.buffered, len(assigned.cache)) == (0, 2, 0)
    assert plant.woken == 0
    processor.run(batch(assigned))  # the same records, tried again
    assert plant.store.stored() == [0, 1]


def test_a_partition_lost_meanwhile_is_not_stored(plant: Plant, processor: BatchProcessor) -> None:
    assigned = plant.give(0, "A")
    items = batch(assigned)
    assigned.drop()
    with pytest.raises(FencedError):
        processor.run(items)
    assert plant.store.commits == []


def test_a_trial_is_scored_and_leaves_no_trace(plant: Plant, processor: BatchProcessor) -> None:
    assigned = plant.give(0, "A")
    (item,) = batch(assigned)
    processor.try_scoring(item)
    assert plant.scorer.sizes == [1]
    assert plant.store.commits == []
    assert (assigned.stored, len(assigned.cache)) == (0, 0)


def test_a_stream_whose_window_grew_is_loaded_again(
    plant: Plant, processor: BatchProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plant.give(0, "A")
    processor.run(batch(first))
    score = plant.scorer.score

    def longer(body: bytes) -> dict[str, Any]:
        answer = score(body)
        for stream in answer["streams"]:
            stream["window_length"] += 5
        return answer

    monkeypatch.setattr(plant.scorer, "score", longer)
    records = plant.give(1, "A", "A").head(2)
    first.extend(records[1:], 2, 0.0)
    processor.run(batch(first))
    assert len(first.cache) == 0


def test_a_feature_that_a_stream_seems_to_have_renamed_is_logged(
    plant: Plant,
    processor: BatchProcessor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    score = plant.scorer.score

    def renamed(body: bytes) -> dict[str, Any]:
        answer = score(body)
        first, second = answer["streams"]
        first["results"][0]["metadata"] |= {"unknown_features": ["flux"], "imputed": ["flow"]}
        second["results"][0]["metadata"] |= {"unknown_features": ["more"]}
        return answer

    monkeypatch.setattr(plant.scorer, "score", renamed)
    with caplog.at_level(logging.WARNING):
        processor.run(batch(plant.give(0, "A", "B")))
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "asset A, sensor S1: its readings lack flow, which is imputed, and have flux"
    )


def test_plans_that_the_service_refuses_are_left_out_and_the_others_sent(
    plant: Plant,
    processor: BatchProcessor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (2000, 2100))
    usual = {"id": "w", "start": start, "end": end}
    windows = [
        {**usual, "id": "bad rule", "rrule": "FREQ=NEVER"},
        usual,
        {**usual, "id": "bad reason", "reason": ""},
    ]
    off = {"group": "g", "feature": "rpm", "operator": "<", "value": 1.0}
    conditions = [off, {**off, "value": float("nan")}, {**off, "operator": "~"}]
    planned = Schedules(windows, conditions)
    monkeypatch.setattr(plant.store, "schedules", lambda: planned)
    bodies: list[bytes] = []

    def judge(body: bytes) -> dict[str, Any]:
        bodies.append(body)
        try:
            (stream, *_), _ = parse_streams(body, SETTINGS)
        except InputError as error:
            raise BatchRefusedError(error.message, field=error.field) from None
        taken.append(([w.id for w in stream.work.maintenance], len(stream.work.off_conditions)))
        return score(body)

    taken: list[Any] = []
    score = plant.scorer.score
    monkeypatch.setattr(plant.scorer, "score", judge)
    assigned = plant.give(0, "A", "B")
    with caplog.at_level(logging.ERROR):
        processor.run(batch(assigned))
        asked = len(bodies)
        processor.run(batch(plant.give(1, "C")))
    assert plant.store.stored() == [0, 1, 0]
    assert plant.store.dead() == []
    assert taken == [(["w"], 1)] * 2
    assert (asked, len(bodies)) == (5, 6), "what is refused is known for the next batch"
    messages = [record.message for record in caplog.records]
    assert len(messages) == 4
    assert any("bad rule" in one and "FREQ=NEVER" in one for one in messages)
    gauge = "bridge_plans_refused"
    assert plant.metrics.registry.get_sample_value(gauge) == 4
    renewed = planned.renewed(windows[:1], [off], (), {}, {})
    assert len(renewed.refused) == 1, "rows that are gone are forgotten"


def test_another_refusal_is_not_taken_for_one_of_a_plan(
    plant: Plant, processor: BatchProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(body: bytes) -> dict[str, Any]:
        raise BatchRefusedError("no", field=fields.pop())

    monkeypatch.setattr(plant.scorer, "score", refuse)
    fields = [None, "streams[0].asset_id", "maintenance_windows[0].rrule", "off_conditions"]
    for _ in range(len(fields)):
        with pytest.raises(BatchRefusedError):
            processor.run(batch(plant.give(0, "A")))
    assert plant.store.commits == []
