"""The share of injected faults detected decides over how many readings a magnitude is averaged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.garbage.cleaning import clean
from models.fitting.options import FitOptions
from models.fitting.plan import FitPlan
from models.fitting.plan_notes import describe
from models.fitting.trials.steadiness import judge_steadiness
from models.fitting.trials.swiftness import SWIFTNESSES, choose_swiftness


def autoregressive(remembers: float, n: int = 4000) -> np.ndarray:
    """Readings (n, 3) each of which keeps so much of the one before."""
    noise = np.random.default_rng(0).normal(size=(n, 3))
    kept: np.ndarray = lfilter([(1 - remembers**2) ** 0.5], [1, -remembers], noise, axis=0)
    return kept


def bursts(n: int = 4000) -> np.ndarray:
    """White noise (n, 4) in which single values lie far off, more of them as time goes on."""
    random = np.random.default_rng(0)
    often = random.random((n, 4)) < np.linspace(0.002, 0.022, n)[:, None]
    rows: np.ndarray = random.normal(size=(n, 4)) + often * random.normal(0, 12, (n, 4))
    return rows


@pytest.mark.slow
def test_chance_of_single_readings_is_averaged_away_and_what_lasts_is_not():
    jumpy, seen = choose_swiftness([bursts()], 0, 0.1)
    assert jumpy < 0.6
    assert seen[SWIFTNESSES.index(jumpy)] > 2 * seen[0]
    slow, seen = choose_swiftness([autoregressive(0.98)], 0, 0.1)
    assert slow > 0.7
    assert max(seen) < seen[0] + 0.01


@pytest.mark.slow
def test_the_choice_is_no_matter_of_chance():
    chosen = {choose_swiftness([bursts()], 0, 0.1, seed)[0] for seed in range(3)}
    assert len(chosen) == 1


def test_too_little_data_smooth_nothing():
    assert choose_swiftness([autoregressive(0.5, 100)], 0, 0.1) == (1.0, ())


def test_what_breaks_the_budget_either_way_is_smoothed_for_only_if_that_shows_more():
    """The slow magnitude alarms more: for three points more of what is seen it is not taken."""
    found = judge_steadiness([autoregressive(0.98)], 0, 0.1)
    assert found is not None
    assert found.surplus[1] > found.surplus[0] > 3
    assert 0 < found.power[1] - found.power[0] < 0.1
    assert not found.slow
    random = np.random.default_rng(0)
    walk = np.cumsum(random.normal(0, 0.1, (800, 4)), axis=0) + random.normal(size=(800, 4))
    wandering = judge_steadiness([walk], 0, 0.1)
    assert wandering is not None
    assert wandering.surplus[0] > 3
    assert wandering.power[1] - wandering.power[0] > 0.1
    assert wandering.slow


@pytest.mark.slow
def test_a_plan_says_what_was_chosen_and_on_what_figures():
    plan = FitPlan(clean([bursts()], None, list("abcd")), FitOptions())
    assert plan.swiftness == choose_swiftness([bursts()], plan.horizon, plan.shrinkage)[0]
    (note,) = [note for note in describe(plan) if "the newest has the weight" in note]
    assert f"{plan.swiftness:.2f}" in note
    assert f"{plan.swift_power[0]:.1%}" in note
