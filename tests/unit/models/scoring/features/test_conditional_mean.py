"""What a feature should have read: its mean given the others that are trusted."""

from __future__ import annotations

import numpy as np
import pytest

from models.scoring.features.conditional_mean import (
    expected,
    lacking_alike,
    missing_values,
    trustworthy,
)


@pytest.fixture
def mix() -> np.ndarray:
    """(6, 6) symmetric root of an inverse correlation."""
    rows = np.random.default_rng(1).normal(size=(400, 6)) @ np.random.default_rng(2).normal(
        size=(6, 6)
    )
    values, vectors = np.linalg.eigh(np.corrcoef(rows.T))
    return (vectors / np.sqrt(values)) @ vectors.T


def test_a_row_is_explained_as_if_it_were_alone(mix):
    rng = np.random.default_rng(3)
    z, trusted = rng.normal(size=(50, 6)), rng.random((50, 6)) < 0.6
    together = expected(z, mix, trusted)
    for row in range(50):
        alone = expected(z[row : row + 1], mix, trusted[row : row + 1])
        assert (alone[0] == together[row]).all()


def test_expected_is_the_conditional_mean(mix):
    """Of a jointly normal vector: S_rk S_kk^-1 z_k, each known one given the other known ones."""
    covariance = np.linalg.inv(mix @ mix)
    z = np.random.default_rng(4).normal(size=(1, 6))
    trusted = np.array([[True, True, False, True, False, True]])
    found = expected(z, mix, trusted)[0]
    for j in range(6):
        given = [k for k in np.flatnonzero(trusted[0]) if k != j]
        weights = covariance[j, given] @ np.linalg.inv(covariance[np.ix_(given, given)])
        assert found[j] == pytest.approx(weights @ z[0, given])


def test_nothing_trusted_or_nothing_related_expects_the_level(mix):
    z = np.ones((2, 6))
    assert not expected(z, mix, np.zeros((2, 6), bool)).any()
    assert not expected(z, None, np.ones((2, 6), bool)).any()


def test_the_fewest_that_hold_the_blame_are_not_trusted():
    shares = np.array([[0.5, 0.3, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25], [0.9, 0.1, 0.0, 0.0]])
    assert (~trustworthy(shares)).tolist() == [
        [True, True, False, False],
        [True, True, False, False],  # at least half are taken at their word
        [True, False, False, False],
    ]


def test_missing_values_are_expected_given_the_present_ones(mix):
    here = np.array([True, False, True, True, False, True])
    z = np.random.default_rng(4).normal(size=(50, 6))
    found = missing_values(z, mix @ mix, here)
    wanted = expected(z, mix, np.broadcast_to(here, z.shape))
    np.testing.assert_allclose(found[:, ~here], wanted[:, ~here])
    assert (found[:, here] == 0.0).all()


def test_rows_are_grouped_by_what_they_lack() -> None:
    """Many features can miss in nearly as many combinations as there are readings."""
    holes = np.random.default_rng(2).random((2000, 12)) < 0.1
    groups = lacking_alike(holes)
    assert sorted(np.concatenate(groups).tolist()) == np.flatnonzero(holes.any(axis=1)).tolist()
    assert all((holes[group] == holes[group[0]]).all() for group in groups)
    assert len({holes[group[0]].tobytes() for group in groups}) == len(groups)
    assert lacking_alike(np.zeros((2000, 12), bool)) == []
