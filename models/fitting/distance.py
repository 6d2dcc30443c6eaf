"""Score readings by how far they lie from those fitted on: what is chosen by before detectors fit.

The squared distance of the decorrelated row, as a logarithm, stands for the detectors: they see
the same rows, and this costs a hundredth.
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
    """Fit what decorrelates readings (n, d), by horizon and shrinkage.

    Parameters
    ----------
    streams : list of (n_i, d)

    Returns
    -------
    (rows_of, spread) : ``rows_of(horizon, shrinkage)`` of the readings that drift is tolerated for,
        which widens the scales, and the share of the identity in the correlation; each feature's
        spread (d,).
    """
    pooled = np.concatenate(streams)
    spread = winsorised_std(pooled)
    # a feature may stand still in all blocks but those it is tried on
    spread = np.maximum(spread, 1e-3 * pooled.std(axis=0) + 1e-12)
    centre = np.median(pooled, axis=0)
    drift = drift_per_reading(streams)
    together = step_correlation(streams)

    def rows_of(horizon: int, shrinkage: float) -> Scoring:
        scale = np.hypot(spread, drift * horizon)
        scaled = np.concatenate([(s - centre) / scale for s in streams])
        mix = decorrelation(scaled, spread / scale, together, shrinkage)

        def rows(values: Floats) -> Floats:
            out: Floats = np.clip((values - centre) / scale, -SCALED_CLIP, SCALED_CLIP)
            return out if mix is None else out @ mix

        return rows

    return rows_of, spread


def fit_distance(streams: list[Floats], horizon: int, shrinkage: float) -> tuple[Scoring, Floats]:
    """Fit the distance of readings (n, d) from ``streams``; return each feature's spread, too.

    Parameters
    ----------
    streams, horizon, shrinkage
        As of :func:`fit_rows`.
    """
    rows_of, spread = fit_rows(streams)
    return distance(rows_of(horizon, shrinkage)), spread


def distance(rows: Scoring) -> Scoring:
    """Return the logarithm of the mean square (n,) of what ``rows`` makes of readings."""

    def score(values: Floats) -> Floats:
        out: Floats = np.log1p((rows(values) ** 2).mean(axis=1))
        return out

    return score
