"""Drift: training histograms against recent values."""

from __future__ import annotations

import json

import numpy as np

from models.feature_drift import compare, make_profile


def profile():
    return make_profile({"a": np.random.default_rng(0).normal(size=5000)})


def test_same_distribution_is_stable():
    found = compare(profile(), {"a": np.random.default_rng(1).normal(size=2000)})["a"]
    assert found["state"] == "stable"
    assert found["psi"] < 0.05


def test_shift_and_spread_are_seen():
    rng = np.random.default_rng(1)
    assert compare(profile(), {"a": rng.normal(1, 1, 2000)})["a"]["state"] == "shifted"
    assert compare(profile(), {"a": rng.normal(0, 2, 2000)})["a"]["state"] == "shifted"
    assert compare(profile(), {"a": rng.normal(0.4, 1, 2000)})["a"]["state"] == "moved"


def test_a_constant_that_keeps_its_value_lies_nowhere_outside():
    constant = make_profile({"run": np.ones(900)})
    assert compare(constant, {"run": [1.0] * 200})["run"]["outside"] == 0.0
    assert compare(constant, {"run": [1.0] * 150 + [0.0] * 50})["run"]["outside"] == 0.25
    assert 0.05 < compare(profile(), {"a": np.arange(-2, 2, 0.002)})["a"]["outside"] < 0.3


def test_few_values_are_not_judged():
    assert compare(profile(), {"a": [9.0, 9.0]})["a"]["state"] == "too_few"


def test_columns_not_in_both_are_left_out():
    assert compare(profile(), {"b": [1.0], "a": []}) == {}


def test_profile_is_json_and_survives_ties():
    p = make_profile({"mostly_zero": np.r_[np.zeros(900), np.ones(100)]})
    again = json.loads(json.dumps(p))
    assert compare(again, {"mostly_zero": [0.0] * 900 + [1.0] * 100})["mostly_zero"]["psi"] < 0.01
