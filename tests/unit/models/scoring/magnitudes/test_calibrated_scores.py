"""Which rows are calibrated."""

from __future__ import annotations

import numpy as np

from models.scoring.magnitudes.calibrated_scores import CalibratedScores


def test_only_the_rows_of_the_mask_are_calibrated(model_set):
    cal = model_set.calibration(windowed=False, warm=False)
    scored = CalibratedScores(model_set.names, 4)
    raw = {name: np.array([0.1, 5.0]) for name in cal.detectors}
    scored.put(np.array([False, True, False, True]), cal, raw)
    assert [by is cal for by in scored.by] == [False, True, False, True]
    assert scored.fast[0] == scored.fast[2] == 0.0
    np.testing.assert_allclose([scored.fast[1], scored.fast[3]], cal.combined(cal.decades(raw)))
    for name in cal.detectors:
        assert scored.log10_p[name][1::2] == cal.tails[name].log10_ps(raw[name]).tolist()
        assert scored.decades[name][::2] == [0.0, 0.0]
