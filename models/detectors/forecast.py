"""Forecast the next reading linearly from the last few, by ridge regression.

Where a stream is autocorrelated, the forecast's error shows a fault better than the reading itself:
daily cycles, slow drift and earlier level changes cancel out. A linear part beside a network also
follows the scale of its input without bound, which the saturating units of an LSTM cannot (Lai,
Chang, Yang, Liu: Modeling Long- and Short-Term Temporal Patterns with Deep Neural Networks, SIGIR
2018, call such a part an autoregressive highway).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from models.arrays import Floats
from models.detectors.kernels import I64, compiled

#: Ridge penalty: acts like this many readings of noise as large as the readings (Hoerl, Kennard
#: 1970). Theirs, not that of a unit: an allowance for drift leaves rows with far less variance.
RIDGE = 30.0
_LEAST = 1e-12  # mean square of a feature that does not vary
_MOST: Final = 0.95  # largest share learned that is believed


class FittedForecast(NamedTuple):
    """A forecast as fitted.

    Parameters
    ----------
    weights : (lags, d, d) of the previous reading, the one before that, ...
    learned : share of the readings it was fitted on that its weights could learn by heart, below 1:
        the degrees of freedom per reading.
    """

    weights: Floats
    learned: float

    def errors(self, readings: Floats, ends: I64) -> Floats:
        """Return the errors (n, d) on readings it was fitted on, as large as on later ones.

        Of hundreds of features a forecast has so many weights that it partly learns the readings by
        heart. Its errors on them are then far smaller than on later ones, and a scale taken from
        them would drown a fault. If a reading was left out, its error would be larger by ``1 / (1 -
        h)``, h the mean share learned (generalised cross-validation; Golub, Heath, Wahba 1979).

        Parameters
        ----------
        readings : (m, d)
        ends : (n,)
            Rows of ``readings``.
        """
        errors: Floats = readings[ends] - forecast(readings, ends, self.weights)
        return errors / (1.0 - self.learned)


def fit_forecast(
    streams: Sequence[Floats], lags: int, clip: float, penalty: float = RIDGE
) -> FittedForecast:
    """Fit weights that forecast a reading from the ``lags`` before it.

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
        past = _past(rows, np.arange(lags, len(rows)), lags)
        gram += past.T @ past
        moment += past.T @ rows[lags:]
        readings += len(past)
    mean_squares = np.diag(gram) / max(readings, 1)
    penalties = np.diag(penalty * np.maximum(mean_squares, _LEAST))
    gram += penalties
    weights, shrunk = np.hsplit(np.linalg.solve(gram, np.hstack([moment, penalties])), [d])
    learned = (lags * d - np.trace(shrunk)) / max(readings, 1)
    return FittedForecast(np.ascontiguousarray(weights.reshape(lags, d, d)), min(learned, _MOST))


def _past(rows: Floats, ends: I64, lags: int) -> Floats:
    """Return the ``lags`` rows before each of ``ends``, side by side, newest first."""
    return np.hstack([rows[ends - 1 - k] for k in range(lags)])


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
