"""Run a model set over whole series as the service would: in chunks, passing on the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import numpy as np

from models.arrays import Bools, Floats, Times
from models.scoring.ensemble import score
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import carried
from models.scoring.stream_work import Reading, StreamWork


@dataclass(slots=True)
class Run:
    """Kept values of each reading's result: score, rank, detectors' scores, event and cause.

    ``rank`` is the unclipped ``-log10 p``, so it distinguishes extreme values.
    """

    score: Floats
    rank: Floats
    detectors: dict[str, Floats]
    event: list[str | None] = field(default_factory=list)
    cause: list[str | None] = field(default_factory=list)

    def alarms(self, threshold: float) -> Bools:
        """Return which readings reach the threshold."""
        out: Bools = self.score >= threshold
        return out


def run_series(
    model_set: ModelSet,
    timestamps: Times,
    values: Floats,
    names: Sequence[str],
    policy: ScoringPolicy | None = None,
    *,
    asset: str = "A",
    criticality: str = "medium",
    chunk: int = 2000,
) -> Run:
    """Score (n, d) readings of one stream in order."""
    policy = policy or ScoringPolicy()
    n = len(values)
    run = Run(np.zeros(n), np.zeros(n), {name: np.zeros(n) for name in model_set.names})
    state: dict[str, Any] | None = None
    window: list[Reading] = []
    for start in range(0, n, chunk):
        points = as_points(timestamps[start : start + chunk], values[start : start + chunk], names)
        work = StreamWork(asset, None, None, criticality, state, window, points)
        (outcome,) = score(model_set, [work], policy)
        state = outcome.state
        window = carried(window, points, outcome.results, outcome.window_length)
        for i, result in enumerate(outcome.results, start):
            run.score[i] = result["final_score"]
            run.rank[i] = -result["log10_p"]
            for vote in result["scores"]:
                run.detectors[vote["model_name"]][i] = vote["score"]
            metadata = result["metadata"]
            event = metadata.get("event")
            run.event.append(event["id"] if event and result["is_anomaly"] else None)
            why = metadata.get("explanation")
            run.cause.append(why["features"][0]["feature"] if why and why["features"] else None)
    return run


def as_points(timestamps: Times, values: Floats, names: Sequence[str]) -> list[Reading]:
    """Convert readings to the ensemble's form."""
    times = timestamps.astype("datetime64[us]").tolist()
    return [
        Reading(t.replace(tzinfo=UTC), dict(zip(names, row, strict=True)))
        for t, row in zip(times, values.tolist(), strict=True)
    ]
