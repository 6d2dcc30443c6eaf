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
    shrinkage_of,
    step_correlation,
)
from models.scoring.features.preprocessing import SCALED_CLIP

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


def fit_tight_distance(streams: list[Floats]) -> tuple[Scoring, Floats]:
    """Fit the distance that shows broken relations best; also return the unit of tight steps.

    A step as large as a feature's scatter says little about features that follow one another: any
    way of scoring detects it. Here the unit (d,) is the scatter of a feature that is left when the
    others are known. A feature that follows no other keeps its spread. The detectors decorrelate
    the rows again, so what the shrinkage of the correlation leaves is shrunk once more.

    Parameters
    ----------
    streams : list of (n_i, d)
    """
    rows_of, spread = fit_rows(streams)
    pooled = np.concatenate(streams)
    rows = rows_of(0, shrinkage_of(pooled / spread) ** 2)
    usual = np.median(pooled, axis=0)
    moved = rows(usual + np.diag(spread)) - rows(usual)
    unit: Floats = spread / np.maximum(np.sqrt((moved**2).sum(axis=1)), 1.0)
    return distance(rows), unit


def distance(rows: Scoring) -> Scoring:
    """Return a function from readings (n, d) to the log mean square (n,) of their rows."""

    def score(values: Floats) -> Floats:
        out: Floats = np.log1p((rows(values) ** 2).mean(axis=1))
        return out

    return score
