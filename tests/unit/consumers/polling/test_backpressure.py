"""Fetching pauses where enough is buffered, and resumes when half of it is gone."""

from __future__ import annotations

import pytest

from consumers.partition import AssignedPartition
from consumers.polling.backpressure import Backpressure
from tests.fixtures.partitions import FakeConsumer, FakeRecord, claiming, ready


def with_records(number: int, count: int, size: int = 1) -> AssignedPartition:
    return ready(number, records=[FakeRecord(n, b"x" * size) for n in range(count)])


def paused(consumer: FakeConsumer) -> set[int]:
    return {topic_partition.partition for topic_partition in consumer.paused}


def test_records_are_shared_out_among_the_partitions():
    consumer = FakeConsumer()
    backpressure = Backpressure(consumer, max_records=10, max_bytes=10**6)
    full, empty = with_records(0, 5), with_records(1, 4)
    backpressure.balance([full, empty])
    assert paused(consumer) == {0}


def test_bytes_are_shared_out_as_records_are():
    consumer = FakeConsumer()
    backpressure = Backpressure(consumer, max_records=1000, max_bytes=20_000)
    backpressure.balance([with_records(0, 1, size=10_000), with_records(1, 1, size=9_000)])
    assert paused(consumer) == {0}


@pytest.mark.parametrize(("stored", "resumed"), [(4, False), (5, True)])
def test_fetching_goes_on_when_half_is_gone(stored, resumed):
    consumer = FakeConsumer()
    backpressure, one = Backpressure(consumer, 10, 10**6), with_records(0, 10)
    backpressure.balance([one])
    one.advance(stored, 0.0)
    backpressure.balance([one])
    assert (paused(consumer) == set()) is resumed


def test_a_single_record_may_always_be_fetched():
    consumer = FakeConsumer()
    many = [ready(number) for number in range(5)]
    Backpressure(consumer, max_records=2, max_bytes=10**6).balance(many)
    assert paused(consumer) == set()


def test_what_is_not_owned_neither_counts_nor_is_touched():
    consumer = FakeConsumer()
    leaving = with_records(1, 50)
    leaving.leave()
    one = with_records(0, 9)
    Backpressure(consumer, 10, 10**6).balance([one, claiming(2), leaving])
    assert paused(consumer) == set()


def test_a_partition_that_is_held_waits_and_is_fetched_from_where_it_stands():
    consumer, one = FakeConsumer(), ready(at=7)
    backpressure = Backpressure(consumer, 10, 10**6)
    backpressure.hold(one, 3600.0)
    backpressure.balance([one])
    assert (paused(consumer), consumer.sought) == ({0}, [7])
    backpressure.hold(one, 0.0)
    backpressure.balance([one])
    assert paused(consumer) == set()
