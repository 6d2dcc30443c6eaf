"""Sensors that stood still in training: rare when they move, by how often they did."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from models.scoring.features.standing import Standing, fit_standing


@pytest.fixture
def standing() -> Standing:
    """Of 1,000 readings one valve never moved, and a pump ran at 3 in four of them."""
    values = np.zeros((1000, 2))
    values[:, 0] = 7.0
    values[[10, 20, 30, 40], 1] = 3.0
    found = fit_standing(values, ["valve", "pump"])
    assert found is not None
    return found


def test_what_stands_still_is_not_rare(standing):
    assert standing.moved({"valve": 7.0, "pump": 0.0}) == {}
    assert standing.moved({"valve": 7.0 * (1 + 1e-9), "pump": 0.0}) == {}  # rounding


def test_rarity_is_that_of_one_more_by_jeffreys(standing):
    found = standing.moved({"valve": 8.0, "pump": 3.0})
    assert found["valve"] == pytest.approx(-math.log10(0.5 / 1001))
    assert found["pump"] == pytest.approx(-math.log10(4.5 / 1001))
    assert standing.moved({"pump": 3.1})["pump"] == found["valve"]  # further than it ever went


def test_a_missing_feature_did_not_move(standing):
    assert standing.moved({"pump": 0.0}) == {}
    assert set(standing.moved({"valve": 8.0})) == {"valve"}


def test_many_readings_are_judged_as_each_alone(standing):
    rows = np.array([[7.0, 0.0], [8.0, 0.0], [8.0, 3.0], [7.0, 3.0]])
    alone = [standing.moved(dict(zip(standing.names, row, strict=True))) for row in rows.tolist()]
    expected = [max(found.values(), default=0.0) for found in alone]
    np.testing.assert_allclose(standing.decades(rows), expected)


def test_moves_of_many_readings_are_thinned_and_still_counted():
    values = np.zeros((10_000, 1))
    values[:500, 0] = np.linspace(1, 2, 500)
    found = fit_standing(values, ["valve"])
    assert found is not None
    assert found.counts == (500,)
    assert len(found.moves[0]) <= 64
    assert found.moved({"valve": 0.5})["valve"] == pytest.approx(-math.log10(500.5 / 10_001))


def test_stored_and_read_back_it_is_the_same(standing):
    assert Standing.from_dict(json.loads(json.dumps(standing.to_dict()))) == standing
    assert fit_standing(np.zeros((5, 0)), []) is None
