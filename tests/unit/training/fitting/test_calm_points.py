"""The points at which faults are injected: calm ones, of all streams."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

import numpy as np

from models.scoring.policy import ScoringPolicy
from training.evaluation.measures import Scored
from training.fitting.injection_trials import SEEN
from training.fitting.power import INJECTIONS, calm_points
from training.fitting.stream_scores import HeldOut, InjectionPoint

STREAMS, EACH = 6, 10


def chosen(alarming: int | None = None) -> Counter[int]:
    """Count the chosen points by stream; one stream may alarm throughout."""
    held = SimpleNamespace(policy=ScoringPolicy(), skip=[0] * STREAMS, seed=0)
    scored = [
        SimpleNamespace(p=np.full(EACH * SEEN, 1e-9 if i == alarming else 0.5))
        for i in range(STREAMS)
    ]
    points = [SimpleNamespace(stream=i, at=k * SEEN) for i in range(STREAMS) for k in range(EACH)]
    calm = calm_points(
        cast(HeldOut, held), cast("list[Scored]", scored), cast("list[InjectionPoint]", points)
    )
    return Counter(point.stream for point in calm)


def test_equally_calm_points_are_of_all_streams():
    found = chosen()
    assert sum(found.values()) == INJECTIONS
    assert set(found) == set(range(STREAMS))


def test_a_stream_that_alarms_is_avoided():
    assert 2 not in chosen(alarming=2)
