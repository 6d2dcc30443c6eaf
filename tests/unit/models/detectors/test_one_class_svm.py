"""The kernel sum against PyOD's (libsvm's) decision function."""

from __future__ import annotations

import numpy as np
import pytest
from pyod.models.ocsvm import OCSVM

from models.detectors.covariance import thin_out
from models.detectors.kernels import _exp_negative64, compiled, kernel_gaps
from models.detectors.one_class_svm import OneClassSVM


def cloud(n: int, d: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, 3)) @ draw.normal(size=(3, d)) + draw.normal(size=(n, d))


@pytest.mark.parametrize(
    ("nu", "gamma", "n", "d"),
    [(0.1, "scale", 1500, 24), (0.5, "scale", 400, 3), (0.01, 0.5, 300, 1), (0.9, 2.0, 100, 2)],
)
def test_decision_equals_pyod_on_random_and_extreme_readings(
    nu: float, gamma: float | str, n: int, d: int
) -> None:
    rows = cloud(n, d, seed=1)
    svm = OneClassSVM(nu=nu, gamma=gamma, max_rows=1000).fit([rows])
    chosen = svm.coordinates(thin_out(rows, 1000, 0))
    library = OCSVM(nu=nu, gamma=svm._width).fit(chosen)
    near = cloud(300, d, seed=2)
    x = np.concatenate([rows[:50], near, near * 3, near * 1e6, np.zeros((1, d))])
    expected = library.decision_function(svm.coordinates(x))
    # rho - sum cancels at the boundary, so errors are measured against the sum's size.
    assert np.abs(svm.decision(x) - expected).max() <= 1e-5 * np.abs(expected).max()
    inside = expected < 0
    magnitude = -np.log((svm._rho - expected[inside]) / svm._total)
    np.testing.assert_allclose(svm.energy(x)[inside], magnitude, rtol=1e-5)
    np.testing.assert_allclose(svm.score(x), np.log1p(10 * svm.energy(x)))


def test_the_order_of_readings_is_the_librarys_and_goes_on_where_that_ends() -> None:
    rows = cloud(500, 4, seed=1)
    svm = OneClassSVM().fit([rows])
    x = np.outer([1.0, 2.0, 3.0, 300.0, 3000.0], np.ones(4)) * 3
    score, decision = svm.score(x), svm.decision(x)
    assert (np.diff(score) > 0).all()
    assert (np.diff(decision[:3]) > 0).all()
    assert decision[3] == decision[4]


def test_gaps_are_those_from_the_mean_of_the_vectors_by_their_part_in_the_sum() -> None:
    svm = OneClassSVM(max_rows=300).fit([cloud(300, 5, seed=1)])
    x = np.concatenate([cloud(50, 5, seed=2), 1e3 * cloud(50, 5, seed=3), np.zeros((1, 5))])
    energy = svm._width * ((svm._vectors[None] - x[:, :, None]) ** 2).sum(1) - svm._log_weight
    weight = np.exp(energy.min(1, keepdims=True) - energy)
    means = (weight / weight.sum(1, keepdims=True)) @ svm._vectors.T
    found = kernel_gaps(x, svm._vectors, svm._log_weight, svm._width)
    np.testing.assert_allclose(found, x - means, rtol=1e-9, atol=1e-12)
    alone = kernel_gaps(x[3:4], svm._vectors, svm._log_weight, svm._width)
    np.testing.assert_array_equal(alone[0], found[3])


def test_the_kernels_exponential_is_exact_to_rounding() -> None:
    @compiled
    def each(x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        for i in range(x.shape[0]):
            out[i] = _exp_negative64(x[i])
        return out

    x = -np.concatenate([[0.0, 1e-300, 1e-9], np.linspace(0, 700, 100_001)])
    np.testing.assert_allclose(each(x), np.exp(x), rtol=3e-13)
    assert 0 <= each(np.array([-1e9]))[0] < 1e-300


@pytest.mark.parametrize("n", [10, 100, 101, 12_345])
def test_thinning_out_keeps_order_and_spreads_over_time(n: int) -> None:
    rows = np.arange(n, dtype=float)[:, None]
    chosen = thin_out(rows, 100, seed=0)[:, 0]
    assert len(chosen) == min(n, 100)
    assert (np.diff(chosen) >= 0).all()
    assert np.diff(chosen).max() <= 2 * max(1.0, n / 100) + 1
    np.testing.assert_array_equal(chosen, thin_out(rows, 100, seed=0)[:, 0])


def test_rows_beyond_the_cap_do_not_reach_libsvm() -> None:
    svm = OneClassSVM(max_rows=100, nu=0.9).fit([cloud(5000, 2, seed=1)])
    assert svm._vectors.shape[1] <= 100
