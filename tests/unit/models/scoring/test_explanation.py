"""Explanations of many anomalies at once are those of each alone."""

from __future__ import annotations

import numpy as np
import pytest

from models.scoring.explanation import _short
from tests.unit.ensemble_scoring import in_pieces, one


def test_six_digits_are_those_of_the_decimal_form():
    rng = np.random.default_rng(5)
    values = rng.normal(size=2000) * 10.0 ** rng.integers(-12, 300, 2000)
    values = np.append(values, [0.0, -0.1, 123456.5, 1.7e308])
    wanted = [float(f"{value:.6g}") for value in values]
    assert _short(values) == pytest.approx(wanted, rel=1e-15, abs=0.0)
    assert _short(np.array([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]


def test_anomalies_scored_together_are_explained_as_each_alone(model_set, readings):
    part = readings[600:760]
    together, (alone, _) = one(model_set, part).results, in_pieces(model_set, part, 1)
    explained = [result["metadata"].get("explanation") for result in together]
    assert any(explained)
    for expected, result in zip(explained, alone, strict=True):
        found = result["metadata"].get("explanation")
        assert (found is None) == (expected is None)
        if expected is not None:
            assert found["votes"] == expected["votes"]
            for a, b in zip(found["features"], expected["features"], strict=True):
                assert a.keys() == b.keys()
                assert a["feature"] == b["feature"]
