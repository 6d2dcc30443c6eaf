"""What is done with one batch: load, score, commit, remember, account.

Nothing is remembered before the commit; whatever fails, the same records may be tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from consumers.kill import Hook
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import PartitionStatus
from consumers.processing import batch as steps
from consumers.processing import batch_commit
from consumers.processing.batch import BatchRecord, ParseLimits, StreamBatch
from consumers.processing.local_time import RepeatedHour
from consumers.processing.rejection_breaker import MisconfigurationError, RejectionBreaker
from consumers.scoring_client import Scorer
from consumers.store import BridgeStore, FencedError
from consumers.stream_cache import CacheBudget, StreamKey, UnkeyedStreams
from schemas import LookAlikes

log = logging.getLogger("consumers.bridge")


#: What is said of a stream that begins anew, by the reason that the service gives.
RESTARTS = {
    "clock_ahead": "its time had run ahead and is set back; the window begins anew",
    "bad_state": "its stored state could not be read, so the stream begins anew",
}


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How batches are cut. Ages and times in seconds."""

    most: int
    age: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a lane works with, handed in."""

    store: BridgeStore
    metrics: Metrics
    refusals: RejectionBreaker
    spread: UnkeyedStreams
    cache_budget: CacheBudget
    names: LookAlikes
    repeated_hour: RepeatedHour
    targets: batch_commit.Targets
    limits: ParseLimits
    sizes: BatchSettings
    service_trouble: Outage
    store_trouble: Outage
    setup_trouble: Outage
    setup_retry: float
    hook: Hook
    stored: Callable[[], None]  # told after each commit
    setup_refused: Callable[[MisconfigurationError], None]


class BatchProcessor:
    """Takes batches through all stages, one at a time."""

    def __init__(self, parts: Dependencies, scorer: Scorer) -> None:
        self._parts = parts
        self._scorer = scorer
        self.scored_at = float("-inf")  # when anything was last scored

    def run(self, items: list[BatchRecord]) -> None:
        """Every stage; raises whatever fails, with nothing stored or remembered."""
        parts, metrics = self._parts, self._parts.metrics
        framings = [None if i.refusal is None else i.refusal.framing for i in items]
        parts.refusals.check_framings(framings)
        with metrics.timed("load"):
            works = self._load(items)
        self._score(works)
        steps.resolve_in_batch_duplicates(items)
        judged = [
            (item.reading.stream, None if item.refusal is None else item.refusal.reason)
            for item in items
            if item.judged and item.reading is not None
        ]
        parts.refusals.check(judged)
        parts.setup_trouble.passed()
        self._commit(items, works)
        parts.refusals.note(judged, framings)
        update_cache(works)
        parts.cache_budget.make_room()
        self._say(items)
        self._account(items)

    def try_scoring(self, item: BatchRecord) -> None:
        """Have one record scored, and use nothing of the answer."""
        self._score(self._load([item]))

    def _load(self, items: list[BatchRecord]) -> list[StreamBatch]:
        store = self._parts.store
        memories, missing = steps.remembered(items)
        for place, keys in missing.items():
            recalled = store.recall(*place.source, keys)
            memories |= {(place, key): memory for key, memory in recalled.items()}
        for asset, sensor, _ in (key for keys in missing.values() for key in keys):
            for sentence in self._parts.names.meet(asset, sensor):
                log.warning("%s", sentence, extra={"action": "look_alike"})
        works = steps.group_by_stream(items, memories)
        self._parts.repeated_hour.notice(works)
        self._note_spread(works)
        suspects = steps.possible_duplicates(works)
        if suspects:
            asked = [(i.reading.stream, i.reading.timestamp) for i in suspects if i.reading]
            steps.mark_duplicates(suspects, store.duplicates(asked))
            self._recall_later(works)
        return works

    def _recall_later(self, works: list[StreamBatch]) -> None:
        for place, keys in steps.begun_later(works).items():
            recalled = self._parts.store.recall(*place.source, keys)
            for work in works:
                if work.place is place and work.key in keys:
                    recalled[work.key].spread = work.memory.spread
                    work.memory = recalled[work.key]

    def _note_spread(self, works: list[StreamBatch]) -> None:
        """Streams that another partition has too, perhaps another bridge's, may repeat its.

        Two bridges that have the very same reading in hand at the same moment both store it: to
        tell that, every insert would have to pay for one more index over all readings.
        """
        asked: dict[UUID, dict[StreamKey, tuple[int, datetime]]] = {}
        for work in works:
            topic_id, partition = work.place.source
            last = work.memory.last or min(i.reading.timestamp for i in work.items if i.reading)
            asked.setdefault(topic_id, {})[work.key] = partition, last
        seen = {
            (topic_id, key)
            for topic_id, streams in asked.items()
            for key in self._parts.store.spread(topic_id, streams)
        }
        for work in works:
            newer = (work.place.topic_id, work.key) in seen
            work.memory.spread = self._parts.spread.note(work.key, newer)

    def _score(self, works: list[StreamBatch]) -> None:
        parts = self._parts
        assets = parts.store.criticalities(work.key[0] for work in works)
        body = steps.build_request(works, assets)
        if body is None:
            return
        parts.hook("before_score")
        begun = time.monotonic()
        with parts.metrics.timed("score"):
            answer = self._scorer.score(body)
        steps.apply_response(works, answer)
        parts.service_trouble.passed(begun)
        self.scored_at = time.monotonic()
        parts.hook("after_score")

    def _commit(self, items: list[BatchRecord], works: list[StreamBatch]) -> None:
        parts = self._parts
        commit = batch_commit.build(items, works, parts.targets, parts.store.event_level)
        if any(item.place.status is PartitionStatus.GONE for item in items):
            raise FencedError("revoked meanwhile")
        with parts.metrics.timed("commit"):
            parts.store.commit(commit)
        parts.store_trouble.passed()
        parts.hook("after_commit")

    def _say(self, items: list[BatchRecord]) -> None:
        """Streams that began anew, and those refused for what the set-up or their sender lacks."""
        for item in items:
            reading, result = item.reading, item.result
            if reading is None:
                continue
            if result is None:
                self._parts.refusals.say(reading.stream, item.refusal)
            elif "restarted" in result["metadata"]:
                why = result["metadata"]["restarted"]
                self._parts.metrics.restarted.labels(why).inc()
                log.warning(
                    "asset %s, sensor %s: %s with the reading of %s",
                    reading.asset_id, reading.sensor_id, RESTARTS.get(why, why),
                    reading.timestamp.isoformat(), extra={"action": "restarted"},
                )  # fmt: skip

    def _account(self, items: list[BatchRecord]) -> None:
        """After a commit: let go of the records, count, tell the others."""
        now = time.monotonic()
        ends = {item.place: item.record.offset + 1 for item in items}
        for place, end in ends.items():
            place.stored = end
            place.drop_through(end, now)
        self._parts.metrics.account(items)
        self._parts.stored()


def update_cache(works: Iterable[StreamBatch]) -> None:
    """Take the outcome of a batch into memory, once it is committed."""
    now = time.monotonic()
    for work in works:
        if work.state is None:
            continue
        memory = work.memory
        before = memory.window_length
        memory.hold(work.state)
        memory.seen = now
        memory.published = work.published
        memory.grow(work.window_length)
        for item, row in zip(work.sent, work.rows, strict=True):
            if item.result is not None and item.reading is not None:
                mark = item.result["metadata"].get("window", "added")
                memory.add(row, item.reading.timestamp, mark)
        if 0 < before < work.window_length:
            # a new bundle looks further back: what was dropped is still in the database
            work.place.memories.forget(work.key)
        else:
            work.place.memories.put(work.key, memory)
