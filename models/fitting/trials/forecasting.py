"""Choose the forecast's ridge penalty, and judge whether its errors hold on later readings.

A penalty that suits noisy readings hides faults in smooth ones: a clean cycle is forecast almost
exactly by large weights of opposite signs, which the penalty keeps from growing. Each of PENALTIES
is therefore fitted on the first blocks of each stream and tried on the next. Of those whose errors
alarm at most at HOLDS times the budget there, the one with the smallest errors is chosen; of those
within ALIKE of it, the largest. A rate far above the budget means that the forecast does not
generalise beyond the readings it was fitted on, as where operation changes, and it is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import RobustCovariance
from models.detectors.error_size import tail_variance
from models.detectors.forecast import RIDGE, fit_forecast, forecast
from models.fitting.trials.distance import Scoring, fit_rows
from models.fitting.trials.held_out import own_magnitudes
from models.fitting.trials.ways_of_scoring import BUDGET, Fold, later_blocks

#: Candidates, in readings of noise as large as the readings; the largest first.
PENALTIES: Final = (RIDGE, RIDGE / 10.0, RIDGE / 100.0)
#: Largest alarm rate on later readings, in budgets. Larger than that of other trials, since the
#: threshold comes from the readings that the forecast was fitted on.
HOLDS: Final = 5.0
ALIKE: Final = 0.01  # share by which errors may be larger and count as the same
_CLIP: Final = 10.0  # equals the detector's


class Forecast(NamedTuple):
    """A penalty and its result on later blocks.

    Parameters
    ----------
    penalty : in readings, see :func:`models.detectors.forecast.fit_forecast`.
    surplus : alarm rate of the errors, in budgets.
    error : mean logarithm of the features' mean absolute errors, in scaled units.
    """

    penalty: float
    surplus: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether the errors hold on later readings."""
        return self.surplus <= HOLDS


def choose_forecast(streams: Sequence[Floats], shrinkage: float, lags: int) -> Forecast | None:
    """Return the best penalty of those that hold, or the largest; None if there is too little data.

    Parameters
    ----------
    streams : list of (n_i, d)
    shrinkage
        Shrinkage of the correlation, see :func:`models.fitting.trials.distance.fit_rows`.
    lags
        Past readings that a forecast uses.
    """
    folds = later_blocks(streams)
    if not folds:
        return None
    figures = np.mean([_tried(fold, shrinkage, lags) for fold in folds], axis=0)
    tried = [Forecast(p, *of) for p, of in zip(PENALTIES, figures.tolist(), strict=True)]
    able = [one for one in tried if one.holds]
    if not able:
        return tried[0]
    best = min(one.error for one in able)
    return next(one for one in able if one.error <= best + ALIKE)


def _tried(fold: Fold, shrinkage: float, lags: int) -> Floats:
    """Return surplus and error on a fold: (penalties, 2)."""
    known, later = fold

    def fit(streams: list[Floats]) -> list[_Penalised]:
        return _fitted(streams, shrinkage, lags)

    forecasts = fit(known)
    out = []
    for one, own in zip(forecasts, own_magnitudes(known, forecasts, fit), strict=True):
        line = np.quantile(np.concatenate(own), 1.0 - BUDGET)
        alarms = np.concatenate([one(s) for s in later]) > line
        size = np.maximum(
            np.abs(np.concatenate([one.errors(s) for s in later])).mean(axis=0), 1e-12
        )
        out.append((float(alarms.mean()) / BUDGET, float(np.log(size).mean())))
    return np.array(out)


@dataclass(frozen=True, slots=True)
class _Penalised:
    """A forecast with one penalty: maps readings (n, d) to magnitudes (n - lags,)."""

    rows: Scoring
    weights: Floats
    normal: RobustCovariance

    def errors(self, values: Floats) -> Floats:
        return _errors(self.rows(values), self.weights)

    def __call__(self, values: Floats) -> Floats:
        squares: Floats = (self.normal.whiten(self.errors(values)) ** 2).sum(axis=1)
        return squares


def _fitted(streams: list[Floats], shrinkage: float, lags: int) -> list[_Penalised]:
    """Return forecasts fitted on streams (n_i, d), one for each penalty."""
    scale = fit_rows(streams)[0](0, shrinkage)
    rows = [scale(s) for s in streams if len(s) > lags]
    out = []
    for penalty in PENALTIES:
        fitted = fit_forecast(rows, lags, _CLIP, penalty)
        errors = np.concatenate([fitted.errors(r, np.arange(lags, len(r))) for r in rows])
        normal = RobustCovariance.of(errors, tail_variance(errors), centred=True)
        out.append(_Penalised(scale, fitted.weights, normal))
    return out


def _errors(rows: Floats, weights: Floats) -> Floats:
    lags = len(weights)
    out: Floats = rows[lags:] - forecast(rows, np.arange(lags, len(rows)), weights)
    return out
