"""Missing features of non-linear machines: estimated from readings like the present ones."""

import numpy as np

from models.scoring.features.neighbours import Neighbours


def circle(n: int) -> np.ndarray:
    """Points (n, 3) of a circle in two features, and the square of the first."""
    angle = 2.0 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle), np.cos(angle) ** 2], axis=1)


def test_estimates_stay_among_the_readings() -> None:
    """At 1, the top of the circle, the other coordinate is 0; half way up it is either of two."""
    neighbours = Neighbours(circle(400), np.ones(3))
    lacking_first = np.array([[9e9, 1.0, 0.0], [9e9, 0.0, 1.0]])
    found = neighbours.estimate(lacking_first, np.array([False, True, True]))
    np.testing.assert_allclose(found[0], [0.0, 1.0, 0.0], atol=0.05)
    lacking_last = np.array([[1.0, 0.0, 9e9], [0.0, 1.0, 9e9]])
    found = neighbours.estimate(lacking_last, np.array([True, True, False]))
    np.testing.assert_allclose(found[:, 2], [1.0, 0.0], atol=0.05)


def test_many_rows_are_estimated_as_each_alone_is() -> None:
    neighbours = Neighbours(circle(400), np.ones(3))
    rows = np.random.default_rng(0).normal(size=(5000, 3))
    here = np.array([True, False, True])
    found = neighbours.estimate(rows, here)
    for at in (0, 4095, 4096, 4999):
        np.testing.assert_allclose(found[at], neighbours.estimate(rows[at : at + 1], here)[0])


def test_few_readings_and_far_values_do_no_harm() -> None:
    neighbours = Neighbours(circle(3), np.ones(3))
    found = neighbours.estimate(np.array([[1e300, -1e300, 0.0]]), np.array([True, True, False]))
    np.testing.assert_allclose(found[0], circle(3).mean(axis=0))


def test_it_is_stored_and_read_back() -> None:
    neighbours = Neighbours(circle(20), np.array([1.0, 0.0, 1.0]))
    again = Neighbours.from_dict(neighbours.to_dict())
    np.testing.assert_array_equal(again.rows, neighbours.rows)
    np.testing.assert_array_equal(again.better, neighbours.better)
