"""What a plan says of its decisions is true of each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.fitting.cleaning import clean
from models.fitting.options import FitOptions
from models.fitting.plan import FitPlan
from models.fitting.quickness import BY_OFFSET, USUAL, Basis, Way
from models.scoring.adaptation import AdaptationParams

FOUR = replace(USUAL, rate=4.0 * USUAL.rate)


@pytest.mark.parametrize(
    ("how", "horizon", "words"),
    [
        (FOUR, 800, "at 4 times the usual pace, and slow drift over up to 800 readings is taken"),
        (FOUR, 0, "at 4 times the usual pace, and slow drift is not taken for normal: trials"),
        (USUAL, 0, "at the usual pace, and slow drift is not taken for normal: trials"),
        (BY_OFFSET, 800, "at the usual pace, more by moving the level than by widening it, and"),
    ],
)
def test_how_a_stream_is_followed(how: AdaptationParams, horizon: int, words: str) -> None:
    def way(params: AdaptationParams, readings: int) -> Way:
        basis = Basis(readings, 0.1, slow=False)
        return Way(basis, params, 0.5, np.ones(2, bool), 4, 1000)

    rows = np.random.default_rng(0).normal(size=(100, 2))
    plan = FitPlan(clean([rows], None, ["a", "b"]), FitOptions(drift="fault"))
    plan.horizon, plan.paces = horizon, (way(USUAL, 800), way(how, horizon))
    (note,) = plan._quickly()
    assert note.startswith(f"calibration adapts {words}")
    assert note.endswith("(in the usual way: 4.0 times, 50%)")
