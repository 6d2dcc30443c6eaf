"""Forecast the next reading linearly from the last few, by ridge regression.

What a reading brings that the ones before it did not announce is a sharper thing to judge than
the reading itself wherever a stream is autocorrelated: daily cycles, slow drift and a level that
was there before drop out of it. Beside a network, a linear part also follows the scale of its
input without bound, which the squashed units of an LSTM cannot (Lai, Chang, Yang, Liu: Modeling
Long- and Short-Term Temporal Patterns with Deep Neural Networks, SIGIR 2018, call such a part an
autoregressive highway).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Floats
from models.detectors.kernels import I64, compiled

#: Weights are shrunk as by so many readings of noise of unit variance (Hoerl, Kennard 1970).
_RIDGE = 30.0


def fit_forecast(streams: Sequence[Floats], lags: int, clip: float) -> Floats:
    """Fit weights (lags, d, d) that forecast a reading from the ``lags`` before it, newest first.

    Parameters
    ----------
    streams : list of (n_i, d)
        Scaled readings, one array per continuous stretch.
    lags : int
        Readings looked back on.
    clip : float
        Values are clipped to ``[-clip, clip]``, so that a few extreme ones do not decide.
    """
    d = streams[0].shape[1]
    gram = _RIDGE * np.eye(lags * d)
    moment = np.zeros((lags * d, d))
    for stream in streams:
        if len(stream) <= lags:
            continue
        rows = np.clip(stream, -clip, clip)
        past = np.hstack([rows[lags - 1 - k : len(rows) - 1 - k] for k in range(lags)])
        gram += past.T @ past
        moment += past.T @ rows[lags:]
    return np.ascontiguousarray(np.linalg.solve(gram, moment).reshape(lags, d, d))


@compiled
def forecast(readings: Floats, ends: I64, weights: Floats) -> Floats:
    """Forecast readings from those before each; returns (n, d).

    Parameters
    ----------
    readings : (m, d)
    ends : (n,)
        Rows to forecast; each has ``lags`` readings before it.
    weights : (lags, d, d)
        Of the reading before, of the one before that, ...
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
