"""What a plan says of its decisions is true of each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.garbage.cleaning import clean
from models.fitting.options import FitOptions
from models.fitting.plan import FitPlan
from models.fitting.plan_notes import describe, describe_adaptation, describe_pace
from models.fitting.trials.following import Following
from models.fitting.trials.quickness import BY_OFFSET, USUAL, Basis, Way
from models.fitting.trials.steadiness import Steadiness
from models.scoring.magnitudes.adaptation import AdaptationParams

FOUR = replace(USUAL, rate=4.0 * USUAL.rate)


@pytest.fixture
def plan() -> FitPlan:
    rows = np.random.default_rng(0).normal(size=(100, 2))
    return FitPlan(clean([rows], None, ["a", "b"]), FitOptions(drift="fault"))


@pytest.mark.parametrize(("asked", "drift"), [(0, 0), (200, 1)])
def test_an_allowance_that_was_asked_for_hides_no_other_decision(asked: int, drift: int) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 3))
    notes = describe(FitPlan(clean([rows], None, list("abc")), FitOptions(horizon=asked)))
    assert sum("200 readings is taken for normal, as asked" in note for note in notes) == drift
    for decision in ("normal levels", "narrow limits", "the forecast", "correlations"):
        assert any(note.startswith(decision) for note in notes)


def way(how: AdaptationParams, horizon: int, alarms: int = 4) -> Way:
    return Way(Basis(horizon, 0.1, slow=False), how, 0.5, np.ones(2, bool), alarms, 1000)


@pytest.mark.parametrize(
    ("how", "horizon", "words"),
    [
        (FOUR, 800, "at 4 times the usual pace, and slow drift over up to 800 readings is taken"),
        (FOUR, 0, "at 4 times the usual pace, and slow drift is not taken for normal: trials"),
        (USUAL, 0, "at the usual pace, and slow drift is not taken for normal: trials"),
        (BY_OFFSET, 800, "at the usual pace, more by moving the level than by widening it, and"),
    ],
)
def test_how_a_stream_is_followed(
    plan: FitPlan, how: AdaptationParams, horizon: int, words: str
) -> None:
    plan.horizon, plan.paces = horizon, (way(USUAL, 800), way(how, horizon))
    (note,) = describe_pace(plan)
    assert note.startswith(f"calibration adapts {words}")
    assert note.endswith("(in the usual way: 4.0 times, 50%)")


@pytest.mark.slow
def test_a_pace_without_the_allowance_brings_all_that_was_decided_without_it() -> None:
    """A swing that goes beyond training: with the allowance an average over 20 readings helps."""
    rng = np.random.default_rng(4)
    swing = 3.6 * np.sin(2.0 * np.pi * np.arange(3000) / 6600 + 3.8)
    rows = swing[:, None] * rng.normal(size=4)
    rows += np.cumsum(rng.normal(size=(3000, 4)), axis=0) * 0.02
    rows += lfilter([1.0], [1.0, -0.17], rng.normal(size=(3000, 4)), axis=0)
    plan = FitPlan(clean([rows], None, list("abcd")), FitOptions())
    assert plan.paces is not None
    usual, chosen = (way.basis for way in plan.paces)
    assert (usual.horizon, usual.slow) == (800, True)
    assert (chosen.horizon, chosen.slow) == (plan.horizon, plan.slow) == (0, False)
    assert any("average over some 20 readings" in n and "not used" in n for n in describe(plan))


@pytest.mark.parametrize(
    ("alarms", "words"),
    [
        (3, "calibration adapts at the usual pace: trials far from"),
        (60, "fitted on 6.0% of normal readings alarmed in trials (60.0 times the allowed alarms;"),
        (60, "Expect false alarms."),
    ],
)
def test_why_a_stream_is_followed_as_usual(plan: FitPlan, alarms: int, words: str) -> None:
    plan.paces = (way(USUAL, 800, alarms),) * 2
    assert words in describe_pace(plan)[0]


@pytest.mark.parametrize(
    ("steady", "narrow_enough", "words"),
    [
        (True, True, "hold, so live calibration adapts to each stream within narrow limits"),
        (False, False, "wander, so live calibration adapts to each stream within wide limits"),
        (True, False, "hold, yet live calibration adapts to each stream within wide limits"),
        (
            False,
            True,
            "wander, yet live calibration adapts to each stream within narrow limits. Where they go"
            " further than training shows, expect false alarms; more training data help",
        ),
    ],
)
def test_how_far_a_stream_is_followed(
    plan: FitPlan, steady: bool, narrow_enough: bool, words: str
) -> None:
    pair = (0.5, 0.5)
    plan.steadiness, plan.following = (
        Steadiness(True, steady, pair, pair),
        Following(narrow_enough, pair, pair, *[np.zeros(4)] * 3),
    )
    assert describe_adaptation(plan)[0] == f"normal levels {words}"
