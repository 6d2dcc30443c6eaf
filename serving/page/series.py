"""Readings as the columns of a chart and of the table beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

#: Rows of a chart; of more readings, the worst of each few are kept.
MAX_ROWS: Final = 300
#: Features that get a panel of their own.
PANELS: Final = 4


def incident_series(
    incident: Mapping[str, Any], readings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Build the series of an incident: score and threshold, then the features to blame.

    Returns
    -------
    dict
        ``names``; ``rows`` (epoch seconds first, None where nothing is known); ``panels``: which
        columns are drawn together; ``shade``: the span of the event; ``thinned``.
    """
    blamed = [one["feature"] for one in incident["peak"].get("features", ())[:PANELS]]
    shade = [_epoch(incident["started_at"]),
             _epoch(incident["cleared_at"] or incident["last_activity_at"])]  # fmt: skip
    return {**series(readings, blamed), "shade": [shade]}


def series(readings: Sequence[Mapping[str, Any]], features: Sequence[str]) -> dict[str, Any]:
    """Build score, threshold and these features, each beside what was expected of it."""
    kept = thin(readings)
    known = [one for one in features if any((r.get("expected") or {}).get(one) is not None
                                           for r in kept)]  # fmt: skip
    names, panels = ["score", "threshold"], [[0, 1]]
    for one in features:
        columns = [one, f"{one}, expected"] if one in known else [one]
        panels.append(list(range(len(names), len(names) + len(columns))))
        names += columns
    rows = []
    for reading in kept:
        row: list[Any] = [_epoch(reading["timestamp"]), reading["final_score"],
                          reading["threshold"]]  # fmt: skip
        expected = reading.get("expected") or {}
        for one in features:
            row.append(reading["features"].get(one))
            if one in known:
                row.append(expected.get(one))
        rows.append(row)
    return {"names": names, "panels": panels, "rows": rows, "shade": [],
            "thinned": len(readings) > len(kept)}  # fmt: skip


def thin(readings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the worst of each few readings, in time order, where there are too many."""
    size = -(-len(readings) // MAX_ROWS) or 1
    parts = (readings[at : at + size] for at in range(0, len(readings), size))
    return [max(part, key=lambda one: one["final_score"]) for part in parts]


def _epoch(at: datetime) -> float:
    return round(at.timestamp(), 3)
