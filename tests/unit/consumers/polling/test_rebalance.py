"""What the group gives is claimed; what it takes back is released once its batch is done."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from kafka import TopicPartition

from consumers.partition import PartitionStatus, PartitionTable
from consumers.polling.rebalance import Assignment
from consumers.stream_cache import CacheBudget
from db.queries.offsets import Claim
from tests.fixtures.partitions import TOPIC_ID, FakeConsumer, FakeWorker

AT = [TopicPartition("in", number) for number in range(3)]


class Group:
    """An assignment with two workers, and what the group tells it."""

    def __init__(self, revoke_seconds: float = 30.0) -> None:
        self.consumer = FakeConsumer()
        self.table = PartitionTable()
        self.workers: Any = [FakeWorker(), FakeWorker()]
        self.assignment = Assignment(
            self.consumer, self.table, self.workers, revoke_seconds, CacheBudget(10**6)
        )

    def give(self, *given: TopicPartition) -> None:
        self.consumer.assigned |= set(given)
        asyncio.run(self.assignment.on_partitions_assigned(given))

    def revoke(self, *revoked: TopicPartition) -> None:
        self.consumer.assigned -= set(revoked)
        asyncio.run(self.assignment.on_partitions_revoked(revoked))

    def begin(self) -> None:
        """As the poll loop does once a partition is claimed."""
        for assigned in self.assignment.add_expected("in"):
            assigned.begin(0)
            self.assignment.worker(assigned).add(assigned)


@pytest.fixture
def group() -> Group:
    return Group()


def test_a_new_partition_is_paused_until_it_is_claimed(group):
    group.give(*AT)
    assert group.consumer.paused == set(AT)
    added = group.assignment.add_expected("in")
    assert {one.topic_partition for one in added} == set(AT)
    assert {one.status for one in added} == {PartitionStatus.CLAIMING}
    assert {one.topic_id for one in group.table} == {TOPIC_ID}
    assert group.assignment.add_expected("in") == []


def test_partitions_wait_for_the_topics_id(group):
    group.give(AT[0])
    group.consumer.topic = None
    assert group.assignment.add_expected("in") == []
    group.consumer.topic = UUID(int=9)
    assert [one.topic_id for one in group.assignment.add_expected("in")] == [UUID(int=9)]


def test_partitions_are_shared_out_among_the_workers(group):
    group.give(*AT)
    group.begin()
    numbers = [{p.topic_partition.partition for p in w.partitions} for w in group.workers]
    assert numbers == [{0, 2}, {1}]


def test_a_revoked_partition_is_gone_and_the_others_stay(group):
    group.give(*AT)
    group.begin()
    first = group.table.get(AT[0])
    group.revoke(AT[0])
    assert first.status is PartitionStatus.GONE
    assert {one.topic_partition for one in group.table} == set(AT[1:])
    assert first not in group.workers[0].partitions


def test_a_batch_in_flight_may_finish_before_its_partition_goes(group, monkeypatch):
    group.give(*AT)
    group.begin()
    first = group.table.get(AT[0])
    group.workers[0].processing = {first}
    seen: list[PartitionStatus] = []

    async def sleep(seconds: float) -> None:
        seen.append(first.status)
        if len(seen) == 3:
            group.workers[0].processing = set()

    monkeypatch.setattr(group.consumer, "sleep", sleep)
    group.revoke(AT[0])
    assert seen == [PartitionStatus.LEAVING] * 3
    assert first.status is PartitionStatus.GONE


def test_a_batch_that_does_not_end_is_waited_for_no_longer_than_allowed():
    group = Group(revoke_seconds=0.0)
    group.give(AT[0])
    group.begin()
    (first,) = group.table
    group.workers[0].processing = {first}
    group.revoke(AT[0])
    assert first.status is PartitionStatus.GONE


def test_a_partition_claimed_again_while_it_is_revoked_does_not_stay(group, monkeypatch):
    """As when its topic is found to be another while its batch is waited for."""
    group.give(AT[0])
    group.begin()
    (first,) = group.table
    group.workers[0].processing = {first}

    async def sleep(seconds: float) -> None:
        group.assignment.drop([first])
        group.assignment.expect(AT[0])
        group.begin()
        group.workers[0].processing = set()

    monkeypatch.setattr(group.consumer, "sleep", sleep)
    group.revoke(AT[0])
    assert list(group.table) == []
    assert group.workers[0].partitions == []
    assert group.assignment.add_expected("in") == []


def test_lost_partitions_go_at_once_even_those_without_a_name(group):
    group.give(AT[0])
    group.begin()
    group.give(AT[1])
    group.workers[0].processing = set(group.table)
    asyncio.run(group.assignment.on_partitions_lost(AT[:2]))
    assert list(group.table) == []
    assert group.assignment.add_expected("in") == []


def test_an_earlier_topic_is_known_until_the_new_one_has_begun(group):
    """A topic that is made anew rebalances the group, often before its partitions are claimed."""
    group.give(AT[0])
    (old,) = group.assignment.add_expected("in")
    old.set_claim(Claim(1, 5))
    old.begin(5)
    group.revoke(AT[0])
    group.give(AT[0])
    (again,) = group.assignment.add_expected("in")
    again.set_claim(Claim(2, 5))
    group.revoke(AT[0])
    group.consumer.topic = UUID(int=8)
    for _ in range(2):
        group.give(AT[0])
        (new,) = group.assignment.add_expected("in")
        assert new.earlier == old.known
        group.revoke(AT[0])


def test_settled_is_what_the_group_gave_and_every_part_is_ready(group):
    assert not group.assignment.settled()  # the group has not answered
    group.give(AT[0])
    assert not group.assignment.settled()
    group.begin()
    assert group.assignment.settled()
    group.consumer.stable = False
    assert not group.assignment.settled()
    group.consumer.stable = True
    (first,) = group.table
    first.doubt()
    assert not group.assignment.settled()
    first.resume()
    group.consumer.assigned.add(AT[1])
    assert not group.assignment.settled()


def test_a_member_without_partitions_is_settled(group):
    group.give()
    assert group.assignment.settled()
