"""A row's columns come from the service's result."""

from __future__ import annotations

from uuid import UUID

from db.queries.copy import detection_id
from db.queries.detections import detection_row


def test_a_row_takes_its_columns_from_the_result() -> None:
    result = {
        "asset_id": "A",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "scores": [],
        "final_score": 0.5,
        "is_anomaly": True,
        "criticality": "medium",
        "features": {"x": 1.0},
        "metadata": {
            "event": {"id": "e"},
            "window": "added",
            "group": "g",
            "asset_criticality": "low",
        },
    }
    kafka = detection_row(result, topic_id=UUID(int=1), partition=0, offset=5)
    assert (kafka["event_id"], kafka["window_mark"], kafka["group_name"]) == ("e", "added", "g")
    assert (kafka["sensor_id"], kafka["asset_criticality"]) == (None, "low")
    assert kafka["id"] == detection_id(UUID(int=1), 0, 5)
    rest = detection_row({**result, "metadata": {"event": None}}, row_id=UUID(int=2))
    assert (rest["id"], rest["event_id"], rest["window_mark"]) == (UUID(int=2), None, None)
