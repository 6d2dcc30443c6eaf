"""The bridge's Prometheus metrics, in a registry of their own."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Every metric of the bridge. Times are in seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: Any = {"registry": self.registry}
        self.records = Counter("bridge_records", "records accounted for", **made)
        self.detections = Counter("bridge_detections", "readings scored and stored", **made)
        self.anomalies = Counter(
            "bridge_anomalies", "anomalies stored, by severity", ["criticality"], **made
        )
        self.dead_letters = Counter("bridge_dead_letters", "by reason", ["reason"], **made)
        self.published = Counter("bridge_published", "acknowledged messages", ["topic"], **made)
        self.unpublishable = Counter(
            "bridge_unpublishable",
            "messages that no topic can take (too large), kept in the tables",
            **made,
        )
        self.refusing = Gauge(
            "bridge_topic_refuses", "1 while a topic refuses what is to be published to it",
            ["topic"], **made,
        )  # fmt: skip
        self.expired = Counter(
            "bridge_outbox_expired", "messages refused for too long, kept in the tables",
            ["topic"], **made,
        )  # fmt: skip
        self.lost = Counter(
            "bridge_records_lost", "records the broker dropped before they were read", **made
        )
        self.outbox = Gauge("bridge_outbox_rows", "rows waiting to be published", **made)
        self.lag = Gauge("bridge_lag", "records not yet accounted for", ["partition"], **made)
        self.silent = Gauge("bridge_streams_silent", "streams without a recent reading", **made)
        self.unkeyed = Gauge("bridge_streams_spread", "streams seen on several partitions", **made)
        self.streams = Gauge("bridge_streams", "streams cached", **made)
        self.stream_bytes = Gauge(
            "bridge_streams_bytes", "memory of these, approximately, in bytes", **made
        )
        self.restarted = Counter(
            "bridge_streams_restarted", "streams that began again, by reason", ["reason"], **made
        )
        self.plans_refused = Gauge(
            "bridge_plans_refused", "windows and off conditions that the service refuses", **made
        )
        self.buffered = Gauge("bridge_records_buffered", "records fetched, not stored", **made)
        self.batch = Histogram(
            "bridge_batch_records", "records per transaction",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000), **made,
        )  # fmt: skip
        self.stage = Histogram(
            "bridge_stage_seconds", "time of one batch in a stage", ["stage"],
            buckets=_SECONDS, **made,
        )  # fmt: skip
        self.latency = Histogram(
            "bridge_latency_seconds", "from a record's time stamp to its committed row",
            buckets=_SECONDS, **made,
        )  # fmt: skip
        self.state = Gauge("bridge_state", "1 for the state in force", ["state", "why"], **made)
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
        anomalies: Counts[str] = Counts()
        refused: Counts[str] = Counts()
        now = time.time()
        for item in items:
            if item.result is not None:
                if item.result["is_anomaly"]:
                    anomalies[item.result["criticality"]] += 1
            elif item.rejection is not None:
                refused[item.rejection.reason] += 1
        self.detections.inc(sum(1 for item in items if item.result is not None))
        for severity, count in anomalies.items():
            self.anomalies.labels(severity).inc(count)
        for reason, count in refused.items():
            self.dead_letters.labels(reason).inc(count)
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
        _, self._server = start_http_server(port, registry=self.registry)

    @property
    def died(self) -> bool:
        """Whether the thread that answers has ended."""
        return self._server is not None and not self._server.is_alive()
