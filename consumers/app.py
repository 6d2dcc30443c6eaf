"""The parts of a bridge put together: started, stepped, drained and stopped as one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from kafka import KafkaConsumer
from kafka import errors as kafka_errors

from config import Settings
from consumers.broker import internals
from consumers.kill import Hook
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.outbox_publisher import Publisher
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
from consumers.store import BridgeStore, Source
from consumers.stream_cache import CacheBudget, UnkeyedStreams
from consumers.table_partitions import MakePartitions, TablePartitionMaintainer
from errors import AnomalyError
from schemas import LookAlikes

log = logging.getLogger("consumers.bridge")

NO_TOPIC_SECONDS = 10.0


class BridgeCondition:
    """Running, or paused and why: the sum of all troubles, for the metric."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._troubles: dict[str, str] = {}

    def notice(self, what: str, code: str | None) -> None:
        if code is None:
            self._troubles.pop(what, None)
        else:
            self._troubles[what] = code
        why = ",".join(sorted(self._troubles.values()))
        self._metrics.set_state("paused" if why else "running", why)


class Bridge:
    """Owns the threads; :meth:`step` is called by the main thread for as long as it runs."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        intake: PollLoop,
        watch: ConsumerMonitor,
        lanes: list[PartitionWorker],
        claims: Claims,
        publisher: Publisher,
        upkeep: TablePartitionMaintainer,
        scorers: list[HttpScorer],
        broker_trouble: Outage,
        metrics: Metrics,
    ) -> None:
        self._consumer = consumer
        self._intake = intake
        self._assignment = intake.assignment
        self._watch = watch
        self._lanes = lanes
        self._claims = claims
        self._publisher = publisher
        self._upkeep = upkeep
        self._scorers = scorers
        self._broker_trouble = broker_trouble
        self._metrics = metrics
        self._started = 0.0
        self.refused: MisconfigurationError | None = None

    def start(self) -> None:
        self._started = time.monotonic()
        self._claims.start()
        self._publisher.start()
        self._upkeep.start()
        for lane in self._lanes:
            lane.start()
        self._metrics.set_state("running", "")
        log.info("bridge started", extra={"action": "started"})

    def step(self) -> None:
        self._intake.step()

    def broker_failed(self, error: AnomalyError) -> float:
        """Note that polling failed; seconds to wait."""
        return self._broker_trouble.failed(error)

    def defect(self) -> BaseException | None:
        """What ended a lane; nothing but a defect of ours does."""
        return next((lane.failure for lane in self._lanes if lane.failure), None)

    def sources(self) -> list[Source]:
        return [
            place.source
            for place in self._assignment.places
            if place.status in (PartitionStatus.READY, PartitionStatus.DOUBTFUL)
        ]

    def drained(self) -> bool:
        """All that was in our partitions when they were claimed is stored and published."""
        if self._watch.topic_missing:
            return time.monotonic() - self._started > NO_TOPIC_SECONDS
        if not self._assignment.settled():
            return False
        places = self._assignment.places
        if any(p.drain_to is None or p.position < p.drain_to for p in places):
            return False
        return self._publisher.idle

    def stop(self, seconds: float) -> None:
        """Finish the batches in hand, publish what is waiting, leave the group."""
        deadline = time.monotonic() + seconds
        for lane in self._lanes:
            lane.stop()
        for lane in self._lanes:
            lane.join(max(0.1, deadline - time.monotonic()))
        self._claims.stop()
        self._upkeep.stop(0.0)
        # what is not published by then is published by the next owner
        self._publisher.stop(min(5.0, max(0.5, deadline - time.monotonic())))
        try:
            offsets = self._watch.offsets_to_tell(self._assignment.places)
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
    make_producer: Callable[[], Any],
    make_scorer: Callable[[], HttpScorer],
    make_partitions: MakePartitions,
    hook: Hook,
) -> Bridge:
    """Put a bridge together out of its settings and connections."""
    condition = BridgeCondition(metrics)
    store_trouble = Outage("database", condition.notice)
    broker_trouble = Outage("broker", condition.notice)
    later: list[Bridge] = []  # the parts below speak to the whole, which is made last
    publisher = Publisher(
        store, make_producer,
        sources=lambda: later[0].sources() if later else [],
        orphans=lambda: _orphans(store, consumer, settings.kafka_topic_input_features),
        metrics=metrics,
        trouble=Outage("publishing", condition.notice),
        store_trouble=store_trouble,
        hook=hook,
    )  # fmt: skip
    spread = UnkeyedStreams(settings.bridge_silent_s)
    budget = CacheBudget(int(settings.bridge_streams_mb * 2**20))
    parts = Dependencies(
        store=store,
        metrics=metrics,
        refusals=RejectionBreaker(
            settings.refusal_window, settings.refusal_pause, settings.refusal_share
        ),
        spread=spread,
        cache_budget=budget,
        names=LookAlikes(),
        repeated_hour=RepeatedHour(),
        targets=Targets(
            settings.kafka_topic_output_anomalies,
            settings.kafka_topic_dead_letter,
            settings.kafka_publish,
        ),
        limits=ParseLimits(settings.bridge_future_s, settings.max_features),
        sizes=BatchSettings(
            settings.bridge_batch_max,
            settings.bridge_batch_age_ms / 1000,
            settings.bridge_batch_seconds,
        ),
        service_trouble=Outage("service", condition.notice),
        store_trouble=store_trouble,
        setup_trouble=Outage("set-up", condition.notice),
        setup_retry=settings.refusal_retry_s,
        hook=hook,
        stored=publisher.notify,
        setup_refused=lambda error: setattr(later[0], "refused", error),
    )
    scorers = [make_scorer() for _ in range(settings.bridge_lanes)]
    lanes = [PartitionWorker(number, parts, scorer) for number, scorer in enumerate(scorers)]
    claims = Claims(store, store_trouble, metrics)
    rules = PollSettings(
        topic=settings.kafka_topic_input_features,
        reset=settings.kafka_auto_offset_reset,
        buffer_records=2 * settings.bridge_batch_max * len(lanes),
        buffer_bytes=int(settings.bridge_buffer_mb * 2**20),
        unreadable_tries=settings.bridge_unreadable_tries,
    )
    watch = ConsumerMonitor(
        consumer, rules.topic, metrics, broker_trouble, spread, settings.bridge_silent_s
    )
    assignment = Assignment(consumer, lanes, settings.bridge_revoke_s, budget)
    intake = PollLoop(consumer, assignment, claims, metrics, watch, rules, condition.notice)
    upkeep = TablePartitionMaintainer(
        make_partitions, Outage("partitions", lambda *_: None)
    )  # pauses nothing
    bridge = Bridge(
        consumer, intake, watch, lanes, claims, publisher, upkeep, scorers, broker_trouble, metrics
    )
    later.append(bridge)
    return bridge


def _orphans(store: BridgeStore, consumer: KafkaConsumer, topic: str) -> list[tuple[UUID, int]]:
    current = internals.topic_id(consumer, topic)
    return [] if current is None else store.orphans(topic, current)
