"""A stream's own level out of its first readings, some of which may be garbage."""

from __future__ import annotations

import numpy as np
import pytest

from models.scoring.features.baseline import (
    MIN_KEPT,
    FirstReadings,
    first_level,
    group_size,
    skipped_mean,
)
from models.scoring.features.preprocessing import Preprocessing


def preprocessing(baseline: int = 20, width: int = 2) -> Preprocessing:
    ones = np.ones(width)
    names = tuple(f"f{i}" for i in range(width))
    return Preprocessing(names, 0.0 * ones, ones, ones, None, "fault", baseline, 60.0)


def test_readings_that_agree_have_their_exact_mean():
    rows = np.random.default_rng(0).normal(5.0, 0.1, (20, 2))
    np.testing.assert_allclose(first_level(rows, preprocessing()), rows.mean(axis=0), rtol=1e-12)


def test_nearly_half_of_them_may_be_garbage():
    rows = np.random.default_rng(1).normal(5.0, 0.1, (20, 2))
    rows[:9] = 400.0
    level, agree = skipped_mean(rows)
    np.testing.assert_allclose(level, rows[9:].mean(axis=0))
    assert not agree.any()


@pytest.mark.parametrize("code", [-9999.0, 65535.0, 1.7e308])
def test_an_error_code_is_not_counted(code):
    pre = preprocessing()
    first = FirstReadings.empty(2)
    first.add(np.array([5.0, 5.0]), pre)
    first.add(np.array([code, 5.0]), pre)
    assert first.count == 1
    np.testing.assert_allclose(first.level(pre), 5.0)


@pytest.mark.parametrize("baseline", [20, 2000])  # kept one by one, and as means of two
def test_imputed_values_count_only_where_nothing_was_measured(baseline):
    pre = preprocessing(baseline)
    first = FirstReadings.empty(2)
    for number in range(baseline):
        lacking = ["f1"] if number % 8 else []
        first.add(np.array([5.0, 0.5 if lacking else 40.0]), pre, lacking)
    np.testing.assert_allclose(first.level(pre), [5.0, 40.0])
    first = FirstReadings.empty(2)
    for _ in range(baseline):
        first.add(np.array([5.0, 0.5]), pre, ["f1"])
    np.testing.assert_allclose(first.level(pre), [5.0, 0.5])


def test_no_more_readings_count_than_a_baseline_needs():
    rows = np.concatenate([np.full((20, 2), 5.0), np.full((80, 2), 9.0)])
    np.testing.assert_allclose(first_level(rows, preprocessing()), 5.0)


def test_with_none_the_level_is_the_groups():
    np.testing.assert_allclose(first_level(np.empty((0, 2)), preprocessing()), 0.0)


@pytest.mark.parametrize("width", [1, 60, 250])
def test_what_is_kept_stays_small_whatever_the_width(width):
    pre = preprocessing(baseline=100, width=width)
    first = FirstReadings.empty(width)
    for _ in range(100):
        first.add(np.ones(width), pre)
    assert first.count == 100
    assert len(first.kept) == -(-100 // group_size(pre)) <= max(1024 // width, MIN_KEPT)
