"""Convert a detection result to a row of ``anomaly_detections``, for bridge and REST journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.queries.copy import detection_id


def detection_row(
    result: Mapping[str, Any],
    *,
    row_id: UUID | None = None,
    feature: str | None = None,
    topic_id: UUID | None = None,
    partition: int | None = None,
    offset: int | None = None,
) -> dict[str, Any]:
    """Return the columns of one reading to store.

    Parameters
    ----------
    result : dict
        A whole detection result (with asset_id, sensor_id, timestamp and features).
    row_id : UUID, optional
        Id of a row from REST; other rows get the id of their record.
    feature : str, optional
        For a reading of the single-feature shape.
    topic_id, partition, offset : optional
        The source record; absent for REST.
    """
    metadata = result.get("metadata") or {}
    event = metadata.get("event")
    if topic_id is not None and partition is not None and offset is not None:
        row_id = detection_id(topic_id, partition, offset)
    return {
        "id": row_id,
        "timestamp": result["timestamp"],
        "asset_id": result["asset_id"],
        "sensor_id": result.get("sensor_id"),
        "feature": feature,
        "final_score": result["final_score"],
        "p": result.get("p"),
        "threshold": result.get("threshold"),
        "is_anomaly": result["is_anomaly"],
        "criticality": result["criticality"],
        "asset_criticality": metadata.get("asset_criticality"),
        "scores": result["scores"],
        "features": result["features"],
        "metadata": metadata,
        "event_id": event.get("id") if isinstance(event, Mapping) else None,
        "window_mark": metadata.get("window") if topic_id is not None else None,
        "group_name": metadata.get("group"),
        "bundle_version": metadata.get("bundle_version"),
        "topic_id": topic_id,
        "partition": partition,
        "source_offset": offset,
    }
