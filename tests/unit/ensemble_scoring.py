"""Scoring with a model set, as the ensemble's tests ask for it."""

from __future__ import annotations

import json

from models.scoring.ensemble import StreamOutcome, score
from models.scoring.stream_work import Reading, StreamWork


def work(readings, state=None, window=(), criticality="medium", asset="PUMP_001") -> StreamWork:
    return StreamWork(asset, "S1", None, criticality, state, list(window), list(readings))


def one(model_set, readings, policy=None, **given) -> StreamOutcome:
    (outcome,) = score(model_set, [work(readings, **given)], policy)
    return outcome


def in_pieces(model_set, readings, size) -> tuple[list[dict], dict | None]:
    """Score in requests of ``size`` readings, state and window through JSON as the bridge does."""
    state: dict | None = None
    window: list[Reading] = []
    results: list[dict] = []
    for start in range(0, len(readings), size):
        part = readings[start : start + size]
        outcome = one(model_set, part, state=json.loads(json.dumps(state)), window=window)
        for point, result in zip(part, outcome.results, strict=True):
            mark = result["metadata"]["window"]
            if mark == "restarted":
                window = []
            if mark != "left_out":
                window = [*window, point][-outcome.window_length :]
        state = outcome.state
        results += outcome.results
    return results, state
