"""Process one batch: load, score, commit, cache, release.

Nothing is cached before the commit, so after any failure the same records can be processed again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from config import Settings
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.partition import PartitionStatus
from consumers.processing import batch as steps
from consumers.processing import batch_commit
from consumers.processing.batch import BatchRecord, StreamBatch
from consumers.processing.clocks_behind import ClocksBehind
from consumers.processing.local_time import RepeatedHour
from consumers.processing.rejection_breaker import (
    Judgement,
    MisconfigurationError,
    RejectionBreaker,
)
from consumers.records.parsing import Reading
from consumers.schedule_cache import Schedules
from consumers.scoring_client import BatchRefusedError, Scorer
from consumers.store import BridgeStore, FencedError
from consumers.stream_cache import CacheBudget, UnkeyedStreams
from schemas import LookAlikes, StreamKey

log = logging.getLogger("consumers.bridge")


#: After so many seconds, other readings are kept as those that the service has scored.
ACCEPTED_SECONDS = 60.0
#: Log texts for a stream that the service restarted, by the service's reason.
RESTARTS = {
    "clock_ahead": "its clock had run ahead and is set back; the window is restarted",
    "reset": "a reset was requested after an overhaul; the stream is restarted",
    "bad_state": "its stored state could not be read; the stream is restarted",
}


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The objects that all workers share.

    Parameters
    ----------
    stored : callable
        Called after each commit, and if a commit may have taken effect.
    misconfigured : callable
        Called when nearly all records are rejected, so the configuration must be wrong.
    """

    settings: Settings
    store: BridgeStore
    metrics: Metrics
    breaker: RejectionBreaker
    unkeyed: UnkeyedStreams
    cache_budget: CacheBudget
    names: LookAlikes
    repeated_hour: RepeatedHour
    clocks_behind: ClocksBehind
    service_outage: Outage
    store_outage: Outage
    setup_outage: Outage
    stored: Callable[[], None]
    misconfigured: Callable[[MisconfigurationError], None]


class BatchProcessor:
    """Take batches through all stages, one at a time.

    Attributes
    ----------
    scored_at : float
        Time of the last successful scoring (`time.monotonic`).
    """

    def __init__(self, deps: Dependencies, scorer: Scorer) -> None:
        self._deps = deps
        self._scorer = scorer
        self.scored_at = float("-inf")
        self._accepted: bytes | None = None  # a body that the service has scored
        self._accepted_at = float("-inf")

    def run(self, items: list[BatchRecord]) -> None:
        """Take a batch through every stage; on an exception nothing is stored or cached."""
        deps, metrics = self._deps, self._deps.metrics
        framings = [None if i.rejection is None else i.rejection.framing for i in items]
        deps.breaker.check_framings(framings)
        with metrics.timed("load"):
            streams = self._load(items)
        self._score(streams)
        steps.resolve_in_batch_duplicates(items)
        scored: dict[int, list[Judgement]] = {}
        for item in items:
            if item.scored and item.reading is not None:
                reason = None if item.rejection is None else item.rejection.reason
                partition = item.partition.topic_partition.partition
                scored.setdefault(partition, []).append((item.reading.stream, reason))
        deps.breaker.check(scored)
        deps.setup_outage.record_success()
        self._commit(items, streams)
        deps.breaker.note(scored, framings)
        deps.clocks_behind.check(streams)
        update_cache(streams)
        deps.cache_budget.make_room()
        self._log_outcomes(items)
        self._account(items)

    def try_scoring(self, item: BatchRecord) -> None:
        """Score one record and discard the result."""
        self._score(self._load([item]))

    def try_accepted(self) -> bool:
        """Return whether the service scores once more what it scored lately; the result is dropped.

        Without such readings it is not known whether the service works: False.

        Raises
        ------
        Unavailable
        """
        if self._accepted is None:
            return False
        try:
            self._scorer.score(self._accepted)
        except BatchRefusedError:
            return False
        return True

    def _load(self, items: list[BatchRecord]) -> list[StreamBatch]:
        store = self._deps.store
        cached, uncached = steps.look_up_streams(items)
        for assigned, keys in uncached.items():
            loaded = store.load_streams(*assigned.source, keys)
            cached |= {(assigned, key): one for key, one in loaded.items()}
        for asset, sensor, _ in (key for keys in uncached.values() for key in keys):
            for sentence in self._deps.names.meet(asset, sensor):
                log.warning("%s", sentence, extra={"action": "look_alike"})
        streams = steps.group_by_stream(items, cached)
        self._deps.repeated_hour.check(streams)
        self._mark_unkeyed(streams)
        candidates = steps.possible_duplicates(streams)
        if candidates:
            asked = [(i.reading.stream, i.reading.timestamp) for i in candidates if i.reading]
            steps.mark_duplicates(candidates, store.duplicates(asked))
            self._reload_begun_later(streams)
        return streams

    def _reload_begun_later(self, streams: list[StreamBatch]) -> None:
        for assigned, keys in steps.streams_begun_later(streams).items():
            loaded = self._deps.store.load_streams(*assigned.source, keys)
            for stream in streams:
                if stream.partition is assigned and stream.key in keys:
                    loaded[stream.key].unkeyed = stream.cached.unkeyed
                    stream.cached = loaded[stream.key]

    def _mark_unkeyed(self, streams: list[StreamBatch]) -> None:
        """Mark streams that another partition has too, because their readings may be duplicates.

        Two bridges that process the very same reading at the same moment both store it. Preventing
        this would need one more index over all readings, at a cost for every insert.
        """
        asked: dict[UUID, dict[StreamKey, tuple[int, datetime]]] = {}
        for stream in streams:
            topic_id, partition = stream.partition.source
            last = stream.cached.last or min(i.reading.timestamp for i in stream.items if i.reading)
            asked.setdefault(topic_id, {})[stream.key] = partition, last
        seen = {
            (topic_id, key)
            for topic_id, keys in asked.items()
            for key in self._deps.store.unkeyed(topic_id, keys)
        }
        for stream in streams:
            newer = (stream.partition.topic_id, stream.key) in seen
            stream.cached.unkeyed = self._deps.unkeyed.note(stream.key, newer)

    def _score(self, streams: list[StreamBatch]) -> None:
        deps = self._deps
        assets = deps.store.criticalities(stream.key[0] for stream in streams)
        schedules = deps.store.schedules()
        begun = time.monotonic()
        body, answer = self._ask(streams, assets, schedules)
        deps.metrics.plans_refused.set(len(schedules.refused))
        if answer is None:
            return
        steps.apply_response(streams, answer)
        deps.service_outage.record_success(begun)
        self.scored_at = time.monotonic()
        due = self.scored_at - self._accepted_at > ACCEPTED_SECONDS
        if due and any(item.result is not None for one in streams for item in one.sent):
            self._accepted, self._accepted_at = body, self.scored_at

    def _ask(
        self, streams: list[StreamBatch], assets: Mapping[str, str], schedules: Schedules
    ) -> tuple[bytes | None, dict[str, Any] | None]:
        """Call the service, again for each plan it rejects; return what it accepts and answers.

        Both are None if there is nothing to score.
        """
        while body := steps.build_request(streams, assets, schedules=schedules):
            try:
                with self._deps.metrics.timed("score"):
                    return body, self._scorer.score(body)
            except BatchRefusedError as error:
                if not schedules.leave_out(body, error.field, error.message):
                    raise
        return None, None

    def _commit(self, items: list[BatchRecord], streams: list[StreamBatch]) -> None:
        deps = self._deps
        commit = batch_commit.build(items, streams, deps.settings, deps.store.event_level)
        if any(item.partition.status is PartitionStatus.GONE for item in items):
            raise FencedError("revoked meanwhile")
        with deps.metrics.timed("commit"):
            deps.store.commit(commit)
        deps.store_outage.record_success()

    def _log_outcomes(self, items: list[BatchRecord]) -> None:
        """Log restarted streams, and those rejected or incomplete because of set-up or sender."""
        for item in items:
            reading, result = item.reading, item.result
            if reading is None:
                continue
            if result is None:
                self._deps.breaker.log_rejection(reading.stream, item.rejection)
            elif "restarted" in result["metadata"]:
                why = result["metadata"]["restarted"]
                self._deps.metrics.restarted.labels(why).inc()
                log.warning(
                    "asset %s, sensor %s: %s at the reading of %s",
                    reading.asset_id, reading.sensor_id, RESTARTS.get(why, why),
                    reading.timestamp.isoformat(), extra={"action": "restarted"},
                )  # fmt: skip
            if result is not None and "unknown_features" in result["metadata"]:
                _log_renamed(reading, result["metadata"])

    def _account(self, items: list[BatchRecord]) -> None:
        """Release the records of a committed batch, count them, wake the publishers."""
        now = time.monotonic()
        ends = {item.partition: item.record.offset + 1 for item in items}
        for assigned, end in ends.items():
            assigned.advance(end, now)
        self._deps.metrics.account(items)
        self._deps.stored()


def _log_renamed(reading: Reading, metadata: Mapping[str, Any]) -> None:
    """Log once per stream that it lacks features, but has others that the model does not know."""
    lacking = [name for name in metadata.get("imputed", ()) if name not in reading.features]
    if lacking:
        log.warning(
            "asset %s, sensor %s: its readings lack %s, which is imputed, and have %s, which the"
            " model does not know; if it was renamed, nothing watches it",
            reading.asset_id, reading.sensor_id, ", ".join(lacking),
            ", ".join(metadata["unknown_features"])[:500], extra={"action": "renamed"},
        )  # fmt: skip


def update_cache(streams: Iterable[StreamBatch]) -> None:
    """Cache the results of a batch after its commit."""
    now = time.monotonic()
    for stream in streams:
        if stream.state is None:
            continue
        cached = stream.cached
        before = cached.window_length
        cached.set_state(stream.state)
        cached.seen = now
        cached.published = stream.published
        cached.set_window_length(stream.window_length)
        for item, row in zip(stream.sent, stream.rows, strict=True):
            if item.result is not None and item.reading is not None:
                mark = item.result["metadata"].get("window", "added")
                cached.add(row, item.reading.timestamp, mark)
        if 0 < before < stream.window_length:
            # a new bundle needs a longer window: load it from the database next time
            stream.partition.cache.forget(stream.key)
        else:
            stream.partition.cache.put(stream.key, cached)
