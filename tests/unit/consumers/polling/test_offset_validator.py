"""Holes, offsets given twice, offsets out of range: nothing is passed over in silence."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from consumers.broker.internals import BRIDGE_METADATA
from consumers.broker.unpacking import FetchedRecord, Nothing
from consumers.metrics import Metrics
from consumers.partition import AssignedPartition
from consumers.polling.claims import find_start
from consumers.polling.offset_validator import OffsetValidator
from consumers.stream_cache import StreamCache

AT = TopicPartition("in", 0)


class FakeConsumer:
    """A log from ``begin`` to ``end``."""

    def __init__(self, begin: int, end: int, committed: Any = None) -> None:
        self.begin, self.end, self._committed = begin, end, committed
        self.sought: list[int] = []

    def beginning_offsets(self, partitions, timeout_ms):
        return dict.fromkeys(partitions, self.begin)

    def end_offsets(self, partitions, timeout_ms):
        return dict.fromkeys(partitions, self.end)

    def committed(self, partition, metadata, timeout_ms):
        assert metadata
        if isinstance(self._committed, int):
            return OffsetAndMetadata(self._committed, "", -1)
        return self._committed

    def seek(self, partition, offset):
        self.sought.append(offset)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def assigned(stored: int | None, at: int = 0) -> AssignedPartition:
    made = AssignedPartition(AT, UUID(int=1), StreamCache())
    made.stored, made.position, made.fetched = stored, at, at
    return made


def lost(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("bridge_records_lost_total")


def records(*offsets: int) -> list[FetchedRecord]:
    """As of a batch that begins with the first of them."""
    return [FetchedRecord(offset, offset, 1, None, b"{}") for offset in offsets]


def validator(consumer: FakeConsumer, metrics: Metrics, tries: int = 3) -> OffsetValidator:
    return OffsetValidator(consumer, metrics, lambda *_: None, tries)


def buffered(assigned: AssignedPartition) -> list[int]:
    return [record.offset for record in assigned.buffer]


def test_hole_is_believed_when_seen_twice(metrics):
    consumer = FakeConsumer(0, 100)
    part, one = validator(consumer, metrics), assigned(5, 5)
    part.accept(one, records(9, 10), 1.0)
    assert (consumer.sought, buffered(one)) == ([5], [])
    part.accept(one, records(9, 10), 1.0)
    assert (buffered(one), one.fetched) == ([9, 10], 11)
    assert lost(metrics) == 0


def test_hole_filled_on_the_second_look_was_none(metrics):
    part, one = validator(FakeConsumer(0, 100), metrics), assigned(5, 5)
    part.accept(one, records(9), 1.0)
    part.accept(one, records(5, 6, 7, 8, 9), 1.0)
    assert len(one.buffer) == 5


def test_hole_that_the_log_explains_is_none(metrics):
    """A transaction's marker, or what compaction took out of a batch: no second look."""
    consumer = FakeConsumer(0, 100)
    part, one = validator(consumer, metrics), assigned(5, 5)
    part.accept(one, [Nothing(8, 5), *records(9)], 1.0)
    part.accept(one, [FetchedRecord(14, 9, 1, None, b"{}"), Nothing(20, 15)], 1.0)
    assert (consumer.sought, buffered(one), one.fetched) == ([], [9, 14], 21)


def test_records_dropped_by_the_broker_are_counted(metrics, caplog):
    part, one = validator(FakeConsumer(9, 100), metrics), assigned(5, 5)
    part.accept(one, records(9), 1.0)
    part.accept(one, records(9), 1.0)
    assert lost(metrics) == 4
    assert "4 records are lost" in caplog.text


def test_log_cut_short_gives_no_offset_twice(metrics, caplog):
    consumer = FakeConsumer(0, 3)
    part, one = validator(consumer, metrics), assigned(5, 5)
    part.out_of_range(one, 5)
    assert consumer.sought == [3]
    assert "cut short at 3" in caplog.text
    part.accept(one, records(3, 4), 1.0)
    assert (buffered(one), one.position) == ([], 5)
    part.accept(one, records(5, 6), 1.0)
    assert buffered(one) == [5, 6]
    assert lost(metrics) == 2


@pytest.mark.parametrize(("end", "sought"), [(3, 3), (None, 4)])
def test_log_cut_short_below_buffered_records_keeps_their_order(metrics, caplog, end, sought):
    """Offsets 5 and 6 wait to be stored; what the log has there now comes too late."""
    consumer = FakeConsumer(0, 4)
    part, one = validator(consumer, metrics), assigned(5, 5)
    part.accept(one, records(5, 6), 1.0)
    part.truncated(one, end)
    assert consumer.sought == [sought]
    assert f"cut short at {sought}, but is read up to 7" in caplog.text
    part.accept(one, records(3, 4, 5, 6, 7)[sought - 3 :], 1.0)
    assert (buffered(one), one.position) == ([5, 6, 7], 5)
    assert lost(metrics) == 7 - sought


def damaged(*offsets: int) -> list[FetchedRecord]:
    return [
        FetchedRecord(offset, offset, -1, None, b"raw", unreadable="checksum", retry=True)
        for offset in offsets
    ]


def test_damaged_records_are_tried_again_then_taken_as_they_are(metrics, caplog):
    part, one = validator(FakeConsumer(0, 100), metrics), assigned(5, 5)
    polled = [*records(5), *damaged(6, 7), *records(8)]
    assert part.accept(one, polled, 1.0) > 0
    assert (buffered(one), one.fetched) == ([5], 6)
    assert part.accept(one, polled[1:], 1.0) > 0
    assert part.accept(one, polled[1:], 1.0) == 0
    assert (buffered(one), one.fetched) == ([5, 6, 7, 8], 9)
    assert "after 3 tries" in caplog.text


def test_the_rest_of_a_damaged_batch_is_not_tried_again(metrics):
    part, one = validator(FakeConsumer(0, 100), metrics, tries=2), assigned(5, 5)
    part.accept(one, damaged(5, 6), 1.0)
    assert part.accept(one, damaged(5, 6), 1.0) == 0
    assert part.accept(one, damaged(7, 8), 1.0) == 0  # the same batch, cut by the poll
    assert part.accept(one, records(9), 1.0) == 0
    assert part.accept(one, damaged(10), 1.0) > 0  # another
    assert buffered(one) == [5, 6, 7, 8, 9]


def test_damage_that_heals_is_read(metrics):
    part, one = validator(FakeConsumer(0, 100), metrics), assigned(5, 5)
    part.accept(one, damaged(5), 1.0)
    assert part.accept(one, records(5), 1.0) == 0
    assert [record.unreadable for record in one.buffer] == [None]


@pytest.mark.parametrize(
    ("stored", "committed", "anew", "reset", "start"),
    [
        (7, 3, False, "latest", 7),
        (None, 3, False, "latest", 3),
        (None, None, False, "latest", 10),
        (None, None, False, "earliest", 2),
        (None, 8, True, "latest", 2),
    ],
)
def test_start_is_the_databases_then_the_groups_then_by_policy(
    stored, committed, anew, reset, start
):
    one = assigned(stored)
    one.anew = anew
    find_start(FakeConsumer(2, 10, committed), one, reset, 1.0)
    assert (one.position, one.fetched, one.lost) == (start, start, None)
    assert one.due == (start if stored is None else None)  # "latest" is another after a restart


@pytest.mark.parametrize(("stored", "committed"), [(0, None), (None, 0)])
def test_start_below_the_log_is_lost(stored, committed):
    one = assigned(stored)
    find_start(FakeConsumer(2, 10, committed), one, "earliest", 1.0)
    assert (one.position, one.due, one.lost) == (2, 2, (0, 2))


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_an_offset_that_only_a_bridge_told_the_group_is_no_start(reset, caplog):
    """The database was restored from a dump that does not know the partition yet."""
    one = assigned(None)
    find_start(FakeConsumer(2, 10, OffsetAndMetadata(8, BRIDGE_METADATA, -1)), one, reset, 1.0)
    assert (one.position, one.due) == (2, 2)
    assert "no account" in caplog.text
