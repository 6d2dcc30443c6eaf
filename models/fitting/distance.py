"""Score readings by their distance from training readings, as a cheap stand-in for the detectors.

Fit choices are tried on the log squared distance of the decorrelated row. The detectors see the
same rows, and the distance costs a hundredth of their fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import winsorised_std
from models.fitting.scaling import (
    decorrelation,
    drift_per_reading,
    step_correlation,
)
from models.scoring.preprocessing import SCALED_CLIP

#: What turns readings (n, d) into rows (n, d) or magnitudes (n,).
Scoring = Callable[[Floats], Floats]


def fit_rows(streams: list[Floats]) -> tuple[Callable[[int, float], Scoring], Floats]:
    """Fit the scaling and decorrelation of readings, by horizon and shrinkage.

    Parameters
    ----------
    streams : list of (n_i, d)

    Returns
    -------
    (rows_of, spread) : ``rows_of(horizon, shrinkage)`` makes the function from readings (n, d) to
        rows (n, d). ``horizon`` is the number of readings over which drift is tolerated,
        ``shrinkage`` the share of the identity in the correlation. ``spread`` is (d,).
    """
    pooled = np.concatenate(streams)
    spread = winsorised_std(pooled)
    # a feature may be constant in all blocks but the held-out ones
    spread = np.maximum(spread, 1e-3 * pooled.std(axis=0) + 1e-12)
    centre = np.median(pooled, axis=0)
    drift = drift_per_reading(streams)
    steps = step_correlation(streams)

    def rows_of(horizon: int, shrinkage: float) -> Scoring:
        scale = np.hypot(spread, drift * horizon)
        scaled = np.concatenate([(s - centre) / scale for s in streams])
        whitening = decorrelation(scaled, spread / scale, steps, shrinkage)

        def rows(values: Floats) -> Floats:
            out: Floats = np.clip((values - centre) / scale, -SCALED_CLIP, SCALED_CLIP)
            return out if whitening is None else out @ whitening

        return rows

    return rows_of, spread


def fit_distance(streams: list[Floats], horizon: int, shrinkage: float) -> tuple[Scoring, Floats]:
    """Fit the distance of readings (n, d) from ``streams``; also return the features' spread (d,).

    Parameters
    ----------
    streams, horizon, shrinkage
        Those of :func:`fit_rows`.
    """
    rows_of, spread = fit_rows(streams)
    return distance(rows_of(horizon, shrinkage)), spread


def distance(rows: Scoring) -> Scoring:
    """Return a function from readings (n, d) to the log mean square (n,) of their rows."""

    def score(values: Floats) -> Floats:
        out: Floats = np.log1p((rows(values) ** 2).mean(axis=1))
        return out

    return score
