"""The transaction of a batch: a row for every record, one move of each partition's offset."""

from __future__ import annotations

from typing import Any

import pytest

from config import PublishMode, Settings
from consumers.partition import AssignedPartition
from consumers.processing.batch import BatchRecord, parse_records
from consumers.processing.batch_commit import build
from consumers.records.parsing import Rejection
from consumers.store import BatchCommit
from tests.fixtures.partitions import FakeRecord, ready
from tests.fixtures.records import reading

SETTINGS = Settings(
    _env_file=None, kafka_topic_output_anomalies="out", kafka_topic_dead_letter="dead"
)


def item(assigned: AssignedPartition, offset: int, **result: Any) -> BatchRecord:
    """A record with a result, of the event that ``event`` names."""
    records = [FakeRecord(offset, reading("A", offset))]
    (one,) = parse_records([(assigned, records)], SETTINGS)
    event = result.pop("event", None)
    assert one.reading is not None
    one.result = {
        "asset_id": "A", "sensor_id": None, "timestamp": one.reading.timestamp.isoformat(),
        "scores": [], "features": {}, "final_score": 0.2, "is_anomaly": False,
        "criticality": "low", "metadata": {"event": event and {"id": event}}, **result,
    }  # fmt: skip
    return one


def rejected(assigned: AssignedPartition, offset: int, reason: str) -> BatchRecord:
    record = FakeRecord(offset, b"body", headers=[("own", b"1")])
    return BatchRecord(assigned, record, rejection=Rejection(reason, "because", "A"))


def commit_of(*items: BatchRecord, publish: PublishMode = "anomalies") -> BatchCommit:
    settings = SETTINGS.model_copy(update={"kafka_publish": publish})
    return build(items, [], settings, lambda *_: -1)


def test_each_partition_moves_once_past_its_last_record() -> None:
    one, two = ready(1, at=10, epoch=3), ready(2, at=0, epoch=5)
    moves = commit_of(item(one, 10), item(two, 0), item(one, 11)).moves
    assert [(m.partition, m.epoch, m.expected, m.new) for m in moves] == [
        (1, 3, 10, 12),
        (2, 5, 0, 1),
    ]


def test_a_rejected_record_is_kept_and_published_with_its_bytes() -> None:
    commit = commit_of(rejected(ready(), 0, "not_json"))
    (row,) = commit.dead_letters
    assert (row["reason"], row["message"], row["value"], row["asset_id"]) == (
        "not_json", "because", b"body", "A",
    )  # fmt: skip
    (message,) = commit.outbox
    assert (message["target_topic"], message["key"], message["value"]) == ("dead", b"k", b"body")
    assert message["headers"] != row["headers"]  # where it came from, and why, are added


def test_a_duplicate_is_kept_and_not_published() -> None:
    commit = commit_of(rejected(ready(), 0, "duplicate"))
    assert (len(commit.dead_letters), commit.outbox) == (1, [])


def test_a_record_that_is_stored_already_only_moves_the_offset() -> None:
    one = item(ready(), 0)
    one.stored = True
    commit = commit_of(one, publish="all")
    assert (commit.detections, commit.outbox, commit.moves[0].new) == ([], [], 1)


@pytest.mark.parametrize(
    ("publish", "published"), [("all", [0, 1]), ("anomalies", [1]), ("incidents", [])]
)
def test_results_are_published_as_the_setting_wants(
    publish: PublishMode, published: list[int]
) -> None:
    assigned = ready()
    commit = commit_of(item(assigned, 0), item(assigned, 1, is_anomaly=True), publish=publish)
    assert [message["source_offset"] for message in commit.outbox] == published
    assert len(commit.detections) == 2


def test_a_candidate_for_an_incident_waits_until_the_store_knows() -> None:
    event = "0b3e2d5e-0000-0000-0000-000000000001"
    commit = commit_of(item(ready(), 0, is_anomaly=True, event=event), publish="incidents")
    assert commit.outbox == []
    assert list(commit.news) == [commit.detections[0]["id"]]


def test_a_record_without_result_and_rejection_is_a_defect() -> None:
    with pytest.raises(RuntimeError, match="record 7"):
        commit_of(BatchRecord(ready(), FakeRecord(7)))
