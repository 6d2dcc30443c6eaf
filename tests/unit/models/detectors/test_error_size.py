"""The size of an error: of all features together, and of the one that fits least."""

from __future__ import annotations

import numpy as np
import pytest

from models.arrays import Floats
from models.detectors.error_size import ErrorSize


def noise(n: int, d: int, seed: int) -> Floats:
    out: Floats = np.random.default_rng(seed).normal(size=(n, d))
    return out


def sizes(size: ErrorSize, errors: Floats) -> Floats:
    return size.measure(errors, np.arange(len(errors)), np.zeros(errors.shape))


@pytest.fixture(scope="module")
def wide() -> ErrorSize:
    return ErrorSize.of(noise(20_000, 100, 0), np.zeros(100))


def test_one_feature_of_a_hundred_is_seen(wide: ErrorSize) -> None:
    usual = noise(20_000, 100, 1)
    one = usual[:200].copy()
    one[:, 7] += 6.0
    high = np.quantile(sizes(wide, usual), 0.999)
    assert (sizes(wide, one) > high).mean() > 0.9
    together = ErrorSize(wide.covariance)
    high = np.quantile(sizes(together, usual), 0.999)
    assert (sizes(together, one) > high).mean() < 0.5


def test_small_errors_of_many_features_are_seen(wide: ErrorSize) -> None:
    usual = noise(20_000, 100, 1)
    many = usual[:200] + np.sign(noise(200, 100, 2))
    assert (sizes(wide, many) > np.quantile(sizes(wide, usual), 0.999)).mean() > 0.95


def test_a_size_is_one_on_normal_data(wide: ErrorSize) -> None:
    assert np.median(sizes(wide, noise(5_000, 100, 3))) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("factor", [1e-300, 1e30, 1e150])
def test_any_finite_error_has_a_finite_size(wide: ErrorSize, factor: float) -> None:
    assert np.isfinite(sizes(wide, factor * noise(10, 100, 4))).all()


def test_a_single_feature_has_one_size() -> None:
    errors = noise(500, 1, 0)
    size = ErrorSize.of(errors, np.zeros(1))
    assert size.gain == 0.0
    np.testing.assert_allclose(sizes(size, 2.0 * errors), 2.0 * sizes(size, errors))


def test_arrays_survive_and_those_of_early_releases_measure_all_together(wide: ErrorSize) -> None:
    errors = noise(50, 100, 5)
    stored = wide.arrays("a_")
    np.testing.assert_array_equal(
        sizes(ErrorSize.from_arrays(stored, "a_"), errors), sizes(wide, errors)
    )
    del stored["a_alone"]
    early = ErrorSize.from_arrays(stored, "a_")
    np.testing.assert_array_equal(sizes(early, errors), sizes(ErrorSize(wide.covariance), errors))


def test_a_value_that_is_held_between_samples_hides_no_errors_of_the_others() -> None:
    errors = noise(6_000, 3, 6)
    changes = np.random.default_rng(7).normal(size=6_000) * 0.01
    changes[::96] = noise(63, 1, 8)[:, 0] * 2.0
    errors[:, 2] = changes
    size = ErrorSize.of(errors[:3_000], np.zeros(3))
    later = errors[3_000:]
    high = np.quantile(sizes(size, later), 0.999)
    step = later[:200].copy()
    step[:, 0] += 7.0
    assert (sizes(size, step) > high).mean() > 0.9


def test_a_stray_error_or_two_do_not_change_the_scale() -> None:
    errors = noise(900, 2, 9)
    clean = ErrorSize.of(errors, np.zeros(2))
    errors[[300, 301], 0] = 1e6
    stray = ErrorSize.of(errors, np.zeros(2))
    usual = noise(500, 2, 10)
    np.testing.assert_allclose(sizes(stray, usual), sizes(clean, usual), rtol=0.1)
