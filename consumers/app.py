"""The parts of a bridge put together: started, stepped, drained and stopped as one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer
from kafka import errors as kafka_errors

from config import Settings
from consumers.broker import internals
from consumers.kill import Hook
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.outbox_publisher import Outlet, Publisher
from consumers.partition import PartitionStatus
from consumers.polling.claims import Claims
from consumers.polling.monitor import ConsumerMonitor
from consumers.polling.poll_loop import PollLoop, PollSettings
from consumers.polling.rebalance import Assignment
from consumers.processing.batch import ParseLimits
from consumers.processing.batch_commit import Targets
from consumers.processing.local_time import RepeatedHour
from consumers.processing.processor import BatchSettings, Dependencies
from consumers.processing.rejection_breaker import MisconfigurationError, RejectionBreaker
from consumers.processing.worker import PartitionWorker
from consumers.scoring_client import HttpScorer
from consumers.sending import Sending
from consumers.store import BridgeStore, Source
from consumers.stream_cache import CacheBudget, UnkeyedStreams
from consumers.table_partitions import MakePartitions, TablePartitionMaintainer
from db.queries.outbox import Target
from errors import AnomalyError
from schemas import LookAlikes

log = logging.getLogger("consumers.bridge")

NO_TOPIC_SECONDS = 10.0


class BridgeCondition:
    """Running, or paused and why: the sum of all troubles, for the metric."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()  # noticed by every thread; the last to notice is right
        self._outages: dict[str, str] = {}

    def update(self, what: str, code: str | None) -> None:
        """Note the trouble of one part; None: it is over."""
        with self._lock:
            if code is None:
                self._outages.pop(what, None)
            else:
                self._outages[what] = code
            self._show()

    def started(self) -> None:
        """The bridge runs, unless something is in trouble already."""
        with self._lock:
            self._show()

    def _show(self) -> None:
        why = ",".join(sorted(self._outages.values()))
        self._metrics.set_state("paused" if why else "running", why)


class Bridge:
    """Owns the threads; :meth:`step` is called by the main thread for as long as it runs."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        poll_loop: PollLoop,
        monitor: ConsumerMonitor,
        workers: list[PartitionWorker],
        claims: Claims,
        publishers: list[Publisher],
        maintainer: TablePartitionMaintainer,
        scorers: list[HttpScorer],
        broker_outage: Outage,
        condition: BridgeCondition,
        metrics: Metrics,
    ) -> None:
        self._consumer = consumer
        self._poll_loop = poll_loop
        self._assignment = poll_loop.assignment
        self._monitor = monitor
        self._workers = workers
        self._claims = claims
        self._publishers = publishers
        self._maintainer = maintainer
        self._scorers = scorers
        self._broker_outage = broker_outage
        self._condition = condition
        self._metrics = metrics
        self._started = 0.0
        self.refused: MisconfigurationError | None = None

    def start(self) -> None:
        self._started = time.monotonic()
        self._claims.start()
        for publisher in self._publishers:
            publisher.start()
        self._maintainer.start()
        for worker in self._workers:
            worker.start()
        self._condition.started()
        log.info("bridge started", extra={"action": "started"})

    def step(self) -> None:
        self._poll_loop.step()

    def broker_failed(self, error: AnomalyError) -> float:
        """Note that polling failed; seconds to wait."""
        return self._broker_outage.record_failure(error)

    def defect(self) -> str | None:
        """The thread that has ended though nobody stopped it; nothing but a defect does that."""
        threads = [
            self._claims.thread,
            self._maintainer.thread,
            *(publisher.thread for publisher in self._publishers),
            *self._workers,
        ]
        ended = [thread.name for thread in threads if thread.died]
        ended += ["metrics"] if self._metrics.died else []
        return ended[0] if ended else None

    def unpublished(self) -> bool:
        """Whether messages wait that their topic refuses."""
        return any(publisher.refused for publisher in self._publishers)

    def sources(self) -> list[Source]:
        return [
            assigned.source
            for assigned in self._assignment.partitions
            if assigned.status in (PartitionStatus.READY, PartitionStatus.DOUBTFUL)
        ]

    def drained(self) -> bool:
        """All that was in our partitions when they were claimed is stored, and published if it can
        be."""
        if self._monitor.topic_missing:
            return time.monotonic() - self._started > NO_TOPIC_SECONDS
        if not self._assignment.settled():
            return False
        partitions = self._assignment.partitions
        if any(p.drain_to is None or p.position < p.drain_to for p in partitions):
            return False
        return all(publisher.idle for publisher in self._publishers)

    def stop(self, seconds: float) -> None:
        """Finish the batches in hand, publish what is waiting, leave the group."""
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            worker.finish()
        for worker in self._workers:
            worker.stop(max(0.1, deadline - time.monotonic()))
        self._claims.stop()
        self._maintainer.stop(0.0)
        # what is not published by then is published by the next owner
        deadline = min(time.monotonic() + 5.0, max(time.monotonic() + 0.5, deadline))
        for publisher in self._publishers:
            publisher.hurry()
        for publisher in self._publishers:
            publisher.stop(max(0.1, deadline - time.monotonic()))
        try:
            offsets = self._monitor.offsets_to_commit(self._assignment.partitions)
            if offsets:
                internals.commit(self._consumer, offsets, 2.0)
        except (kafka_errors.KafkaError, AssertionError) as error:
            log.debug("last commit to Kafka: %s", error)
        self._consumer.close(autocommit=False, timeout_ms=3000)
        for scorer in self._scorers:
            scorer.close()
        log.info("bridge stopped", extra={"action": "stopped"})


def build(
    settings: Settings,
    consumer: KafkaConsumer,
    store: BridgeStore,
    metrics: Metrics,
    *,
    make_producer: Callable[..., Any],
    make_scorer: Callable[[], HttpScorer],
    make_partitions: MakePartitions,
    hook: Hook,
) -> Bridge:
    """Put a bridge together out of its settings and connections."""
    condition = BridgeCondition(metrics)
    store_outage = Outage("database", condition.update)
    broker_outage = Outage("broker", condition.update)
    later: list[Bridge] = []  # the parts below speak to the whole, which is made last
    publishers = _publishers(
        settings,
        consumer,
        store,
        metrics,
        make_producer,
        condition,
        store_outage,
        hook,
        lambda: later[0].sources() if later else [],
    )

    def publish() -> None:
        for publisher in publishers:
            publisher.notify()

    unkeyed = UnkeyedStreams(settings.bridge_silent_s)
    budget = CacheBudget(int(settings.bridge_streams_mb * 2**20))
    deps = Dependencies(
        store=store,
        metrics=metrics,
        breaker=RejectionBreaker(
            settings.refusal_window, settings.refusal_pause, settings.refusal_share
        ),
        unkeyed=unkeyed,
        cache_budget=budget,
        names=LookAlikes(),
        repeated_hour=RepeatedHour(),
        targets=Targets(
            settings.kafka_topic_output_anomalies,
            settings.kafka_topic_dead_letter,
            settings.kafka_publish,
        ),
        limits=ParseLimits(settings.bridge_future_s, settings.max_features),
        batching=BatchSettings(
            settings.bridge_batch_max,
            settings.bridge_batch_age_ms / 1000,
            settings.bridge_batch_seconds,
        ),
        service_outage=Outage("service", condition.update),
        store_outage=store_outage,
        setup_outage=Outage("set-up", condition.update),
        setup_retry=settings.refusal_retry_s,
        hook=hook,
        stored=publish,
        setup_refused=lambda error: setattr(later[0], "refused", error),
    )
    scorers = [make_scorer() for _ in range(settings.bridge_lanes)]
    workers = [PartitionWorker(number, deps, scorer) for number, scorer in enumerate(scorers)]
    claims = Claims(store, store_outage, metrics)
    poll_settings = PollSettings(
        topic=settings.kafka_topic_input_features,
        reset=settings.kafka_auto_offset_reset,
        buffer_records=2 * settings.bridge_batch_max * len(workers),
        buffer_bytes=int(settings.bridge_buffer_mb * 2**20),
        unreadable_tries=settings.bridge_unreadable_tries,
    )
    monitor = ConsumerMonitor(
        consumer, poll_settings.topic, metrics, broker_outage, unkeyed, settings.bridge_silent_s
    )
    assignment = Assignment(consumer, workers, settings.bridge_revoke_s, budget)
    poll_loop = PollLoop(
        consumer, assignment, claims, metrics, monitor, poll_settings, condition.update
    )
    maintainer = TablePartitionMaintainer(
        make_partitions, Outage("partitions", lambda *_: None)
    )  # pauses nothing
    bridge = Bridge(
        consumer, poll_loop, monitor, workers, claims, publishers, maintainer, scorers,
        broker_outage, condition, metrics,
    )  # fmt: skip
    later.append(bridge)
    return bridge


def _publishers(
    settings: Settings,
    consumer: KafkaConsumer,
    store: BridgeStore,
    metrics: Metrics,
    make_producer: Callable[..., Any],
    condition: BridgeCondition,
    store_outage: Outage,
    hook: Hook,
    sources: Callable[[], list[Source]],
) -> list[Publisher]:
    """One for each output topic, and one for what an earlier set-up left for other topics."""
    topics = {settings.kafka_topic_output_anomalies, settings.kafka_topic_dead_letter}
    age = settings.bridge_outbox_days * 86400

    def orphans() -> list[Source]:
        topic = settings.kafka_topic_input_features
        return store.orphans(topic, internals.topic_id(consumer, topic), age)

    targets: list[Target] = [*sorted(topics), frozenset(topics)]
    outlets = [Outlet(target, sources, orphans, age) for target in targets]
    return [
        Publisher(
            store,
            Sending(make_producer),
            outlet,
            metrics,
            Outage(f"publishing to {outlet}", condition.update),
            store_outage,
            hook,
        )
        for outlet in outlets
    ]
