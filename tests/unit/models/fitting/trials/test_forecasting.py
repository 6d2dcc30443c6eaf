"""The forecast's penalty follows the data: small for clean cycles, large for noise."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scored import run_series
from models.arrays import Floats
from models.detectors.forecast import RIDGE, fit_forecast, forecast
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.fitting.trials.forecasting import PENALTIES, choose_forecast

LAGS = 5


def pulse(n: int, seed: int) -> Floats:
    """A pulse of 40 readings, such as a pressure's, whose height and pace vary a little."""
    rng, beats = np.random.default_rng(seed), n // 40 + 2
    at = np.arange(n) / 40
    pace, height = (
        1.0 + sd * np.interp(at, np.arange(beats), rng.normal(size=beats)) for sd in (0.02, 0.1)
    )
    phase = 2 * np.pi * np.cumsum(pace) / 40
    out: Floats = (80 + 20 * height * np.exp(np.sin(phase)) + 0.05 * rng.normal(size=n))[:, None]
    return out


def test_weights_do_not_depend_on_the_unit() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 2)).cumsum(axis=0)
    rows -= rows.mean(axis=0)
    small = fit_forecast([0.01 * rows], LAGS, 10.0 * 0.01 * np.abs(rows).max()).weights
    np.testing.assert_allclose(small, fit_forecast([rows], LAGS, 10.0 * np.abs(rows).max()).weights)


def test_errors_are_those_of_later_readings_though_weights_are_many() -> None:
    rows = np.random.default_rng(0).normal(size=(1500, 60))
    fitted = fit_forecast([rows[:750]], LAGS, 10.0)
    own = fitted.errors(rows, np.arange(LAGS, 750))
    later = np.arange(750, 1500)
    size = (rows[later] - forecast(rows, later, fitted.weights)).std()
    assert own.std() == pytest.approx(size, rel=0.05)
    learned = rows[LAGS:750] - forecast(rows, np.arange(LAGS, 750), fitted.weights)
    assert learned.std() < 0.7 * size


def test_a_feature_that_does_not_vary_has_no_weights() -> None:
    rows = np.column_stack([np.random.default_rng(0).normal(size=300), np.zeros(300)])
    weights = fit_forecast([rows], LAGS, 10.0).weights
    assert np.isfinite(weights).all()
    assert not weights[:, 1].any()


def test_a_clean_cycle_is_forecast_with_a_small_penalty() -> None:
    found = choose_forecast([pulse(3000, 0)], 0.1, LAGS)
    assert found is not None
    assert found.holds
    assert found.penalty == PENALTIES[-1]


def test_noise_keeps_the_largest_penalty() -> None:
    found = choose_forecast([np.random.default_rng(0).normal(size=(1000, 8))], 0.1, LAGS)
    assert found is not None
    assert found.penalty == RIDGE


def test_a_small_penalty_forecasts_a_cycle_better() -> None:
    rows = pulse(3000, 0) - 100.0
    ends = np.arange(2000, 3000)
    sizes = [
        np.abs(
            rows[ends] - forecast(rows, ends, fit_forecast([rows[:2000]], LAGS, 1e3, p).weights)
        ).mean()
        for p in PENALTIES
    ]
    assert sizes[2] < 0.5 * sizes[0]


@pytest.mark.slow
def test_noise_on_a_clean_cycle_alarms_though_each_value_is_usual() -> None:
    train, live = pulse(1500, 1), pulse(3000, 2)
    rng = np.random.default_rng(3)
    live[2000:2012, 0] += 4.0 * rng.choice([-1.0, 1.0], 12)
    times = np.datetime64("2026-01-01", "us") + np.arange(4500) * np.timedelta64(1, "s")
    model_set, _ = fit_model_set([train], [times[:1500]], ["pressure"], FitOptions())
    run = run_series(model_set, times[1500:], live, ["pressure"])
    assert (run.score[2000:2012] >= 0.5).sum() >= 6
    assert (run.score[:2000] >= 0.5).mean() < 0.02  # 37 pulses of training
