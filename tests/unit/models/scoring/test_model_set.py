"""A model set: who votes when, how long a window is, and after which pause it begins again."""

from __future__ import annotations

from dataclasses import replace

from models.detectors.base import LSTM_AUTOENCODER, MODEL_NAMES


def test_detectors_are_in_one_order_whatever_order_they_came_in(model_set):
    turned = replace(model_set, detectors=dict(reversed(model_set.detectors.items())))
    assert turned.names == model_set.names == tuple(n for n in MODEL_NAMES if n in turned.detectors)


def test_without_a_full_window_the_others_are_calibrated_for_themselves(model_set):
    windowed, alone = (model_set.calibration(full, warm=False) for full in (True, False))
    assert set(windowed.detectors) == set(model_set.names)
    assert set(alone.detectors) == set(model_set.names) - {LSTM_AUTOENCODER}


def test_no_detector_no_calibration(model_set):
    bare = replace(model_set, detectors={}, calibrations={})
    assert bare.calibration(windowed=True, warm=False) is None
    assert (bare.window, bare.median) == (1, 0.0)
