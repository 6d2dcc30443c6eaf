"""Preprocessing: scales, drift tolerance, decorrelation, missing values, limits, refusals."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from errors import MissingFeatures, TrainingError
from models.fitting.scaling import (
    baseline_helps,
    check_training,
    decorrelation,
    drift_is_fault,
    drift_per_reading,
    fit_scales,
)
from models.scoring.features.preprocessing import SCALED_CLIP, Preprocessing
from models.scoring.features.standing import Standing
from models.scoring.magnitudes.adaptation import AdaptiveTail
from models.scoring.stream_state import StreamState


def make(**given) -> Preprocessing:
    d = 2
    fields = {
        "names": ("a", "b"),
        "ignored": ("c",),
        "center": np.array([1.0, 10.0]),
        "scale": np.array([2.0, 0.5]),
        "spread": np.ones(d),
        "mix": None,
        "drift_mode": "normal",
        "baseline": 0,
        "interval": 60.0,
        **given,
    }
    return Preprocessing(**fields)


def test_scaled_is_distance_from_centre_in_scales():
    out = make().scaled(np.array([[1.0, 10.0], [5.0, 9.0]]))
    np.testing.assert_allclose(out, [[0, 0], [2, -2]])


def test_absurd_values_stay_finite():
    assert np.isfinite(make().scaled(np.array([[1e308, -1e308]]))).all()
    assert make().scaled(np.array([[1e308, 0]]))[0, 0] == SCALED_CLIP


def test_row_follows_the_order_of_the_model_not_of_the_reading():
    pre = make()
    assert pre.given({"b": 2.0, "z": 9.0, "a": 1.0}) == [1.0, 2.0]
    assert pre.absent({"b": 2.0, "z": 9.0, "a": 1.0}) == []
    assert list(pre.pick({"b": 2.0, "a": 1.0})) == [1.0, 2.0]


def test_missing_feature_is_refused_by_name():
    with pytest.raises(MissingFeatures, match="b") as caught:
        make().absent({"a": 1.0})
    assert caught.value.field == "features.b"


def test_missing_feature_is_imputed_by_option_up_to_the_limit():
    pre = make(missing="impute", max_imputed=1)
    assert pre.absent({"a": 3.0}) == ["b"]
    values = np.array([pre.given({"a": 3.0}), [4.0, 11.0], [np.nan, 2.0], pre.given({"a": 5.0})])
    whole = [[3.0, 10.0], [4.0, 11.0], [1.0, 2.0], [5.0, 10.0]]
    assert pre.imputed(values, np.full(4, np.nan)).tolist() == whole
    with pytest.raises(MissingFeatures):
        pre.absent({"z": 1.0})


def test_outside_names_features_beyond_physical_limits():
    pre = make(limits={"a": (0.0, 5.0), "b": (None, 20.0), "c": (0.0, None)})
    assert pre.outside({"a": 1.0, "b": -1e9, "c": 0.0}) == []
    assert pre.outside({"a": 5.1, "b": 21.0, "c": -1.0}) == ["a", "b", "c"]


def test_saved_preprocessing_scales_alike():
    pre = make(mix=np.array([[1.1, -0.2], [-0.2, 1.1]]), limits={"a": (0.0, None)})
    again = Preprocessing.from_dict(json.loads(json.dumps(pre.to_dict())))
    x = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_array_equal(pre.scaled(x), again.scaled(x))
    assert again.limits == pre.limits


def test_constant_and_nearly_constant_features_are_dropped_with_a_note():
    rng = np.random.default_rng(0)
    still = np.full(1000, 7.0)
    values = np.column_stack([rng.normal(size=1000), still, np.zeros(1000), still])
    values[3, 2] = 1.0
    found = fit_scales([values], ["good", "still", "blip", "rest"])
    assert found.kept == [0]
    assert found.notes == [
        "still, rest: constant (7), not used",
        "blip: moved in 1 of 1,000 readings (0), not used",
    ]


def test_one_huge_value_does_not_make_a_feature_look_constant():
    values = np.random.default_rng(0).normal(size=(1000, 1))
    values[3] = 1e25
    assert fit_scales([values], ["a"]).kept == [0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.ones((3, 2))], "3 readings are too few, at least 60"),
        ([np.ones((100, 3))], "stream 0 has shape"),
        ([np.where(np.arange(200).reshape(100, 2) == 7, np.nan, 1.0)], "row 3, column 'b'"),
        ([np.where(np.arange(200).reshape(100, 2) == 6, np.inf, 1.0)], "row 3, column 'a'"),
        ([], "0 readings"),
    ],
)
def test_bad_training_data_is_refused_by_name(values, message):
    with pytest.raises(TrainingError, match=re.escape(message)):
        check_training(values, ["a", "b"], 60)


def test_white_noise_has_little_drift_and_a_walk_has_much():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(2000, 1))
    walk = white + np.cumsum(rng.normal(0, 0.1, size=(2000, 1)), axis=0)
    assert 800 * drift_per_reading([white])[0] < 1.0
    assert 800 * drift_per_reading([walk])[0] > 5.0


def test_a_ramp_is_measured_as_it_is():
    t = np.arange(2000.0)[:, None]
    assert drift_per_reading([0.01 * t])[0] == pytest.approx(0.01, rel=0.15)


def test_decorrelation_shows_what_breaks_the_likeness():
    rng = np.random.default_rng(0)
    load = rng.normal(size=(5000, 1))
    rows = load + 0.1 * rng.normal(size=(5000, 3))
    mix = decorrelation(rows / rows.std(axis=0), np.ones(3), np.eye(3))
    assert mix is not None
    broken = np.array([[0.0, 0.0, 1.0]]) @ mix
    common = np.array([[1.0, 1.0, 1.0]]) @ mix
    assert np.abs(broken).max() > 2 * np.abs(common).max()
    assert np.abs(broken).argmax() == 2
    np.testing.assert_allclose(mix, mix.T, atol=1e-12)


def test_decorrelation_needs_readings():
    assert (
        decorrelation(np.random.default_rng(0).normal(size=(20, 3)), np.ones(3), np.eye(3)) is None
    )


def test_drift_is_the_fault_in_a_fleet_of_short_runs_only():
    for units in (3, 7, 8, 50):
        assert drift_is_fault([np.zeros((60, 2))] * units)
        assert not drift_is_fault([np.zeros((5000, 2))] * units)
        assert not drift_is_fault([np.zeros((400, 2))] * units)
    assert not drift_is_fault([np.zeros((60, 2))] * 2)


def test_baseline_is_used_where_units_differ_and_not_where_they_are_alike():
    rng = np.random.default_rng(0)
    alike = [rng.normal(size=(100, 3)) for _ in range(10)]
    differ = [rng.normal(size=(100, 3)) + rng.normal(0, 2, size=3) for _ in range(10)]
    assert baseline_helps(differ, np.ones(3), 20)
    assert not baseline_helps(alike, np.ones(3), 20)


def test_a_past_learnt_at_once_is_learnt_as_reading_by_reading() -> None:
    rows = np.random.default_rng(3).normal(size=(90, 4))
    one_by_one, at_once, in_parts = (StreamState(AdaptiveTail(0.0), 4) for _ in range(3))
    for row in rows:
        one_by_one.learn_level(row)
    at_once.learn_past(rows)
    for part in np.split(rows, [1, 8, 50]):
        in_parts.learn_past(part)
    assert at_once.seen == in_parts.seen == one_by_one.seen
    np.testing.assert_allclose(at_once.level, one_by_one.level, atol=1e-12)
    np.testing.assert_allclose(in_parts.level, one_by_one.level, atol=1e-12)


def test_old_sets_add_the_rarity_and_new_ones_take_the_larger() -> None:
    stored = {"names": ["c"], "usual": [0.0], "moves": [[1.0]], "counts": [1], "readings": 99}
    old = make(standing=Standing.from_dict(stored))
    assert old.with_rarity(1.0, {"c": 2.0}) == 3.0
    new = make(standing=Standing.from_dict({**stored, "added": False}))
    assert new.with_rarity(1.0, {"c": 2.0}) == 2.0
    assert new.with_rarity(2.5, {"c": 2.0}) == 2.5


def test_features_scored_by_frequency_are_numbered_those_that_stood_still_first() -> None:
    stored = {"names": ["c"], "usual": [0.0], "moves": [[1.0]], "counts": [1], "readings": 99}
    assert make(standing=Standing.from_dict(stored)).numbers == {"c": 0, "a": 1, "b": 2}
