"""Readings as charts: thinned by keeping the worst, expected beside actual."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from serving.page.series import MAX_ROWS, incident_series, series, thin

START = datetime(2026, 1, 1, tzinfo=UTC)


def reading(minute: int, score: float = 0.1, **expected: float) -> dict[str, Any]:
    return {
        "timestamp": START + timedelta(minutes=minute), "final_score": score, "threshold": 0.5,
        "features": {"rms": 1.0 + minute, "flow": 5.0}, "expected": expected or None,
    }  # fmt: skip


def test_too_many_rows_keep_the_worst_of_each_few() -> None:
    readings = [reading(n, 0.99 if n == 501 else 0.1) for n in range(1000)]
    kept = thin(readings)
    assert len(kept) <= MAX_ROWS
    assert readings[501] in kept
    assert [one["timestamp"] for one in kept] == sorted(one["timestamp"] for one in kept)
    assert thin([]) == []


def test_what_was_expected_stands_beside_what_was() -> None:
    found = series([reading(0), reading(1, 0.9, rms=1.5)], ["rms", "flow", "gone"])
    assert found["names"] == ["score", "threshold", "rms", "rms, expected", "flow", "gone"]
    assert found["panels"] == [[0, 1], [2, 3], [4], [5]]
    assert found["rows"][1][1:] == [0.9, 0.5, 2.0, 1.5, 5.0, None]
    assert found["rows"][0][4] is None


def test_lines_end_where_nothing_was_stored() -> None:
    minutes = [*range(60), *range(180, 240), 245, 300]
    found = series([reading(n) for n in minutes], ["rms"])
    at = START.timestamp()
    assert found["gaps"] == [[at + 59 * 60, at + 180 * 60], [at + 245 * 60, at + 300 * 60]]
    assert series([reading(0)], [])["gaps"] == series([], [])["gaps"] == []
    assert series([reading(0)] * 3, [])["gaps"] == []


def test_an_incident_draws_its_features_and_shades_its_span() -> None:
    incident = {
        "peak": {"features": [{"feature": "rms"}, {"feature": "flow"}]},
        "started_at": START, "cleared_at": None, "last_activity_at": START + timedelta(minutes=1),
    }  # fmt: skip
    found = incident_series(incident, [reading(0), reading(1, 0.9, rms=1.5)])
    assert found["names"][2:] == ["rms", "rms, expected", "flow"]
    assert found["shade"] == [[START.timestamp(), START.timestamp() + 60]]
