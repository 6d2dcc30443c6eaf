"""An assigned partition: its life, and the records that it keeps until they are accounted for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from kafka import TopicPartition

from consumers.partition import (
    AssignedPartition,
    IllegalTransitionError,
    PartitionStatus,
    PartitionTable,
)
from consumers.stream_cache import CachedStream
from db.queries.offsets import Claim
from tests.fixtures.partitions import TOPIC_ID, FakeRecord, claiming, offsets, ready


def in_status(status: PartitionStatus) -> AssignedPartition:
    """A partition on its usual way to a status."""
    assigned = claiming()
    ways: dict[PartitionStatus, tuple[Callable[[], object], ...]] = {
        PartitionStatus.CLAIMING: (),
        PartitionStatus.READY: (lambda: assigned.begin(0),),
        PartitionStatus.DOUBTFUL: (lambda: assigned.begin(0), assigned.doubt),
        PartitionStatus.LOST: (lambda: assigned.begin(0), assigned.doubt, assigned.lose),
        PartitionStatus.LEAVING: (assigned.leave,),
        PartitionStatus.GONE: (assigned.drop,),
    }
    for step in ways[status]:
        step()
    assert assigned.status is status
    return assigned


def transition(assigned: AssignedPartition, name: str) -> bool:
    return bool(assigned.begin(5) if name == "begin" else getattr(assigned, name)())


ALLOWED: dict[PartitionStatus, set[str]] = {
    PartitionStatus.CLAIMING: {"begin"},
    PartitionStatus.READY: {"doubt"},
    PartitionStatus.DOUBTFUL: {"resume", "lose"},
    PartitionStatus.LOST: set(),
}


@pytest.mark.parametrize("name", ["begin", "doubt", "resume", "lose"])
@pytest.mark.parametrize("status", list(ALLOWED))
def test_an_illegal_transition_raises_and_changes_nothing(status, name):
    assigned = in_status(status)
    if name in ALLOWED[status]:
        assert transition(assigned, name)
        return
    with pytest.raises(IllegalTransitionError, match=rf"in\[0\]: {status.value} -> "):
        transition(assigned, name)
    assert assigned.status is status


@pytest.mark.parametrize("status", list(PartitionStatus))
def test_the_group_takes_a_partition_back_at_any_moment(status):
    assigned = in_status(status)
    back = status in (PartitionStatus.LEAVING, PartitionStatus.GONE)
    assert assigned.leave() is not back
    assigned.drop()
    assigned.drop()
    assert assigned.status is PartitionStatus.GONE


@pytest.mark.parametrize("name", ["begin", "doubt", "resume", "lose", "leave"])
@pytest.mark.parametrize("taken", ["leave", "drop"])
def test_what_comes_after_the_group_took_it_back_is_ignored(taken, name):
    assigned = ready(records=[FakeRecord(0)])
    getattr(assigned, taken)()
    status = assigned.status
    assert not transition(assigned, name)
    assert (assigned.status, assigned.buffered) == (status, 1)


def test_only_ready_and_doubtful_partitions_are_owned():
    owned = {status for status in PartitionStatus if in_status(status).owned}
    assert owned == {PartitionStatus.READY, PartitionStatus.DOUBTFUL}


def test_its_attributes_are_changed_by_methods_only():
    assigned = ready()
    for name in ("status", "epoch", "stored", "position", "fetched", "lost_at", "bytes", "oldest"):
        with pytest.raises(AttributeError):
            setattr(assigned, name, 0)
    public = {name for name in vars(assigned) if not name.startswith("_")}
    assert public == {"topic_partition", "topic_id", "cache", "earlier"}


def test_each_doubt_is_read_again_once():
    assigned = ready()
    assert not assigned.request_reread()
    for _ in range(2):
        assigned.doubt()
        assert (assigned.request_reread(), assigned.request_reread()) == (True, False)
        assigned.resume()


def test_a_lost_partition_keeps_neither_records_nor_streams():
    assigned = ready(records=[FakeRecord(0)])
    assigned.cache.put(("A", "", ""), CachedStream())
    assigned.doubt()
    assigned.lose()
    assert (assigned.buffered, assigned.bytes, len(assigned.cache)) == (0, 0, 0)
    assert assigned.lost_at > 0


def test_records_are_kept_until_they_are_accounted_for():
    assigned = ready()
    assigned.extend([FakeRecord(n, key=None) for n in (0, 1, 5)], 6, 1.0)
    assert [record.offset for record in assigned.head(2)] == [0, 1]
    assert (assigned.buffered, assigned.fetched, assigned.oldest) == (3, 6, 1.0)
    assigned.advance(2, 2.0)
    assert offsets(assigned) == [5]
    assert assigned.bytes == 201
    assert (assigned.position, assigned.stored, assigned.next) == (2, 2, 6)


def test_offsets_behind_the_last_record_that_hold_none_are_done_with_it():
    """A transaction's marker: else --drain never ended, and the lag stayed at 1."""
    assigned = ready()
    assigned.extend([FakeRecord(0)], 1, 1.0)
    assigned.extend([], 3, 2.0)
    assert assigned.position == 0
    assigned.advance(1, 3.0)
    assert (assigned.position, assigned.stored) == (3, 1)
    assigned.extend([], 5, 4.0)
    assert assigned.position == 5


def test_drained_is_what_was_there_at_the_first_look():
    assigned = ready()
    assert not assigned.drained  # nobody has looked
    assigned.set_end(2)
    assigned.set_end(9)
    assert not assigned.drained
    assigned.advance(2, 0.0)
    assert assigned.drained


def test_a_claim_gives_epoch_and_account():
    assigned = claiming()
    assigned.set_claim(Claim(3, 10))
    assigned.begin(12)
    assert (assigned.epoch, assigned.stored, assigned.position, assigned.fetched) == (3, 10, 12, 12)
    assert assigned.source == (TOPIC_ID, 0)


def test_a_doubt_and_the_groups_word_in_the_same_moment_leave_the_groups():
    for _ in range(50):
        assigned = ready()
        threads = [threading.Thread(target=step) for step in (assigned.doubt, assigned.leave)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert assigned.status is PartitionStatus.LEAVING


def test_the_table_replaces_a_partition_only_by_its_next_assignment():
    table, first, again, other = PartitionTable(), ready(), claiming(), ready(1)
    for assigned in (first, other, again):
        table.add(assigned)
    assert table.get(TopicPartition("in", 0)) is again
    table.remove(first)  # too late: it was replaced
    assert list(table) == [again, other]
    assert table.sources() == [(TOPIC_ID, 1)]
    table.remove(again)
    assert len(table) == 1
