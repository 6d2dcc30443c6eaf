"""Results and rows that the database tests store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from db.queries import detections

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = UUID("00000000-0000-0000-0000-00000000000a")
OTHER = UUID("00000000-0000-0000-0000-00000000000b")


def result(minute: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "asset_id": "A",
        "sensor_id": "S",
        "timestamp": (START + timedelta(minutes=minute)).isoformat(),
        "scores": [{"model_name": "isolation_forest", "score": 0.1, "threshold": 0.5}],
        "final_score": 0.1,
        "p": 0.2,
        "threshold": 0.5,
        "is_anomaly": False,
        "criticality": "low",
        "features": {"rms": 1.25, "kurtosis": 1e22},
        "metadata": {"window": "added", "group": "default", "event": {"id": "e1"}},
        **changes,
    }


def row(offset: int, minute: int | None = None, *, mark: str = "added", **changes: Any) -> Any:
    feature = changes.pop("feature", None)
    topic = changes.pop("topic_id", TOPIC)
    partition = changes.pop("partition", 0)
    reading = result(offset if minute is None else minute, **changes)
    reading["metadata"] = {**reading["metadata"], "window": mark}
    return detections.detection_row(
        reading, feature=feature, topic_id=topic, partition=partition, offset=offset
    )
