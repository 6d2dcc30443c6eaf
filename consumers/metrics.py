"""The bridge's Prometheus metrics, in a registry of their own."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consumers.records.parsing import REASONS
from runtime import serve_metrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Every metric of the bridge. Times are in seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.records = counter("bridge_records", "records accounted for")
        self.detections = counter("bridge_detections", "readings scored and stored")
        self.anomalies = counter(
            "bridge_anomalies", "anomalies stored, by severity", ["criticality"]
        )
        self.dead_letters = counter(
            "bridge_dead_letters", "records rejected, by reason", ["reason"]
        )
        # Prometheus sees no increase in the first value of a new series.
        for reason in (*REASONS, "missing_features", "no_group", "unprocessable", "duplicate"):
            self.dead_letters.labels(reason)
        self.published = counter("bridge_published", "acknowledged messages", ["topic"])
        self.unpublishable = counter(
            "bridge_unpublishable",
            "messages that no topic can take (too large), kept in the tables",
        )
        self.refusing = gauge(
            "bridge_topic_refuses",
            "1 while a topic refuses what is to be published to it",
            ["topic"],
        )
        self.expired = counter(
            "bridge_outbox_expired", "messages refused for too long, kept in the tables", ["topic"]
        )
        self.lost = counter(
            "bridge_records_lost", "records the broker dropped before they were stored"
        )
        self.outbox = gauge("bridge_outbox_rows", "rows waiting to be published")
        self.lag = gauge("bridge_lag", "records not yet accounted for", ["partition"])
        self.silent = gauge("bridge_streams_silent", "streams without a recent reading")
        self.unkeyed = gauge("bridge_streams_spread", "streams seen on several partitions")
        self.streams = gauge("bridge_streams", "streams cached")
        self.stream_bytes = gauge(
            "bridge_streams_bytes", "memory of these, approximately, in bytes"
        )
        self.restarted = counter(
            "bridge_streams_restarted", "streams that began again, by reason", ["reason"]
        )
        self.plans_refused = gauge(
            "bridge_plans_refused", "windows and off conditions that the service refuses"
        )
        self.buffered = gauge("bridge_records_buffered", "records fetched, not stored")
        self.batch = histogram(
            "bridge_batch_records",
            "records per transaction",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
        )
        self.stage = histogram(
            "bridge_stage_seconds", "time of one batch in a stage", ["stage"], buckets=_SECONDS
        )
        self.latency = histogram(
            "bridge_latency_seconds",
            "from a record's time stamp to its committed row",
            buckets=_SECONDS,
        )
        self.state = gauge("bridge_state", "1 for the state in force", ["state", "why"])
        self._state = ("", "")
        self._server: Thread | None = None
        self.set_state("starting", "")

    def set_state(self, state: str, why: str) -> None:
        """Set ``running``, or ``paused`` with the reason's code. One thread at a time may do it."""
        if (state, why) == self._state:
            return
        if self._state[0]:
            self.state.remove(*self._state)
        self._state = (state, why)
        self.state.labels(state, why).set(1)

    def account(self, items: Sequence[Any]) -> None:
        """Count a committed batch of ``consumers.processing.batch.BatchRecord``."""
        self.records.inc(len(items))
        self.batch.observe(len(items))
        results = [item.result for item in items if item.result is not None]
        self.detections.inc(len(results))
        anomalies = Counts(one["criticality"] for one in results if one["is_anomaly"])
        for severity, count in anomalies.items():
            self.anomalies.labels(severity).inc(count)
        rejected = (item.rejection for item in items if item.result is None)
        for reason, count in Counts(one.reason for one in rejected if one is not None).items():
            self.dead_letters.labels(reason).inc(count)
        now = time.time()
        # the oldest and the newest stand for the batch: observing each record costs too much
        for item in (items[0], items[-1]):
            if item.record.timestamp and item.record.timestamp > 0:
                self.latency.observe(max(0.0, now - item.record.timestamp / 1000))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure how long a batch takes in a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage.labels(stage).observe(time.perf_counter() - started)

    def serve(self, port: int) -> None:
        """Answer ``/metrics`` on ``port`` from a thread of its own."""
        _, self._server = serve_metrics(port, self.registry, "BRIDGE_METRICS_PORT")

    @property
    def died(self) -> bool:
        """Whether the thread that answers has ended."""
        return self._server is not None and not self._server.is_alive()
