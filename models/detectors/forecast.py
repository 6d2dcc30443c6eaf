"""Forecast the next reading linearly from the last few, by ridge regression.

Where a stream is autocorrelated, the forecast's error shows a fault better than the reading itself:
daily cycles, slow drift and earlier level changes cancel out. A linear part beside a network also
follows the scale of its input without bound, which the saturating units of an LSTM cannot (Lai,
Chang, Yang, Liu: Modeling Long- and Short-Term Temporal Patterns with Deep Neural Networks, SIGIR
2018, call such a part an autoregressive highway).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Floats
from models.detectors.kernels import I64, compiled

#: Ridge penalty: acts like this many readings of noise as large as the readings (Hoerl, Kennard
#: 1970). Theirs, not that of a unit: an allowance for drift leaves rows with far less variance.
RIDGE = 30.0
_LEAST = 1e-12  # mean square of a feature that does not vary


def fit_forecast(
    streams: Sequence[Floats], lags: int, clip: float, penalty: float = RIDGE
) -> Floats:
    """Fit weights (lags, d, d) that forecast a reading from the ``lags`` before it, newest first.

    Parameters
    ----------
    streams : list of (n_i, d)
        Scaled readings, one array per continuous stretch.
    lags : int
        Number of past readings.
    clip : float
        Values are clipped to ``[-clip, clip]``, so that a few extreme ones do not dominate.
    penalty : float
        Ridge penalty, in readings of noise as large as the readings.
    """
    d = streams[0].shape[1]
    gram = np.zeros((lags * d, lags * d))
    moment = np.zeros((lags * d, d))
    readings = 0
    for stream in streams:
        if len(stream) <= lags:
            continue
        rows = np.clip(stream, -clip, clip)
        past = np.hstack([rows[lags - 1 - k : len(rows) - 1 - k] for k in range(lags)])
        gram += past.T @ past
        moment += past.T @ rows[lags:]
        readings += len(past)
    mean_squares = np.diag(gram) / max(readings, 1)
    gram += np.diag(penalty * np.maximum(mean_squares, _LEAST))
    return np.ascontiguousarray(np.linalg.solve(gram, moment).reshape(lags, d, d))


@compiled
def forecast(readings: Floats, ends: I64, weights: Floats) -> Floats:
    """Forecast each of some readings from the readings before it; returns (n, d).

    Parameters
    ----------
    readings : (m, d)
    ends : (n,)
        Rows to forecast; each has ``lags`` readings before it.
    weights : (lags, d, d)
        Weights of the previous reading, the one before that, ...
    """
    lags, d, _ = weights.shape
    out = np.zeros((ends.shape[0], d))
    for i in range(ends.shape[0]):
        for lag in range(lags):
            reading = readings[ends[i] - 1 - lag]
            for k in range(d):
                value = reading[k]
                for j in range(d):
                    out[i, j] += value * weights[lag, k, j]
    return out
