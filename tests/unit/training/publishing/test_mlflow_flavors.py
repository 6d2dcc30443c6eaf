"""The detectors as objects of the libraries: fitted again on the rows that they were given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.detectors.base import ISOLATION_FOREST, ONE_CLASS_SVM
from models.detectors.isolation_forest import IsolationForest
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.model_set import ModelSet
from training.publishing.mlflow_flavors import library_of, scaled_rows
from training.simulate import Plant


def test_rows_are_those_of_the_model_sets_features_whatever_else_the_data_have(
    plant: Plant, model_set: ModelSet
) -> None:
    values = plant.values[0][:50]
    wide = np.column_stack([np.full(50, 7.0), values[:, ::-1]])
    (rows,) = scaled_rows(model_set, ["other", *reversed(plant.feature_names)], [wide])
    np.testing.assert_allclose(rows, model_set.preprocessing.scaled(values), atol=1e-12)


def test_a_streams_own_baseline_is_taken_off(plant: Plant, model_set: ModelSet) -> None:
    based = replace(model_set, preprocessing=replace(model_set.preprocessing, baseline=10))
    (rows,) = scaled_rows(based, plant.feature_names, [plant.values[0][:50]])
    np.testing.assert_allclose(rows[:10].mean(axis=0), 0.0, atol=1e-9)
    assert np.abs(rows[10:].mean(axis=0)).max() > 1e-3


@pytest.mark.parametrize("name", [ISOLATION_FOREST, ONE_CLASS_SVM])
def test_the_librarys_object_ranks_as_the_detector_does(
    plant: Plant, model_set: ModelSet, name: str
) -> None:
    normal = plant.cut(0, 600)  # what the bundle of the fixture is fitted on
    rows = scaled_rows(model_set, normal.feature_names, normal.values)
    detector = model_set.detectors[name]
    library = library_of(detector, rows)
    assert library is not None
    x = rows[0][:100]
    theirs = library.decision_function(detector.coordinates(x))  # type: ignore[attr-defined]
    order = np.argsort(detector.score(x))
    assert (np.diff(-theirs[order]) >= -1e-9).all()


def test_an_object_that_scores_otherwise_is_none() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 3))
    forest = IsolationForest(n_trees=10).fit([rows])
    assert library_of(forest, [rows]) is not None
    assert library_of(forest, [rows[::2]]) is None


@pytest.mark.slow
def test_the_fits_rows_are_found_again_where_features_follow_the_time_of_the_day() -> None:
    times = np.datetime64("2026-02-02", "us") + np.arange(960) * np.timedelta64(30, "m")
    angle = np.arange(960) / 48.0 * 2.0 * np.pi
    usual = np.stack([8.0 * np.sin(angle), 8.0 * np.cos(angle)], axis=1)
    values = usual + np.random.default_rng(0).normal(size=(960, 2))
    options = FitOptions(models=(ONE_CLASS_SVM,), folds=3)
    seasonal, _ = fit_model_set([values], [times], ["a", "b"], options)
    assert seasonal.preprocessing.seasonality is not None
    detector = seasonal.detectors[ONE_CLASS_SVM]
    rows = scaled_rows(seasonal, ["a", "b"], [values], [times])
    assert library_of(detector, rows) is not None
    assert np.abs(rows[0]).max() < 6.0
