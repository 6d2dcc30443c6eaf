"""Holes, offsets given twice, offsets out of range: nothing is passed over in silence."""

from __future__ import annotations

import pytest

from consumers.broker.unpacking import EmptyOffsets, FetchedRecord
from consumers.metrics import Metrics
from consumers.polling.offset_validator import OffsetValidator
from tests.fixtures.partitions import FakeConsumer, offsets, ready


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def lost(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("bridge_records_lost_total")


def records(*offsets: int) -> list[FetchedRecord]:
    """As of a batch that begins with the first of them."""
    return [FetchedRecord(offset, offset, 1, None, b"{}") for offset in offsets]


def validator(consumer: FakeConsumer, metrics: Metrics, tries: int = 3) -> OffsetValidator:
    return OffsetValidator(consumer, metrics, lambda *_: None, tries)


def test_hole_is_believed_when_seen_twice(metrics):
    consumer = FakeConsumer(0, 100)
    part, one = validator(consumer, metrics), ready(at=5)
    part.accept(one, records(9, 10), 1.0)
    assert (consumer.sought, offsets(one)) == ([5], [])
    part.accept(one, records(9, 10), 1.0)
    assert (offsets(one), one.fetched) == ([9, 10], 11)
    assert lost(metrics) == 0


def test_hole_filled_on_the_second_look_was_none(metrics):
    part, one = validator(FakeConsumer(0, 100), metrics), ready(at=5)
    part.accept(one, records(9), 1.0)
    part.accept(one, records(5, 6, 7, 8, 9), 1.0)
    assert one.buffered == 5


def test_hole_that_the_log_explains_is_none(metrics):
    """A transaction's marker, or what compaction took out of a batch: no second look."""
    consumer = FakeConsumer(0, 100)
    part, one = validator(consumer, metrics), ready(at=5)
    part.accept(one, [EmptyOffsets(8, 5), *records(9)], 1.0)
    part.accept(one, [FetchedRecord(14, 9, 1, None, b"{}"), EmptyOffsets(20, 15)], 1.0)
    assert (consumer.sought, offsets(one), one.fetched) == ([], [9, 14], 21)


def test_records_dropped_by_the_broker_are_counted(metrics, caplog):
    part, one = validator(FakeConsumer(9, 100), metrics), ready(at=5)
    part.accept(one, records(9), 1.0)
    part.accept(one, records(9), 1.0)
    assert lost(metrics) == 4
    assert "4 records are lost" in caplog.text


def test_log_cut_short_gives_no_offset_twice(metrics, caplog):
    consumer = FakeConsumer(0, 3)
    part, one = validator(consumer, metrics), ready(at=5)
    part.out_of_range(one, 5)
    assert consumer.sought == [3]
    assert "now ends at 3" in caplog.text
    part.accept(one, records(3, 4), 1.0)
    assert (offsets(one), one.position) == ([], 5)
    part.accept(one, records(5, 6), 1.0)
    assert offsets(one) == [5, 6]
    assert lost(metrics) == 2


@pytest.mark.parametrize(("end", "sought"), [(3, 3), (None, 4)])
def test_log_cut_short_below_buffered_records_keeps_their_order(metrics, caplog, end, sought):
    """Offsets 5 and 6 wait to be stored; what the log has there now comes too late."""
    consumer = FakeConsumer(0, 4)
    part, one = validator(consumer, metrics), ready(at=5)
    part.accept(one, records(5, 6), 1.0)
    part.truncated(one, end)
    assert consumer.sought == [sought]
    assert f"now ends at {sought}, but was read up to 7" in caplog.text
    part.accept(one, records(3, 4, 5, 6, 7)[sought - 3 :], 1.0)
    assert (offsets(one), one.position) == ([5, 6, 7], 5)
    assert lost(metrics) == 7 - sought


def damaged(*offsets: int) -> list[FetchedRecord]:
    return [
        FetchedRecord(offset, offset, -1, None, b"raw", unreadable="checksum", retry=True)
        for offset in offsets
    ]


def test_damaged_records_are_tried_again_then_taken_as_they_are(metrics, caplog):
    part, one = validator(FakeConsumer(0, 100), metrics), ready(at=5)
    polled = [*records(5), *damaged(6, 7), *records(8)]
    assert part.accept(one, polled, 1.0) > 0
    assert (offsets(one), one.fetched) == ([5], 6)
    assert part.accept(one, polled[1:], 1.0) > 0
    assert part.accept(one, polled[1:], 1.0) == 0
    assert (offsets(one), one.fetched) == ([5, 6, 7, 8], 9)
    assert "after 3 tries" in caplog.text


def test_the_rest_of_a_damaged_batch_is_not_tried_again(metrics):
    part, one = validator(FakeConsumer(0, 100), metrics, tries=2), ready(at=5)
    part.accept(one, damaged(5, 6), 1.0)
    assert part.accept(one, damaged(5, 6), 1.0) == 0
    assert part.accept(one, damaged(7, 8), 1.0) == 0  # the same batch, cut by the poll
    assert part.accept(one, records(9), 1.0) == 0
    assert part.accept(one, damaged(10), 1.0) > 0  # another
    assert offsets(one) == [5, 6, 7, 8, 9]


def test_damage_that_heals_is_read(metrics):
    part, one = validator(FakeConsumer(0, 100), metrics), ready(at=5)
    part.accept(one, damaged(5), 1.0)
    assert part.accept(one, records(5), 1.0) == 0
    assert [record.unreadable for record in one.head(9)] == [None]
