"""Run a worker thread, which takes batches of its partitions through score and commit.

Records leave a partition's buffer only after their commit, and nothing is cached before. So any
failure can be retried with the same records, in a smaller batch or later.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable, Sequence

from consumers.partition import AssignedPartition, PartitionStatus
from consumers.processing import batch as steps
from consumers.processing.batch import BatchRecord
from consumers.processing.poison_records import (
    EVIDENCE_SECONDS,
    FAILURES,
    NEIGHBOURS,
    PoisonRecords,
    RecordId,
)
from consumers.processing.processor import BatchProcessor, Dependencies
from consumers.processing.rejection_breaker import MisconfigurationError
from consumers.records.parsing import Record, Rejection
from consumers.scoring_client import BatchRefusedError, Scorer
from consumers.store import FencedError
from consumers.threads import PartThread
from db.session import AlreadyStored
from errors import AnomalyError, InputError, Unavailable

log = logging.getLogger("consumers.bridge")

Taken = list[tuple[AssignedPartition, list[Record]]]


class PartitionWorker(PartThread):
    """Process the records of the assigned partitions until stopped.

    Parameters
    ----------
    number : int
        Names the thread.
    deps : Dependencies
        Shared by all workers.
    scorer : Scorer
        This worker's own.
    """

    def __init__(self, number: int, deps: Dependencies, scorer: Scorer) -> None:
        super().__init__(f"worker-{number}", self._work_off)
        self._deps = deps
        self._scorer = scorer
        self._processor = BatchProcessor(deps, scorer)
        self._wake = threading.Condition()
        self._partitions: list[AssignedPartition] = []
        self._stopping = False
        self._limit = deps.settings.bridge_batch_max
        self._turn = 0
        self._in_flight: frozenset[AssignedPartition] = frozenset()
        self._poison_records = PoisonRecords()

    # -- called by other threads ----------------------------------------------------------------

    def add(self, assigned: AssignedPartition) -> None:
        """Start processing a partition."""
        with self._wake:
            self._partitions = [*self._partitions, assigned]
            self._wake.notify()

    def remove(self, assigned: AssignedPartition) -> None:
        """Begin no further batch of a partition."""
        with self._wake:
            self._partitions = [one for one in self._partitions if one is not assigned]
            self._wake.notify()

    def notify(self) -> None:
        """Wake the worker to look for records."""
        with self._wake:
            self._wake.notify()

    def finish(self) -> None:
        """Finish the batch in flight and begin no other; then :meth:`stop` waits for the end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def is_processing(self, partitions: Iterable[AssignedPartition]) -> bool:
        """Return whether the batch in flight contains records of one of these partitions."""
        return not self._in_flight.isdisjoint(partitions)

    # -- the loop -------------------------------------------------------------------------------

    def step(self) -> float | None:
        """Process one batch; return the seconds to wait before the next, or None when stopped."""
        taken = self._take()
        if taken is None:
            return None
        wait = self._attempt(taken)
        self._in_flight = frozenset()
        return wait

    def _work_off(self) -> None:
        while (wait := self.step()) is not None:
            if wait > 0:
                self._pause(wait)

    def _pause(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopping, seconds)

    def _take(self) -> Taken | None:
        """Return the next batch, once it is full or its oldest record old enough; None: stop."""
        with self._wake:
            while not self._stopping:
                ready = [
                    one
                    for one in self._partitions
                    if one.status is PartitionStatus.READY and one.buffered
                ]
                if ready:
                    waited = time.monotonic() - min(assigned.oldest for assigned in ready)
                    left = self._deps.settings.bridge_batch_age_ms / 1000 - waited
                    if left <= 0 or sum(one.buffered for one in ready) >= self._limit:
                        taken = self._cut(ready)
                        self._in_flight = frozenset(assigned for assigned, _ in taken)
                        return taken
                    self._wake.wait(left)
                else:
                    self._wake.wait(1.0)
            return None

    def _cut(self, ready: Sequence[AssignedPartition]) -> Taken:
        """Divide the limit among partitions, starting with a different one each time."""
        self._turn += 1
        start = self._turn % len(ready)
        order = [*ready[start:], *ready[:start]]
        left, taken = self._limit, []
        for number, assigned in enumerate(order):
            share = -(-left // (len(order) - number))
            records = assigned.head(share)
            if records:
                taken.append((assigned, records))
                left -= len(records)
            if left <= 0:
                break
        return taken

    def _attempt(self, taken: Taken) -> float:
        """Process one batch; return the seconds to wait before the next."""
        deps = self._deps
        with deps.metrics.timed("parse"):
            items = steps.parse_records(taken, deps.settings)
        try:
            try:
                started = time.monotonic()
                for item in items:
                    self._apply_verdict(item)
                self._processor.run(items)
                self._poison_records.forget(map(_record_id, items))
                self._adapt_limit(len(items), time.monotonic() - started)
                return 0.0
            except (BatchRefusedError, InputError, AlreadyStored) as error:
                self._clear_caches(taken)
                return self._isolate(items, error)
        except FencedError:
            self._doubt(taken)
            return 0.0
        except MisconfigurationError as error:
            return self._wait_for_setup(error)
        except Unavailable as error:
            if error.code.startswith("storage"):
                self._doubt(taken)
                return deps.store_outage.record_failure(error, writing=True)
            self._halve_limit(len(items))  # a slow service may answer a smaller batch in time
            return deps.service_outage.record_failure(error, error.retry_after)

    def _adapt_limit(self, count: int, seconds: float) -> None:
        """Adapt the batch size so that a batch takes at most ``BRIDGE_BATCH_SECONDS``."""
        settings = self._deps.settings
        if seconds > settings.bridge_batch_seconds:
            self._halve_limit(count)
        elif count >= self._limit and seconds < settings.bridge_batch_seconds / 2:
            self._limit = min(settings.bridge_batch_max, self._limit * 2)

    def _halve_limit(self, count: int) -> None:
        self._limit = max(1, min(self._limit, count) // 2)

    # -- failures -------------------------------------------------------------------------------

    def _clear_caches(self, taken: Taken) -> None:
        for assigned, _ in taken:
            assigned.cache.clear()

    def _doubt(self, taken: Taken) -> None:
        """After a rollback, clear the caches and have the stored offsets read again."""
        self._clear_caches(taken)
        for assigned, _ in taken:
            assigned.doubt()
        self._deps.stored()

    def _isolate(self, items: list[BatchRecord], error: AnomalyError) -> float:
        """Find the record that fails by halving the batch, then decide about it."""
        if len(items) > 1:
            self._halve_limit(len(items))
            log.info("batch of %d rejected (%s): trying half", len(items), error.message)
            return 0.0
        item = items[0]
        record_id = _record_id(item)
        self._poison_records.keep(lambda one: one[0].status is not PartitionStatus.GONE)
        if isinstance(error, AlreadyStored):
            # stored by a database state that this bridge did not read, such as a restored backup
            log.error("offset %d is already stored: only advancing", item.record.offset)
            self._poison_records.verdicts[record_id] = None
            return 0.0
        if not self._others_are_scored(item):
            return self._deps.service_outage.record_failure(error)
        failures = self._poison_records.record_failure(record_id)
        if failures < FAILURES:
            return 0.05 * 2.0**failures
        log.error("offset %d fails alone: %s", item.record.offset, error.message)
        self._poison_records.verdicts[record_id] = f"{error.code}: {error.message}"[:2000]
        return 0.0

    def _apply_verdict(self, item: BatchRecord) -> None:
        verdicts, record_id = self._poison_records.verdicts, _record_id(item)
        if record_id not in verdicts:
            return
        message = verdicts[record_id]
        if message is None:
            item.stored, item.reading = True, None
            return
        reading, item.reading = item.reading, None
        item.rejection = Rejection("unprocessable", message)
        if reading is not None:
            item.rejection.asset_id, item.rejection.sensor_id = reading.asset_id, reading.sensor_id

    def _others_are_scored(self, item: BatchRecord) -> bool:
        """Return whether the service can score other records alone; their results are not used.

        If none of another stream waits, a success shortly before counts instead. If it rejects all
        that wait, they may all be of the same bad kind: then it must score again what it scored
        before. If it rejects that too, it is down.
        """
        own = item.reading.stream if item.reading else None
        share = max(1, NEIGHBOURS // max(1, len(self._partitions)))
        waiting = [(one, one.head(one.buffered)) for one in self._partitions]
        # at random, because whole stretches may be of a kind that the service rejects
        drawn = [(one, random.sample(them, min(share, len(them)))) for one, them in waiting]
        others = [
            other
            for other in steps.parse_records(drawn, self._deps.settings)
            if other.reading is not None and other.reading.stream != own
        ]
        for other in others:
            try:
                self._processor.try_scoring(other)
                return True
            except BatchRefusedError:
                continue
        if not others and time.monotonic() - self._processor.scored_at < EVIDENCE_SECONDS:
            return True
        return self._processor.try_accepted()

    def _wait_for_setup(self, error: MisconfigurationError) -> float:
        """Store nothing of this batch; retry with another bundle, or after a while."""
        deps = self._deps
        self._in_flight = frozenset()  # nothing will be stored, so a rebalance need not wait
        deps.setup_outage.record_failure(error)
        deps.misconfigured(error)
        retry_s = deps.settings.refusal_retry_s
        before, until = self._version(), time.monotonic() + retry_s
        while time.monotonic() < until and not self._stopping:
            self._pause(min(2.0, retry_s))
            if self._version() != before:
                break
        return 0.0

    def _version(self) -> str:
        try:
            return self._scorer.bundle_version()
        except AnomalyError:
            return ""


def _record_id(item: BatchRecord) -> RecordId:
    return item.partition, item.record.offset
