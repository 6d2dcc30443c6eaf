"""Define the sender's Prometheus metrics in their own registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The metrics of the sender; each receiver has its series from the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: Any = {"registry": self.registry}
        self.sent = Counter("notify_sent", "changes that were delivered", ["receiver"], **made)
        self.failures = Counter("notify_failures", "deliveries that failed", ["receiver"], **made)
        self.expired = Counter("notify_expired", "changes given up", ["receiver"], **made)
        self.failing = Gauge(
            "notify_failing", "1 while a receiver cannot be reached", ["receiver"], **made
        )
        self.waiting = Gauge("notify_waiting", "changes due, not delivered", ["receiver"], **made)
        self.leader = Gauge("notify_leader", "1 while this process is the one that sends", **made)

    def set_receivers(self, receivers: Iterable[str]) -> None:
        """Create the series of these receivers, and remove those of others."""
        self.failing.clear()
        self.waiting.clear()
        for name in receivers:
            for metric in (self.sent, self.failures, self.expired, self.failing, self.waiting):
                metric.labels(name)
