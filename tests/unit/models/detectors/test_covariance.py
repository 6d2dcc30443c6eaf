"""Few independent readings tell little of correlations; whitening by chance enlarges new ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from models.arrays import Floats
from models.detectors.covariance import RobustCovariance, repetition, sampling_shrinkage


def following(n: int, d: int, seed: int, memory: float = 0.9) -> Floats:
    """Return independent features (n, d) of unit variance, each like its former reading."""
    noise = np.random.default_rng(seed).normal(size=(n, d))
    out: Floats = lfilter([np.sqrt(1.0 - memory**2)], [1.0, -memory], noise, axis=0)
    return out


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_readings_alike_are_worth_fewer(memory: float) -> None:
    expected = (1.0 + memory**2) / (1.0 - memory**2)
    found = repetition(following(20_000, 6, 0, memory))
    assert 0.55 * expected < found < 1.1 * expected  # levels, too, are taken off


def test_repetition_is_that_of_most_features() -> None:
    rows = following(20_000, 9, 1, 0.5)
    rows[:, 0] = following(20_000, 1, 2, 0.99)[:, 0]
    assert repetition(rows) < 2.0


def test_levels_repeat_nothing() -> None:
    rows = following(20_000, 6, 3, 0.5)
    daily = np.sin(np.arange(len(rows)) / 500.0)[:, None]
    assert repetition(rows + 5.0 * daily) < 1.5 * repetition(rows)


def test_nothing_more_is_shrunk_where_readings_are_enough() -> None:
    assert sampling_shrinkage(following(5_000, 8, 0)) == 0.0
    assert sampling_shrinkage(following(5_000, 1, 0)) == 0.0


def test_correlations_by_chance_are_shrunk() -> None:
    assert sampling_shrinkage(following(1_000, 30, 0)) > 0.5
    load = following(1_000, 1, 1)
    assert sampling_shrinkage(load + 0.1 * following(1_000, 30, 0)) < 0.1


def test_new_readings_are_as_far_off_as_those_fitted_on() -> None:
    rows = following(4_000, 60, 0)
    known, fresh = rows[:2_000], rows[2_000:]
    covariance = RobustCovariance.of(known, np.zeros(60))
    squares = [float((covariance.whiten(part) ** 2).mean()) for part in (known, fresh)]
    assert squares[1] == pytest.approx(squares[0], rel=0.15)
