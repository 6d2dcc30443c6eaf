"""The bridge assembled: its threads started, stepped, drained and stopped as one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer
from kafka import errors as kafka_errors

from config import Settings
from consumers.broker import internals
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.outbox_publisher import Outlet, Publisher
from consumers.partition import PartitionTable
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
from consumers.store import BridgeStore
from consumers.stream_cache import CacheBudget, UnkeyedStreams
from consumers.table_partitions import MakePartitions, TablePartitionMaintainer
from consumers.threads import PartThread
from db.queries.outbox import INCIDENT_SOURCE, Source, Target
from schemas import LookAlikes

log = logging.getLogger("consumers.bridge")

NO_TOPIC_SECONDS = 10.0


class BridgeCondition:
    """Running, or paused and why: all outages together, as the metric shows them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()  # updated by every thread
        self._outages: dict[str, str] = {}
        self.misconfiguration: MisconfigurationError | None = None

    def update(self, part: str, code: str | None) -> None:
        """Store the code of a part's outage; None ends it."""
        with self._lock:
            if code is None:
                self._outages.pop(part, None)
            else:
                self._outages[part] = code
            self._show()

    def misconfigured(self, error: MisconfigurationError) -> None:
        """Store why most records are rejected."""
        self.misconfiguration = error

    def started(self) -> None:
        """Show that the bridge runs, unless there is an outage already."""
        with self._lock:
            self._show()

    def _show(self) -> None:
        why = ",".join(sorted(self._outages.values()))
        self._metrics.set_state("paused" if why else "running", why)


@dataclass(eq=False)
class Bridge:
    """Owns the threads; the main thread calls :meth:`step` for as long as it runs."""

    consumer: KafkaConsumer
    table: PartitionTable
    assignment: Assignment
    poll_loop: PollLoop
    monitor: ConsumerMonitor
    workers: list[PartitionWorker]
    claims: Claims
    publishers: list[Publisher]
    maintainer: TablePartitionMaintainer
    scorers: list[HttpScorer]
    broker_outage: Outage
    condition: BridgeCondition
    metrics: Metrics
    _started: float = 0.0

    def start(self) -> None:
        """Start every thread."""
        self._started = time.monotonic()
        for part in self._threads():
            part.start()
        self.condition.started()
        log.info("bridge started", extra={"action": "started"})

    def _threads(self) -> list[PartThread]:
        return [self.claims, *self.publishers, self.maintainer, *self.workers]

    def step(self) -> None:
        """Poll once; see :meth:`PollLoop.step`."""
        self.poll_loop.step()

    def defect(self) -> str | None:
        """Return the name of a thread that ended unasked, which only a defect does, or None."""
        ended = [thread.name for thread in self._threads() if thread.died]
        ended += ["metrics"] if self.metrics.died else []
        return ended[0] if ended else None

    def unpublished(self) -> bool:
        """Return whether messages wait that their topic refuses."""
        return any(publisher.refused for publisher in self.publishers)

    def drained(self) -> bool:
        """Return whether all is stored, and published if it can be, that was there at the start."""
        if self.monitor.topic_missing:
            return time.monotonic() - self._started > NO_TOPIC_SECONDS
        return (
            self.assignment.settled()
            and all(assigned.drained for assigned in self.table)
            and all(publisher.idle for publisher in self.publishers)
        )

    def stop(self, seconds: float) -> None:
        """Finish the batches in flight, publish what is waiting, leave the group."""
        deadline = time.monotonic() + seconds
        for worker in self.workers:
            worker.finish()
        for worker in self.workers:
            worker.stop(max(0.1, deadline - time.monotonic()))
        self.claims.stop()
        self.maintainer.stop(0.0)
        # what is not published by then is published by the next owner
        deadline = min(time.monotonic() + 5.0, max(time.monotonic() + 0.5, deadline))
        for publisher in self.publishers:
            publisher.hurry()
        for publisher in self.publishers:
            publisher.stop(max(0.1, deadline - time.monotonic()))
        try:
            offsets = self.monitor.offsets_to_commit(self.table)
            if offsets:
                internals.commit(self.consumer, offsets, 2.0)
        except (kafka_errors.KafkaError, AssertionError) as error:
            log.debug("last commit to Kafka: %s", error)
        self.consumer.close(autocommit=False, timeout_ms=3000)
        for scorer in self.scorers:
            scorer.close()
        log.info("bridge stopped", extra={"action": "stopped"})


class _Shared:
    """What several parts use, made before any of them."""

    def __init__(
        self, settings: Settings, consumer: KafkaConsumer, store: BridgeStore, metrics: Metrics
    ) -> None:
        self.settings = settings
        self.consumer = consumer
        self.store = store
        self.condition = condition = BridgeCondition(metrics)
        self.metrics = metrics
        self.store_outage = Outage("database", condition.update)
        self.broker_outage = Outage("broker", condition.update)
        self.table = PartitionTable()
        self.unkeyed = UnkeyedStreams(settings.bridge_silent_s)
        self.budget = CacheBudget(int(settings.bridge_streams_mb * 2**20))


def build(
    settings: Settings,
    consumer: KafkaConsumer,
    store: BridgeStore,
    metrics: Metrics,
    *,
    make_producer: Callable[..., Any],
    make_scorer: Callable[[], HttpScorer],
    make_partitions: MakePartitions,
) -> Bridge:
    """Assemble a bridge: shared state first, then publishers, workers and the poll loop.

    Parameters
    ----------
    make_producer : callable
        Makes a producer; each publisher has its own.
    make_scorer : callable
        Makes a client of the service; each worker has its own.
    make_partitions : callable
        Makes the table partitions of a time; see :class:`TablePartitionMaintainer`.
    """
    shared = _Shared(settings, consumer, store, metrics)
    condition = shared.condition
    publishers = _publishers(shared, make_producer)
    scorers = [make_scorer() for _ in range(settings.bridge_lanes)]
    deps = _dependencies(shared, publishers)
    workers = [PartitionWorker(number, deps, scorer) for number, scorer in enumerate(scorers)]
    claims = Claims(store, shared.store_outage, metrics)
    monitor = ConsumerMonitor(
        consumer, settings.kafka_topic_input_features, metrics, shared.broker_outage,
        shared.unkeyed, settings.bridge_silent_s,
    )  # fmt: skip
    assignment = Assignment(
        consumer, shared.table, workers, settings.bridge_revoke_s, shared.budget
    )
    polling = PollSettings(
        topic=settings.kafka_topic_input_features,
        reset=settings.kafka_auto_offset_reset,
        buffer_records=2 * settings.bridge_batch_max * settings.bridge_lanes,
        buffer_bytes=int(settings.bridge_buffer_mb * 2**20),
        unreadable_tries=settings.bridge_unreadable_tries,
    )
    poll_loop = PollLoop(
        consumer, shared.table, assignment, claims, metrics, monitor, polling, condition.update
    )
    # its outage pauses nothing
    maintainer = TablePartitionMaintainer(make_partitions, Outage("partitions", lambda *_: None))
    return Bridge(
        consumer, shared.table, assignment, poll_loop, monitor, workers, claims, publishers,
        maintainer, scorers, shared.broker_outage, condition, metrics,
    )  # fmt: skip


def _dependencies(shared: _Shared, publishers: list[Publisher]) -> Dependencies:
    settings, condition = shared.settings, shared.condition

    def publish() -> None:
        for publisher in publishers:
            publisher.notify()

    return Dependencies(
        store=shared.store,
        metrics=shared.metrics,
        breaker=RejectionBreaker(
            settings.refusal_window,
            settings.refusal_pause,
            settings.refusal_share,
            settings.refusal_retry_s,
        ),
        unkeyed=shared.unkeyed,
        cache_budget=shared.budget,
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
        store_outage=shared.store_outage,
        setup_outage=Outage("set-up", condition.update),
        setup_retry=settings.refusal_retry_s,
        stored=publish,
        misconfigured=condition.misconfigured,
    )


def _publishers(shared: _Shared, make_producer: Callable[..., Any]) -> list[Publisher]:
    """Make one per output topic, and one for what an earlier set-up left for other topics."""
    settings, condition = shared.settings, shared.condition
    topics = {settings.kafka_topic_output_anomalies, settings.kafka_topic_dead_letter}
    incidents = settings.kafka_topic_incidents
    age = settings.bridge_outbox_days * 86400

    def orphans() -> list[Source]:
        topic = settings.kafka_topic_input_features
        return shared.store.orphans(topic, internals.topic_id(shared.consumer, topic), age)

    targets: list[Target] = [*sorted(topics), frozenset({*topics, incidents} - {""})]
    outlets = [Outlet(target, shared.table.sources, orphans, age) for target in targets]
    if incidents:
        # changed by REST and the timer too, so no partition's owner publishes them
        outlets.append(Outlet(incidents, tuple, lambda: [INCIDENT_SOURCE], age, 0.0))
    return [
        Publisher(
            shared.store, Sending(make_producer), outlet, shared.metrics,
            Outage(f"publishing to {outlet}", condition.update), shared.store_outage,
        )
        for outlet in outlets
    ]  # fmt: skip
