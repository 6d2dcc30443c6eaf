"""Rates of bursts are fitted on one sample and hold on another, far beyond what it reaches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from models.fitting.calibration.burst_rates import (
    DELAYS,
    Sample,
    _bursts,
    _by_p,
    _rates,
    fit_bursts,
    opening,
)
from models.fitting.calibration.calibrate import adapted
from models.fitting.calibration.cross_validation import stream_folds
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.alarms.bursts import APART, BurstRates
from models.scoring.magnitudes.adaptation import AdaptationParams
from models.scoring.magnitudes.calibration import subset_key
from training.simulate import ar1, simulate

pytestmark = pytest.mark.slow  # fits models

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


def test_what_streams_never_met_do_is_asked_for_as_well(model_set):
    cal = model_set.calibrations[subset_key(model_set.names, False)]
    still = AdaptationParams(rate=0.0)

    def sample(seed: int, n: int, level: float) -> Sample:
        values = ar1(np.random.default_rng(seed), (n, 4), 0.9)
        return Sample(cal, list(level + np.abs(values.T)))

    met, unmet = sample(1, 20_000, 0.0), sample(2, 20_000, 0.5)
    fresh = [
        -cal.fixed.log10_ps(adapted(cal, values, None)) for values in sample(3, 125_000, 0.5).fast
    ]
    budget = 30 * 86_400 / 5e4  # one in 50,000 readings
    alone, both = (
        sum(incidents(values, fit_bursts(samples, still, 1.0), budget) for values in fresh) / 10
        for samples in ([met], [met, unmet])
    )
    assert alone > 2.0
    assert 0.1 < both < 2.0


def test_rates_that_hold_twice_are_as_strict_as_either():
    slow, quick = (
        _rates(_bursts([rarities(seed, READINGS)], 2.0), 6, READINGS, 1, 1.0, 1.0)
        for seed in (1, 2)
    )
    both = slow.stricter(quick)
    for budget in (0.1, 1.0, 30.0):
        rules = [one.rule(3.0, budget, 0.1) for one in (slow, quick, both)]
        assert rules[2].at_once == max(rule.at_once for rule in rules[:2])
        assert rules[2].peak >= max(rule.peak for rule in rules[:2])


def test_whole_streams_are_held_out_once_each_where_there_are_enough():
    folds = stream_folds([100, 90, 80, 70, 60])
    assert sorted(part.stream for fold in folds for part in fold) == [0, 1, 2, 3, 4]
    assert all((p.start, p.end) == (0, 100 - 10 * p.stream) for fold in folds for p in fold)
    assert stream_folds([100] * 4) == []


def test_a_fit_on_few_streams_says_for_whom_the_budget_holds():
    plant = simulate(assets=5, readings=400, seed=3)
    options = FitOptions(models=("one_class_svm",), one_class_svm={"max_rows": 300})
    for assets, promised in ((2, False), (5, True)):
        model_set, report = fit_model_set(
            plant.values[:assets], plant.times()[:assets], plant.feature_names, options
        )
        assert model_set.bursts is not None
        assert any("these may open more" in note for note in report.notes) != promised
