"""A worker stores every batch once; what fails is tried again, smaller or later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import AssignedPartition, PartitionStatus
from consumers.processing.batch import ParseLimits
from consumers.processing.batch_commit import Targets
from consumers.processing.local_time import RepeatedHour
from consumers.processing.poison_records import FAILURES
from consumers.processing.processor import BatchSettings, Dependencies
from consumers.processing.rejection_breaker import MisconfigurationError, RejectionBreaker
from consumers.processing.worker import PartitionWorker
from consumers.schedule_cache import Schedules
from consumers.scoring_client import BatchRefusedError
from consumers.store import BatchCommit, FencedError
from consumers.stream_cache import CacheBudget, CachedStream, StreamKey, UnkeyedStreams
from db.session import AlreadyStored
from errors import StorageUnavailable, Unavailable
from schemas import LookAlikes
from tests.fixtures.partitions import FakeRecord, offsets, ready
from tests.fixtures.records import reading
from tests.fixtures.scoring import score_stream
from tests.fixtures.waiting import wait_until


class FakeStore:
    """Keeps what is committed; raises first what a test has put into ``failures``."""

    def __init__(self) -> None:
        self.commits: list[BatchCommit] = []
        self.failures: list[Exception] = []
        self.loads = 0

    def load_streams(
        self, topic_id: UUID, partition: int, firsts: Mapping[StreamKey, datetime]
    ) -> dict[StreamKey, CachedStream]:
        self.loads += 1
        return {key: CachedStream() for key in firsts}

    def unkeyed(self, topic_id: UUID, seen: Any) -> set[StreamKey]:
        return set()

    def duplicates(self, candidates: Any) -> dict[int, Any]:
        return {}

    def schedules(self) -> Schedules:
        return Schedules()

    def criticalities(self, assets: Any) -> dict[str, str]:
        return {}

    def event_level(self, *_: Any) -> int:
        return -1

    def commit(self, batch: BatchCommit) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.commits.append(batch)

    def stored(self) -> list[int]:
        return [row["source_offset"] for one in self.commits for row in one.detections]

    def dead(self) -> list[tuple[int, str]]:
        rows = [row for one in self.commits for row in one.dead_letters]
        return [(row["source_offset"], row["reason"]) for row in rows]


class FakeScorer:
    """Scores as the stub does, unless ``rule`` raises."""

    def __init__(self) -> None:
        self.rule: Callable[[list[dict[str, Any]]], None] = lambda streams: None
        self.sizes: list[int] = []
        self.version = "one"

    def score(self, body: bytes) -> dict[str, Any]:
        streams = orjson.loads(body)["streams"]
        self.sizes.append(sum(len(stream["readings"]["rows"]) for stream in streams))
        self.rule(streams)
        return {"streams": [score_stream(stream) for stream in streams]}

    def bundle_version(self) -> str:
        return self.version


class Plant:
    """A worker, and all that it works with."""

    def __init__(self, most: int = 4, age: float = 0.0, seconds: float = 60.0) -> None:
        self.store, self.scorer, self.metrics = FakeStore(), FakeScorer(), Metrics()
        self.codes: list[tuple[str, str | None]] = []
        self.woken = 0
        self.misconfigured: list[MisconfigurationError] = []
        store: Any = self.store

        def outage(what: str) -> Outage:
            return Outage(what, lambda name, code: self.codes.append((name, code)))

        def stored() -> None:
            self.woken += 1

        deps = Dependencies(
            store=store, metrics=self.metrics, breaker=RejectionBreaker(4, True, 0.95),
            unkeyed=UnkeyedStreams(60), cache_budget=CacheBudget(10**6), names=LookAlikes(),
            repeated_hour=RepeatedHour(), targets=Targets("out", "dead", "anomalies"),
            limits=ParseLimits(3600, 100), batching=BatchSettings(most, age, seconds),
            service_outage=outage("service"), store_outage=outage("database"),
            setup_outage=outage("set-up"), setup_retry=30.0, stored=stored,
            misconfigured=self.misconfigured.append,
        )  # fmt: skip
        self.worker = PartitionWorker(0, deps, self.scorer)

    def give(self, number: int, *assets: str) -> AssignedPartition:
        """A partition with a reading of each of these assets."""
        bodies = [reading(asset, offset) for offset, asset in enumerate(assets)]
        records = [FakeRecord(offset, body) for offset, body in enumerate(bodies)]
        assigned = ready(number, records=records)
        self.worker.add(assigned)
        return assigned

    def work_off(self, assigned: AssignedPartition, steps: int = 50) -> None:
        """Step, without the waits, until nothing is buffered."""
        for _ in range(steps):
            if not assigned.buffered:
                return
            assert self.worker.step() is not None
        raise AssertionError(f"after {steps} steps: {offsets(assigned)}")


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
    plant = Plant(most=3)
    parts = [plant.give(number, *"AAAAAA") for number in range(2)]
    shares = []
    for _ in range(2):
        plant.worker.step()
        shares.append([one.stored or 0 for one in parts])
    assert [sum(share) for share in shares] == [3, 6]
    assert shares[0][0] != shares[0][1]
    assert shares[1] == [3, 3]


def test_a_batch_waits_to_be_full_or_old(plant):
    plant = Plant(most=2, age=3600.0)
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


def test_a_record_that_is_stored_already_is_passed_over(plant):
    """Its table was restored from a backup that is newer than the account."""
    one = plant.give(0, "A")
    plant.store.failures.append(AlreadyStored("a row of this id"))
    plant.work_off(one)
    assert (plant.store.stored(), plant.store.dead(), one.stored) == ([], [], 1)


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
    plant = Plant(most=8, seconds=0.0)
    one = plant.give(0, *"AAAAAAAAAAAAAAAA")
    for _ in range(3):
        plant.worker.step()
    assert plant.scorer.sizes == [8, 4, 2]
    quick = Plant(most=8)
    quick.worker._limit = 1
    many = quick.give(0, *"AAAAAAAAAAAAAAAA")
    quick.work_off(many)
    assert quick.scorer.sizes == [1, 2, 4, 8, 1]
    assert one.buffered == 2
