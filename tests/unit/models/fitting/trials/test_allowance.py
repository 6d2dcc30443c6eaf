"""An allowance for drift that limits which follow each stream do without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.garbage.cleaning import clean
from models.fitting.options import FitOptions
from models.fitting.plan import FitPlan
from models.fitting.plan_notes import describe
from models.fitting.trials.allowance import does_without
from models.fitting.trials.following import Following
from models.fitting.trials.tolerance import choose_horizon

PAIR = (0.5, 0.5)
READINGS = np.full(4, 2000.0)
SEEN = np.random.default_rng(0).random(200)


def result(more: float = 0.0, alarms: tuple[int, ...] = (2, 2, 2, 2), **given) -> Following:
    shares = SEEN + more + np.random.default_rng(1).normal(0.0, 0.1, 200) * (more != 0.0)
    return Following(True, PAIR, given.get("surplus", PAIR), shares, np.array(alarms), READINGS)


def test_an_allowance_is_needless_if_more_is_seen_without_it_within_the_budget() -> None:
    assert does_without(result(), result(0.05))
    assert not does_without(result(), result())
    assert not does_without(result(), result(0.005))
    assert not does_without(result(), result(-0.05))
    assert not does_without(result(), result(0.05, surplus=(0.5, 3.5)))


@pytest.mark.parametrize(
    ("alarms", "needless"),
    [
        ((30, 2, 30, 2), False),  # forwards
        ((12, 2, 12, 2), True),  # forwards, but within the budget
        ((2, 40, 2, 40), False),  # backwards
        ((2, 40, 2, 2), True),  # one of them
    ],
)
def test_it_is_not_if_more_alarms_come_that_exceed_the_budget(alarms, needless) -> None:
    assert does_without(result(), result(0.05, alarms)) == needless


def related(seed: int, n: int = 4000) -> np.ndarray:
    """A slow demand, and three values (n, 4) that follow it closely."""
    rng = np.random.default_rng(seed)
    demand = lfilter([np.sqrt(1 - 0.97**2)], [1.0, -0.97], rng.normal(size=n))
    curve = 0.1 * demand**2
    values = np.c_[demand, 2 * demand + curve, -demand, 0.5 * demand + curve]
    return values + rng.normal(size=(n, 4)) * 0.05


@pytest.mark.slow
def test_fixed_limits_ask_for_an_allowance_that_the_tail_does_without() -> None:
    values, names = related(2), list("abcd")
    horizon, trials = choose_horizon([values])
    assert horizon > 0
    assert min(one.surplus for one in trials) > 3
    plan = FitPlan(clean([values], None, names), FitOptions())
    assert plan.horizon == 0
    (note,) = [note for note in describe(plan) if "is needless where limits follow" in note]
    assert note.startswith(f"an allowance for drift over up to {horizon} readings")
    asked = FitPlan(clean([values], None, names), replace(FitOptions(), adaptation=0.005))
    assert asked.horizon == horizon  # the tail was not tried
