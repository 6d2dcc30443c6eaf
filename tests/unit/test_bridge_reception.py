"""Holes, offsets given twice, offsets out of range: nothing is passed over in silence."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest
from kafka import TopicPartition

from consumers.claims import find_start
from consumers.metrics import Metrics
from consumers.places import Place
from consumers.reception import Reception

AT = TopicPartition("in", 0)


@dataclass
class FakeRecord:
    offset: int


class FakeConsumer:
    """A log from ``begin`` to ``end``."""

    def __init__(self, begin: int, end: int, committed: int | None = None) -> None:
        self.begin, self.end, self._committed = begin, end, committed
        self.sought: list[int] = []

    def beginning_offsets(self, partitions, timeout_ms):
        return dict.fromkeys(partitions, self.begin)

    def end_offsets(self, partitions, timeout_ms):
        return dict.fromkeys(partitions, self.end)

    def committed(self, partition, timeout_ms):
        return self._committed

    def seek(self, partition, offset):
        self.sought.append(offset)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def place(stored: int | None, at: int = 0) -> Place:
    made = Place(AT, UUID(int=1), 100)
    made.stored, made.position, made.fetched = stored, at, at
    return made


def lost(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("bridge_records_lost_total")


def records(*offsets: int) -> list[FakeRecord]:
    return [FakeRecord(offset) for offset in offsets]


def test_hole_is_believed_when_seen_twice(metrics):
    consumer = FakeConsumer(0, 100)
    reception, one = Reception(consumer, metrics, lambda *_: None), place(5, 5)
    assert reception.accept(one, records(9, 10)) == []
    assert consumer.sought == [5]
    assert len(reception.accept(one, records(9, 10))) == 2
    assert lost(metrics) == 0


def test_hole_filled_on_the_second_look_was_none(metrics):
    reception, one = Reception(FakeConsumer(0, 100), metrics, lambda *_: None), place(5, 5)
    assert reception.accept(one, records(9)) == []
    assert len(reception.accept(one, records(5, 6, 7, 8, 9))) == 5


def test_records_dropped_by_the_broker_are_counted(metrics, caplog):
    reception, one = Reception(FakeConsumer(9, 100), metrics, lambda *_: None), place(5, 5)
    reception.accept(one, records(9))
    reception.accept(one, records(9))
    assert lost(metrics) == 4
    assert "4 records are lost" in caplog.text


def test_log_cut_short_gives_no_offset_twice(metrics, caplog):
    consumer = FakeConsumer(0, 3)
    reception, one = Reception(consumer, metrics, lambda *_: None), place(5, 5)
    reception.out_of_range(one, 5)
    assert consumer.sought == [3]
    assert "the log ends at 3" in caplog.text
    assert reception.accept(one, records(3, 4)) == []
    assert [record.offset for record in reception.accept(one, records(5, 6))] == [5, 6]
    assert lost(metrics) == 2


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
    one = place(stored)
    one.anew = anew
    find_start(FakeConsumer(2, 10, committed), one, reset, 1.0)
    assert (one.position, one.fetched, one.lost) == (start, start, None)


@pytest.mark.parametrize(("stored", "committed"), [(0, None), (None, 0)])
def test_start_below_the_log_is_lost(stored, committed):
    one = place(stored)
    find_start(FakeConsumer(2, 10, committed), one, "earliest", 1.0)
    assert (one.position, one.lost) == (2, (0, 2))
