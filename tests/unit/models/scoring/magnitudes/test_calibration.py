"""Several detectors, one magnitude: the bounded never dilutes, the sure are not silenced."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detectors.base import ISOLATION_FOREST, LSTM_AUTOENCODER, MODEL_NAMES, ONE_CLASS_SVM
from models.scoring.magnitudes.calibration import RARE, combine, subsets

decades = st.floats(0.0, 1e6, allow_subnormal=False).map(lambda x: round(x, 6))


@given(forest=decades, svm=decades, lstm=decades)
def test_the_forest_never_dilutes_and_the_sure_are_not_silenced(forest, svm, lstm):
    (c,) = combine(MODEL_NAMES, np.array([[forest], [svm], [lstm]]))
    (without,) = combine((ONE_CLASS_SVM, LSTM_AUTOENCODER), np.array([[svm], [lstm]]))
    assert c >= without
    assert without >= (svm + lstm) / 2 * (1 - 1e-9)
    assert without <= max(svm, lstm) * (1 + 1e-9)
    if forest <= RARE:
        assert c == without, "what is common to the forest is noise"


def test_a_rare_reading_of_the_forest_adds_to_the_others():
    names = (ISOLATION_FOREST, ONE_CLASS_SVM)
    (low, high) = combine(names, np.array([[RARE, RARE + 1.0], [1.0, 1.0]]))
    assert high == pytest.approx(low + 0.5)


def test_alone_each_detector_speaks_for_itself():
    for name in MODEL_NAMES:
        np.testing.assert_allclose(combine((name,), np.array([[0.3, 4.0]])), [0.3, 4.0])


def test_subsets_are_all_and_all_but_the_window_detector():
    assert subsets(MODEL_NAMES) == [MODEL_NAMES, (ISOLATION_FOREST, ONE_CLASS_SVM)]
    assert subsets((LSTM_AUTOENCODER,)) == [(LSTM_AUTOENCODER,)]
