"""A batch is stored before anything is cached; what fails leaves everything to be tried again."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.partition import AssignedPartition
from consumers.processing.batch import BatchRecord, ParseLimits, parse_records
from consumers.processing.processor import BatchProcessor
from consumers.store import FencedError
from errors import StorageUnavailable
from tests.fixtures.workers import Plant


def batch(assigned: AssignedPartition) -> list[BatchRecord]:
    return parse_records([(assigned, assigned.head(assigned.buffered))], ParseLimits(3600, 100))


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
