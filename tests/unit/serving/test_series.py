"""Series of known labels exist from the start: Prometheus sees no increase in a first value."""

from __future__ import annotations

from prometheus_client import Counter

from serving import metrics


def test_known_series_exist_before_anything_is_counted() -> None:
    def series(counter: Counter, label: str) -> set[str]:
        return {sample.labels[label] for sample in next(iter(counter.collect())).samples}

    assert series(metrics.DEGRADED, "what") == {"look_up", "journal"}
    assert series(metrics.INCIDENTS, "what") == {"cleared", "unshelved", "closed"}
    assert series(metrics.PERSISTENT, "change") == {"settled", "ended"}
