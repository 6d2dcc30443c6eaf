"""Rates of bursts are fitted on one sample and hold on another, far beyond what it reaches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from models.fitting.burst_rates import DELAYS, _bursts, _by_p, _rates, opening
from models.fitting.model_set_fit import FitOptions, fit_model_set
from models.scoring.incidents import APART, BurstRates
from training.simulate import ar1, simulate

READINGS = 100_000


def rarities(seed: int, n: int) -> np.ndarray:
    """``-log10 p`` of autoregressive noise, exact, so only the bursts are to be learnt."""
    return -norm.logsf(ar1(np.random.default_rng(seed), n, 0.9)) / np.log(10.0)


def incidents(values: np.ndarray, rates: BurstRates, budget: float) -> int:
    rule = rates.rule(3.0, budget, 0.1)
    at = np.flatnonzero(values >= 3.0)
    parts = np.split(at, np.flatnonzero(np.diff(at) > APART + 1) + 1)
    return sum(
        opening(values[part[0] : part[-1] + 1], 3.0, rule) is not None
        for part in parts
        if len(part)
    )


@pytest.mark.parametrize("on_delay", DELAYS)
def test_what_was_fitted_on_one_sample_holds_on_another(on_delay):
    expected = found = 0.0
    fresh = rarities(99, 4_000_000)
    for seed in range(3):
        bursts = _bursts([rarities(seed, READINGS)], 2.0)
        rates = _rates(bursts, on_delay, READINGS, 1, 1.0, 1.0)
        # one in 100,000 readings: of such incidents the sample has one
        budget = 30 * 86_400 / 1e5
        found += incidents(fresh, rates, budget)
        expected += len(fresh) / 1e5
    assert 0.2 * expected < found < 2.0 * expected


def test_more_streams_of_an_asset_or_more_readings_a_month_ask_for_more():
    bursts = _bursts([rarities(1, READINGS)], 2.0)
    usual, shared, faster = (
        _rates(bursts, 6, READINGS, 1, interval, streams).rule(3.0, 1.0, 0.1)
        for interval, streams in ((60.0, 1.0), (60.0, 8.0), (6.0, 1.0))
    )
    assert usual.at_once < shared.at_once < faster.at_once
    assert usual.peak <= shared.peak <= faster.peak


def test_too_few_bursts_are_judged_by_p_alone():
    rule = _by_p(100.0, 60.0, 1.0).rule(3.0, 1.0, 0.1)
    assert rule.on_delay == 1
    assert rule.peak == pytest.approx(np.log10(43_200))


def test_a_fit_with_times_has_rates_and_one_without_has_none():
    plant = simulate(assets=2, readings=800, seed=3)
    options = FitOptions(models=("one_class_svm",), one_class_svm={"max_rows": 300})
    timed, _ = fit_model_set(
        plant.values, plant.times(), plant.feature_names, options, streams_per_asset=3.0
    )
    assert timed.bursts is not None
    assert (timed.bursts.interval_s, timed.bursts.streams) == (60.0, 3.0)
    bare, _ = fit_model_set(plant.values, None, plant.feature_names, options)
    assert bare.bursts is None
