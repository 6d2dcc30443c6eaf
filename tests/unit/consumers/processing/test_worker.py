"""A worker stores every batch once; what fails is tried again, smaller or later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from consumers.partition import PartitionStatus
from consumers.processing.poison_records import FAILURES, NEIGHBOURS
from consumers.scoring_client import BatchRefusedError
from consumers.store import FencedError
from db.session import AlreadyStored
from errors import StorageUnavailable, Unavailable
from tests.fixtures.partitions import FakeRecord, ready
from tests.fixtures.records import reading
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import Plant


@pytest.fixture
def plant() -> Plant:
    return Plant()


def poisonous(asset: str) -> Callable[[list[dict[str, Any]]], None]:
    def rule(streams: list[dict[str, Any]]) -> None:
        if any(stream["asset_id"].startswith(asset) for stream in streams):
            raise BatchRefusedError("no", code="http_500")

    return rule


def test_a_batch_is_scored_stored_cached_and_released(plant):
    one = plant.give(0, "A", "B", "A")
    assert plant.worker.step() == 0.0
    assert plant.store.stored() == [0, 1, 2]
    (commit,) = plant.store.commits
    assert [(move.expected, move.new) for move in commit.moves] == [(0, 3)]
    assert (one.stored, one.buffered, len(one.cache), plant.woken) == (3, 0, 2, 1)


def test_what_is_cached_is_not_loaded_again(plant):
    one = plant.give(0, "A", "A", "A", "A", "A")
    plant.work_off(one)
    assert (len(plant.store.commits), plant.store.loads) == (2, 1)


def test_partitions_share_a_batch_and_take_turns():
    plant = Plant(records=3)
    parts = [plant.give(number, *"AAAAAA") for number in range(2)]
    shares = []
    for _ in range(2):
        plant.worker.step()
        shares.append([one.stored or 0 for one in parts])
    assert [sum(share) for share in shares] == [3, 6]
    assert shares[0][0] != shares[0][1]
    assert shares[1] == [3, 3]


def test_a_batch_waits_to_be_full_or_old(plant):
    plant = Plant(records=2, age=3600.0)
    records = [FakeRecord(offset, reading("A", offset)) for offset in range(2)]
    one = ready()
    one.extend(records[:1], 1, time.monotonic())
    plant.worker.add(one)
    plant.worker.start()
    one.extend(records[1:], 2, time.monotonic())
    plant.worker.notify()
    wait_until(lambda: not one.buffered, "the full batch is stored", 20)
    plant.worker.finish()
    plant.worker.stop(20)
    assert [len(commit.detections) for commit in plant.store.commits] == [2]
    assert not plant.worker.died


def test_finish_ends_the_thread_without_another_batch(plant):
    plant.worker.finish()
    one = plant.give(0, "A")
    assert plant.worker.step() is None
    assert one.buffered == 1


@pytest.mark.parametrize("change", ["leave", "drop", "doubt"])
def test_only_ready_partitions_are_taken(plant, change):
    other, one = plant.give(0, "A"), plant.give(1, "B")
    getattr(other, change)()
    plant.work_off(one)
    assert other.buffered == 1


def test_a_partition_removed_is_left_alone(plant):
    other, one = plant.give(0, "A"), plant.give(1, "B")
    plant.worker.remove(other)
    plant.work_off(one)
    assert other.buffered == 1


def test_a_batch_of_a_partition_that_leaves_meanwhile_is_stored(plant):
    one = plant.give(0, "A")
    plant.scorer.rule = lambda _: one.leave()
    plant.worker.step()
    assert plant.store.stored() == [0]


def test_a_batch_of_a_partition_that_went_meanwhile_is_not_stored(plant):
    one, other = plant.give(0, "A"), plant.give(1, "B")
    plant.scorer.rule = lambda _: one.drop()
    plant.worker.step()
    assert plant.store.commits == []
    assert other.status is PartitionStatus.DOUBTFUL  # it was in the same batch


def test_a_batch_in_flight_is_seen_from_outside(plant):
    one, other = plant.give(0, "A"), ready(1)
    seen: list[bool] = []
    plant.scorer.rule = lambda _: seen.extend(
        (plant.worker.is_processing([one]), plant.worker.is_processing([other]))
    )
    plant.worker.step()
    assert seen == [True, False]
    assert not plant.worker.is_processing([one])


@pytest.mark.parametrize("error", [FencedError("gone"), StorageUnavailable("away")])
def test_after_a_rollback_the_account_is_in_doubt_and_nothing_cached(plant, error):
    one = plant.give(0, "A")
    plant.store.failures.append(error)
    wait = plant.worker.step()
    assert (one.status, one.buffered, len(one.cache)) == (PartitionStatus.DOUBTFUL, 1, 0)
    assert (wait > 0) is isinstance(error, StorageUnavailable)
    one.resume()
    plant.work_off(one)
    assert plant.store.stored() == [0]


def test_the_service_is_waited_for_as_long_as_it_asks(plant):
    one = plant.give(0, "A")

    def away(_: Any) -> None:
        raise Unavailable("busy", retry_after=42.0)

    plant.scorer.rule = away
    assert plant.worker.step() == 42.0
    assert (one.status, one.buffered) == (PartitionStatus.READY, 1)
    plant.scorer.rule = lambda _: None
    plant.work_off(one)
    assert plant.codes == [("service", "unavailable"), ("service", None)]


def test_a_poison_record_is_found_and_the_others_are_scored(plant):
    one = plant.give(0, "A", "B", "POISON", "C", "D")
    plant.scorer.rule = poisonous("POISON")
    plant.work_off(one)
    assert plant.store.stored() == [0, 1, 3, 4]
    assert plant.store.dead() == [(2, "unprocessable")]
    (letter,) = (row for commit in plant.store.commits for row in commit.dead_letters)
    assert (letter["asset_id"], letter["message"]) == ("POISON", "http_500: no")
    alone = [size for size in plant.scorer.sizes if size == 1]
    assert len(alone) >= FAILURES


def test_poison_records_of_several_partitions_take_turns(plant):
    parts = [plant.give(number, "POISON", "A") for number in range(2)]
    plant.scorer.rule = poisonous("POISON")
    for one in parts:
        plant.work_off(one)
    assert sorted(plant.store.dead()) == [(0, "unprocessable")] * 2
    assert len(plant.store.stored()) == 2


def test_when_everything_is_refused_no_record_is_to_blame(plant):
    one = plant.give(0, "A", "B", "C")
    plant.scorer.rule = poisonous("")
    for _ in range(3 * FAILURES):
        plant.worker.step()
    assert (one.buffered, plant.store.commits) == (3, [])
    assert plant.codes == [("service", "http_500")]


def test_many_poison_streams_in_a_row_are_no_outage(plant):
    """All that waits is poison, but the service still scores what it has scored before."""
    plant.work_off(plant.give(0, "A", "B"))
    poison = plant.give(1, *(f"POISON{n}" for n in range(2 * NEIGHBOURS)))
    plant.scorer.rule = poisonous("POISON")
    plant.work_off(poison, steps=500)
    assert plant.store.dead() == [(n, "unprocessable") for n in range(2 * NEIGHBOURS)]
    assert ("service", "http_500") not in plant.codes


def test_a_service_that_rejects_even_what_it_scored_before_is_down(plant):
    plant.work_off(plant.give(0, "A", "B"))
    one = plant.give(1, "C", "D", "E")
    plant.scorer.rule = poisonous("")
    for _ in range(3 * FAILURES):
        plant.worker.step()
    assert (one.buffered, plant.store.dead()) == (3, [])
    assert plant.codes == [("service", "http_500")]


def test_a_record_that_is_stored_already_is_passed_over(plant):
    """Its table was restored from a backup that is newer than the account."""
    one = plant.give(0, "A")
    plant.store.failures.append(AlreadyStored("a row of this id"))
    plant.work_off(one)
    assert (plant.store.stored(), plant.store.dead(), one.stored) == ([], [], 1)


@pytest.mark.slow
def test_a_set_up_that_has_all_rejected_waits_for_another_bundle(plant):
    one = plant.give(0, *["NOGROUP"] * 4)
    stepping = threading.Thread(target=plant.worker.step)
    stepping.start()
    wait_until(lambda: plant.misconfigured, "the set-up is called wrong", 20)
    assert not plant.worker.is_processing([one])  # a rebalance need not wait
    plant.scorer.version = "two"
    plant.worker.notify()
    stepping.join(20)
    assert not stepping.is_alive()
    assert (one.buffered, plant.store.commits) == (4, [])
    assert plant.misconfigured[0].code == "refused_no_group"


def test_slow_batches_become_smaller_and_quick_ones_grow_again():
    plant = Plant(records=8, seconds=1e-9)
    one = plant.give(0, *"AAAAAAAAAAAAAAAA")
    for _ in range(3):
        plant.worker.step()
    assert plant.scorer.sizes == [8, 4, 2]
    quick = Plant(records=8)
    quick.worker._limit = 1
    many = quick.give(0, *"AAAAAAAAAAAAAAAA")
    quick.work_off(many)
    assert quick.scorer.sizes == [1, 2, 4, 8, 1]
    assert one.buffered == 2


def test_a_service_that_begins_to_fail_costs_no_record(plant):
    """Other records were scored just before, but none can be now."""
    one = plant.give(0, "A", "B", "C", "D", "E", "F", "G", "H")
    plant.worker.step()
    assert plant.store.stored() == [0, 1, 2, 3]
    plant.scorer.rule = poisonous("")
    for _ in range(2 * FAILURES):
        plant.worker.step()
    assert (one.buffered, plant.store.dead()) == (4, [])
    plant.scorer.rule = lambda _: None
    plant.work_off(one)
    assert plant.store.stored() == list(range(8))


def test_a_batch_that_takes_the_service_too_long_is_tried_smaller(plant):
    one = plant.give(0, "A", "B", "C", "D")

    def slow(streams: list[dict[str, Any]]) -> None:
        if len(streams) > 1:
            raise Unavailable("timed out", code="service_unreachable")

    plant.scorer.rule = slow
    for _ in range(6):
        plant.worker.step()
    assert plant.scorer.sizes[:3] == [4, 2, 1]
    assert plant.store.stored()
    assert one.buffered < 4
