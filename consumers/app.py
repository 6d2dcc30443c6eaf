"""Assemble the bridge: start, step, drain and stop its threads."""

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
from consumers.frozen_copies import FrozenCopies
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.outbox_publisher import Outlet, Publisher
from consumers.partition import PartitionTable
from consumers.polling.claims import Claims
from consumers.polling.monitor import ConsumerMonitor
from consumers.polling.poll_loop import PollLoop
from consumers.polling.rebalance import Assignment
from consumers.processing.clocks_behind import ClocksBehind
from consumers.processing.local_time import RepeatedHour
from consumers.processing.processor import Dependencies
from consumers.processing.rejection_breaker import MisconfigurationError, RejectionBreaker
from consumers.processing.worker import PartitionWorker
from consumers.scoring_client import HttpScorer
from consumers.sending import Sending
from consumers.store import BridgeStore
from consumers.stream_cache import CacheBudget, UnkeyedStreams
from consumers.table_partitions import TablePartitionMaintainer
from consumers.threads import PartThread
from db.queries.outbox import INCIDENT_SOURCE, Source, Target, orphaned_sources
from schemas import LookAlikes

log = logging.getLogger("consumers.bridge")

NO_TOPIC_SECONDS = 10.0  # --drain ends if the topic does not exist after this time


class BridgeCondition:
    """Combine all outages into one state for the metric: running, or paused with the reasons."""

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
        """Store the reason why most records are rejected."""
        self.misconfiguration = error

    def started(self) -> None:
        """Show the state once the threads run."""
        with self._lock:
            self._show()

    def _show(self) -> None:
        why = ",".join(sorted(self._outages.values()))
        self._metrics.set_state("paused" if why else "running", why)


class Bridge:
    """Own the threads; the main thread calls :meth:`step` in a loop.

    Shared objects are created first, then publishers, workers and the poll loop.

    Parameters
    ----------
    settings : Settings
    consumer : KafkaConsumer
    store : BridgeStore
    metrics : Metrics
    make_producer : callable
        Makes a producer; each publisher gets its own.
    make_scorer : callable
        Makes a client of the service; each worker gets its own.
    make_partitions : callable
        Creates the table partitions that are due; see :class:`TablePartitionMaintainer`.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: KafkaConsumer,
        store: BridgeStore,
        metrics: Metrics,
        *,
        make_producer: Callable[..., Any],
        make_scorer: Callable[[], HttpScorer],
        make_partitions: Callable[[], list[str]],
    ) -> None:
        self._started = 0.0
        self.consumer, self.metrics, self.table = consumer, metrics, PartitionTable()
        self.condition = BridgeCondition(metrics)
        listener = self.condition.update
        store_outage = Outage("database", listener)
        self.broker_outage = Outage("broker", listener)
        unkeyed = UnkeyedStreams(settings.bridge_silent_s)
        budget = CacheBudget(int(settings.bridge_streams_mb * 2**20))
        self.publishers = [
            Publisher(
                store, Sending(make_producer), outlet, metrics,
                Outage(f"publishing to {outlet}", listener), store_outage,
            )
            for outlet in _outlets(settings, consumer, store, self.table)
        ]  # fmt: skip
        deps = Dependencies(
            settings, store, metrics, RejectionBreaker(settings), unkeyed, budget, LookAlikes(),
            RepeatedHour(), ClocksBehind(settings.event_silence_s),
            service_outage=Outage("service", listener), store_outage=store_outage,
            setup_outage=Outage("set-up", listener), stored=self._publish,
            misconfigured=self.condition.misconfigured,
        )  # fmt: skip
        self.scorers = [make_scorer() for _ in range(settings.bridge_lanes)]
        self.workers = [PartitionWorker(n, deps, scorer) for n, scorer in enumerate(self.scorers)]
        self.claims = Claims(store, store_outage, metrics)
        self.monitor = ConsumerMonitor(consumer, metrics, self.broker_outage, unkeyed, settings)
        self.assignment = Assignment(
            consumer, self.table, self.workers, settings.bridge_revoke_s, budget
        )
        self.poll_loop = PollLoop(
            consumer, self.table, self.assignment, self.claims, metrics, self.monitor, settings,
            listener,
        )  # fmt: skip
        self.maintainer = TablePartitionMaintainer(make_partitions, Outage("partitions"))
        self.frozen_copies = FrozenCopies(store, settings.database_idle_timeout_s)

    def _publish(self) -> None:
        for publisher in self.publishers:
            publisher.notify()

    def start(self) -> None:
        """Start every thread."""
        self._started = time.monotonic()
        for part in self._threads():
            part.start()
        self.condition.started()
        log.info("bridge started", extra={"action": "started"})

    def _threads(self) -> list[PartThread]:
        parts = [self.claims, *self.publishers, self.maintainer, self.frozen_copies]
        return [*parts, *self.workers]

    def step(self) -> None:
        """Poll once; see :meth:`PollLoop.step`."""
        self.poll_loop.step()

    def defect(self) -> str | None:
        """Return the name of a thread that has ended because of a bug, or None."""
        ended = [thread.name for thread in self._threads() if thread.died]
        ended += ["metrics"] if self.metrics.died else []
        return ended[0] if ended else None

    def unpublished(self) -> bool:
        """Return whether messages wait because their topic rejects them."""
        return any(publisher.refused for publisher in self.publishers)

    def drained(self) -> bool:
        """Return whether all records present at the start are stored and published if possible."""
        if self.monitor.topic_missing:
            return time.monotonic() - self._started > NO_TOPIC_SECONDS
        return (
            self.assignment.settled()
            and all(assigned.drained for assigned in self.table)
            and all(publisher.idle for publisher in self.publishers)
        )

    def stop(self, seconds: float) -> None:
        """Finish the batches in flight, publish waiting messages, leave the group."""
        deadline = time.monotonic() + seconds
        for worker in self.workers:
            worker.finish()
        for worker in self.workers:
            worker.stop(max(0.1, deadline - time.monotonic()))
        self.claims.stop()
        self.maintainer.stop(0.0)
        self.frozen_copies.stop(0.0)
        # the next owner of the partitions publishes the messages that do not go out in time
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


def _outlets(
    settings: Settings, consumer: KafkaConsumer, store: BridgeStore, table: PartitionTable
) -> list[Outlet]:
    """Make one outlet per topic, and one for messages to topics of earlier settings."""
    topics = {settings.kafka_topic_output_anomalies, settings.kafka_topic_dead_letter}
    incidents = settings.kafka_topic_incidents
    age = settings.bridge_outbox_days * 86400

    def orphans() -> list[Source]:
        topic = settings.kafka_topic_input_features
        return store.run(orphaned_sources, topic, internals.topic_id(consumer, topic), age)

    targets: list[Target] = [*sorted(topics), frozenset({*topics, incidents} - {""})]
    outlets = [Outlet(target, table.sources, orphans, age) for target in targets]
    if incidents:
        # REST and the timer change incidents too, so they belong to no partition's owner
        outlets.append(Outlet(incidents, tuple, lambda: [INCIDENT_SOURCE], age, 0.0))
    return outlets
