"""Arrange readings as columns for a chart and its table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any, Final

#: Maximum rows of a chart; of more readings the worst of each few is kept.
MAX_ROWS: Final = 300
#: Maximum number of features with their own panel.
PANELS: Final = 4
#: Lines end where nothing was stored for this many intervals: a line drawn on would look measured.
GAP_INTERVALS: Final = 10


def incident_series(
    incident: Mapping[str, Any], readings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Build the series of an incident: score and threshold, then the contributing features.

    Returns
    -------
    dict
        ``names``; ``rows`` (epoch seconds first, None for unknown values); ``panels``: columns
        that are drawn together; ``shade``: the span of the event; ``gaps``: spans without
        readings; ``thinned``.
    """
    blamed = [one["feature"] for one in incident["peak"].get("features", ())[:PANELS]]
    shade = [_epoch(incident["started_at"]),
             _epoch(incident["cleared_at"] or incident["last_activity_at"])]  # fmt: skip
    return {**series(readings, blamed), "shade": [shade]}


def series(readings: Sequence[Mapping[str, Any]], features: Sequence[str]) -> dict[str, Any]:
    """Build score, threshold and these features, each with its expected value."""
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
    apart = gaps([row[0] for row in rows])
    return {"names": names, "panels": panels, "rows": rows, "shade": [], "gaps": apart,
            "thinned": len(readings) > len(kept)}  # fmt: skip


def gaps(times: Sequence[float]) -> list[list[float]]:
    """Return the spans (begin, end) between two rows that are much longer than usual."""
    pairs = list(pairwise(times))
    usual = median(b - a for a, b in pairs) if pairs else 0.0
    return [[a, b] for a, b in pairs if b - a > GAP_INTERVALS * usual > 0.0]


def thin(readings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the worst of each few readings, in time order, if there are too many."""
    size = -(-len(readings) // MAX_ROWS) or 1
    parts = (readings[at : at + size] for at in range(0, len(readings), size))
    return [max(part, key=lambda one: one["final_score"]) for part in parts]


def _epoch(at: datetime) -> float:
    return round(at.timestamp(), 3)
