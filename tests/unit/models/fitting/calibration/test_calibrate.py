"""The gain of the slow magnitude: later averages reach further than those of a short training."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from models.arrays import Floats
from models.fitting.calibration.calibrate import ewma, fit_fixed, smoothing, spread_of_later
from models.scoring.magnitudes.tail import fit_tail
from models.scoring.magnitudes.tail_kernel import CLIP
from training.simulate import ar1

ANCHOR = -1.3  # log10 of the probability at which slow and swift magnitude agree
N = 400


def decades(seed: int, n: int) -> Floats:
    out: Floats = -norm.logsf(ar1(np.random.default_rng(seed), n, 0.8)) / np.log(10.0)
    return out


def share_beyond(further: float) -> float:
    """Return the share of later slow magnitudes beyond where 5 % of the swift ones are."""
    beyond = []
    for seed in range(60):
        known, later = np.split(decades(seed, N + 4_000), [N])
        median, shift, gain, _ = smoothing([known], [known], further)
        slow = shift + gain * ewma(np.minimum(later, CLIP), median)
        beyond.append((slow > fit_tail([known]).quantile(ANCHOR)).mean())
    return float(np.mean(beyond))


def test_a_short_training_does_not_show_how_far_later_averages_reach() -> None:
    assert share_beyond(1.0) > 0.07
    assert share_beyond(spread_of_later(N)) == pytest.approx(0.05, abs=0.01)


def test_a_long_training_shows_it() -> None:
    assert 1.2 < spread_of_later(N) < 1.3
    assert spread_of_later(100_000) == pytest.approx(1.0, abs=0.002)


def test_a_training_of_a_few_readings_has_a_finite_spread() -> None:
    assert 1.0 < spread_of_later(20) < 6.0


def test_the_spread_lowers_the_gain() -> None:
    f = decades(0, N)
    series, beside = [f[None]], [np.zeros(N)]
    usual, _ = fit_fixed(("svm",), series, beside)
    lower, _ = fit_fixed(("svm",), series, beside, further=1.25)
    assert lower.gain == pytest.approx(usual.gain / 1.25)
