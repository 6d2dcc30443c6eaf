"""Decide which features are imputed from similar readings rather than by their correlations."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.arrays import Floats, Indices
from models.scoring.features.neighbours import Neighbours

#: Maximum number of stored values of training readings: 32 KB.
_STORED: Final = 4096
#: Minimum number of readings to store: the most similar ones of fewer are not similar.
_FEWEST_STORED: Final = 20
#: Maximum number of readings that a decision is made on.
_TRIED: Final = 500
#: Minimum number of readings that a decision is made on.
_FEWEST: Final = 100
#: Parts of these readings whose mean errors tell how sure a decision is.
_PARTS: Final = 10
#: Standard errors that a decision needs.
_SURE: Final = 2.0
#: Scaled values are clipped here: one must not decide.
_CLIP: Final = 4.0


def fit_neighbours(rows: Floats, precision: Floats | None) -> Neighbours | None:
    """Return the readings to impute from, or None if correlations impute each feature as well.

    The second and fourth fifth of all readings are imputed from the others, one feature at a time.
    A feature counts if neighbours have the smaller mean square error, by two standard errors of
    the means of ten parts. Shorter stretches would be compared with readings of the same hour.

    Parameters
    ----------
    rows : (n, d) complete readings in time order, scaled.
    precision : (d, d) inverse of their correlation; None: they are taken as uncorrelated.
    """
    n, d = rows.shape
    held = np.isin(np.arange(n) * 5 // max(n, 1), (1, 3))
    if d < 2 or d * _FEWEST_STORED > _STORED or held.sum() < _FEWEST:
        return None
    rows = np.clip(rows, -_CLIP, _CLIP)
    tried = _spread(np.flatnonzero(held), _TRIED)
    examples = Neighbours(rows[_spread(np.flatnonzero(~held), _STORED // d)], np.ones(d))
    precision = np.eye(d) if precision is None else precision
    better = [_better(rows[tried], precision, examples, j) for j in range(d)]
    if not any(better):
        return None
    return Neighbours(rows[_spread(np.arange(n), _STORED // d)], np.array(better, np.float64))


def _better(rows: Floats, precision: Floats, neighbours: Neighbours, feature: int) -> bool:
    """Return whether neighbours impute a feature better than correlations do.

    Parameters
    ----------
    rows : (n, d) complete scaled readings, none of which is among the neighbours.
    precision : (d, d) inverse correlation.
    neighbours : compared with it.
    feature : column of the feature.
    """
    here = np.arange(rows.shape[1]) != feature
    linear = -(rows[:, here] @ precision[here, feature]) / precision[feature, feature]
    similar = neighbours.estimate(rows, here)[:, feature]
    gain = (rows[:, feature] - linear) ** 2 - (rows[:, feature] - similar) ** 2
    means = np.array([part.mean() for part in np.array_split(gain, _PARTS)])
    return bool(means.mean() > _SURE * means.std(ddof=1) / np.sqrt(len(means)))


def _spread(rows: Indices, count: int) -> Indices:
    """Return at most ``count`` of the row numbers, evenly spread."""
    take = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.intp)
    return rows[np.unique(take)]
