"""The condition of an incomplete reading."""

import numpy as np

from models.scoring.features.conditions import Conditions

NAN = float("nan")


def three() -> Conditions:
    """Conditions at a: 0, 10, 10 and b: 0, 0, 10; the feature c follows them."""
    center = np.array([[0.0, 0.0, -50.0], [10.0, 0.0, 0.0], [10.0, 10.0, 50.0]])
    low, high = center[:, :2] - 2.0, center[:, :2] + 2.0
    return Conditions(("a", "b", "c"), ("a", "b"), low, high, center, np.ones((3, 3)), 0)


def test_what_present_indicators_cannot_tell_all_features_decide() -> None:
    conditions = three()
    assert conditions.guess(np.array([[10.0, NAN, 1.0]])).tolist() == [1]
    assert conditions.guess(np.array([[10.0, NAN, 49.0]])).tolist() == [2]
    assert conditions.guess(np.array([[NAN, 0.5, -48.0]])).tolist() == [0]
    assert conditions.guess(np.array([[NAN, 0.5, 1.0]])).tolist() == [1]
    assert conditions.guess(np.array([[NAN, NAN, 48.0]])).tolist() == [2]


def test_indicators_that_tell_the_condition_decide_alone() -> None:
    assert three().guess(np.array([[0.0, NAN, 50.0]])).tolist() == [0]
    assert three().guess(np.array([[0.0, 0.0, NAN]])).tolist() == [0]
