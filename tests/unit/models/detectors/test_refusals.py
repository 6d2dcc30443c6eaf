"""What every detector refuses, and that it says why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from errors import BundleError, InputError, TrainingError
from models.detectors.base import Detector
from models.detectors.isolation_forest import IsolationForest
from models.detectors.lstm_autoencoder import LSTMAutoencoder
from models.detectors.one_class_svm import OneClassSVM
from tests.unit.detector_makers import FEATURES, MAKERS, STREAMS, WINDOW, material


@pytest.fixture(scope="module", params=MAKERS)
def detector(request: pytest.FixtureRequest) -> Detector:
    return MAKERS[request.param]().fit(STREAMS)


@pytest.mark.parametrize("damage", ["missing", "no_json", "truncated", "not_json", "other_version"])
def test_a_damaged_file_is_refused(detector: Detector, tmp_path: Path, damage: str) -> None:
    detector.save(tmp_path)
    arrays, facts = tmp_path / f"{detector.name}.npz", tmp_path / f"{detector.name}.json"
    if damage == "missing":
        arrays.unlink()
    elif damage == "no_json":
        facts.unlink()
    elif damage == "truncated":
        arrays.write_bytes(arrays.read_bytes()[:-100])
    elif damage == "not_json":
        facts.write_text("{")
    else:
        facts.write_text(json.dumps({"params": {"unheard_of": 1}, "n_features": FEATURES}))
    with pytest.raises(BundleError, match=detector.name):
        type(detector).load(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_by_name(detector: Detector, bad: float) -> None:
    x = material(detector)
    place = (3, 1) if detector.window == 1 else (3, WINDOW - 2, 1)
    x[place] = bad
    for call in (detector.score, detector.explain):
        with pytest.raises(InputError, match=detector.name) as caught:
            call(x)
        assert ", ".join(map(str, place)) in str(caught.value)


def test_a_wrong_shape_is_refused(detector: Detector) -> None:
    x = material(detector)
    wrong = [x[..., :-1], x[0], x[None]]
    if detector.window > 1:
        wrong.append(x[:, 1:])
    for bad in wrong:
        with pytest.raises(InputError, match=detector.name):
            detector.score(bad)


@pytest.mark.parametrize(
    "streams",
    [
        pytest.param([], id="none"),
        pytest.param([np.zeros((0, FEATURES))], id="empty"),
        pytest.param([np.zeros((1, FEATURES))], id="one_reading"),
        pytest.param([np.zeros(50)], id="one_dimension"),
        pytest.param([np.zeros((50, 2)), np.zeros((50, 3))], id="two_widths"),
        pytest.param([np.full((50, 2), np.nan)], id="nan"),
    ],
)
def test_what_cannot_be_fitted_is_refused(detector: Detector, streams: list[np.ndarray]) -> None:
    with pytest.raises(TrainingError, match=detector.name):
        MAKERS[detector.name]().fit(streams)


@pytest.mark.parametrize(
    ("maker", "parameter", "value"),
    [
        (IsolationForest, "n_trees", 0),
        (IsolationForest, "n_trees", 2.5),
        (IsolationForest, "max_samples", 1),
        (IsolationForest, "seed", -1),
        (IsolationForest, "seed", True),
        (OneClassSVM, "nu", 0.0),
        (OneClassSVM, "nu", 1.5),
        (OneClassSVM, "nu", float("nan")),
        (OneClassSVM, "gamma", -1.0),
        (OneClassSVM, "gamma", "auto"),
        (OneClassSVM, "max_rows", 1),
        (LSTMAutoencoder, "window", 1),
        (LSTMAutoencoder, "hidden", 30),
        (LSTMAutoencoder, "code", 0),
        (LSTMAutoencoder, "epochs", 0),
        (LSTMAutoencoder, "batch_size", 0),
        (LSTMAutoencoder, "learning_rate", 0),
        (LSTMAutoencoder, "patience", 0),
        (LSTMAutoencoder, "focus", 1.1),
        (LSTMAutoencoder, "denoise", -0.1),
        (LSTMAutoencoder, "clip", 0.5),
        (LSTMAutoencoder, "max_windows", 0),
        (LSTMAutoencoder, "device", "abacus"),
    ],
)
def test_a_wrong_parameter_is_named(maker: type[Detector], parameter: str, value: object) -> None:
    with pytest.raises(ValueError, match=parameter):
        maker(**{parameter: value})
