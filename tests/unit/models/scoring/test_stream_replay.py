"""A replay is what the bridge does: state and window carried from call to call."""

from __future__ import annotations

from typing import Any

import pytest

from models.scoring import stream_replay
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import carried, replay
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import one

STREAM = ("PUMP_001", "S1", None)


def test_a_replay_gives_what_one_call_gives(model_set, readings, monkeypatch):
    monkeypatch.setattr(stream_replay, "CHUNK", 17)
    parts = list(replay(model_set, STREAM, iter(readings[:60]), ScoringPolicy()))
    assert [len(part) for part in parts] == [17, 17, 17, 9]
    whole = one(model_set, readings[:60]).results
    found = [result for part in parts for result in part]
    assert [r["final_score"] for r in found] == pytest.approx([r["final_score"] for r in whole])


def test_the_stream_is_shown_just_before_each_stop(model_set, readings):
    seen: list[Any] = []
    stops = [0, 30, 31]
    list(replay(model_set, STREAM, iter(readings[:40]), ScoringPolicy(), "medium", stops, seen))
    assert [at for at, _, _ in seen] == stops
    assert seen[0][1:] == (None, [])
    assert seen[1][1]["last"] == readings[29].timestamp.isoformat()
    assert seen[2][2][-1] == readings[30]


def test_a_window_follows_the_marks():
    points = [Reading(None, {"x": float(i)}) for i in range(5)]
    marks = ["added", "left_out", "restarted", "added"]
    results = [{"metadata": {"window": mark}} for mark in marks]
    assert carried(points[:1], points[1:], results, 9) == [points[3], points[4]]
    assert carried(points[:1], points[1:], results, 1) == [points[4]]
    assert carried(points[:1], points[1:], results, 0) == []
    assert carried(points[:1], points[1:2], [{"error": {}}], 9) == points[:1]
