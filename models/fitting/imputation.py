"""Impute missing values of training readings as those of live readings are.

By their conditional mean given the present features
(:mod:`models.scoring.features.conditional_mean`): deviations from the stream's own level are
jointly normal, with a robust correlation fitted on complete readings. Or, where that predicts
worse, from similar readings (:mod:`models.scoring.features.neighbours`). What is usual in an
operating condition or at a time of the day is only known once all readings are complete, so then
the missing values are imputed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.detectors.covariance import winsorised_std
from models.fitting.neighbour_fit import fit_neighbours
from models.fitting.scaling import shrinkage_of
from models.scoring.features.conditional_mean import lacking_alike
from models.scoring.features.neighbours import Neighbours, estimated

#: Values are clipped at this many deviations from the level: one must not dominate.
_CLIP: Final = 4.0
#: Fewest complete readings for a stream to have its own level instead of the pooled one.
_OWN_LEVEL: Final = 20


def impute(
    streams: Sequence[Floats], max_missing: int, garbage: Sequence[Bools] | None = None
) -> list[Floats]:
    """Impute readings (n_i, d) with at most ``max_missing`` missing values, which are NaN.

    Readings with more are returned unchanged.

    Parameters
    ----------
    streams : list of (n_i, d)
    max_missing
        Values that a reading may lack.
    garbage : list of (n_i,)
        Which readings have a value that nobody measured: nothing is learned from these.
    """
    holes = [np.isnan(s) for s in streams]
    todo = [(h.sum(axis=1) <= max_missing) & h.any(axis=1) for h in holes]
    if not any(rows.any() for rows in todo):
        return list(streams)
    fit = [~h.any(axis=1) for h in holes]
    if garbage is not None:
        fit = [rows & ~bad for rows, bad in zip(fit, garbage, strict=True)]
    whole = [s[rows] for s, rows in zip(streams, fit, strict=True)]
    levels, spread, precision, neighbours = _learn(streams, whole)
    out = []
    for stream, level, hole, rows in zip(streams, levels, holes, todo, strict=True):
        values = stream.copy()
        for at in lacking_alike(hole & rows[:, None]):
            here = ~hole[at[0]]
            z = np.clip((values[at] - level) / spread, -_CLIP, _CLIP)
            estimates = estimated(z, precision, here, neighbours)
            values[at] = np.where(here, values[at], level + spread * estimates)
        out.append(values)
    return out


def imputed_again(streams: Sequence[Floats], holes: Sequence[Bools]) -> list[Floats]:
    """Return readings (n_i, d) whose values in ``holes`` (n_i, d) are imputed from the others."""
    lacking = [np.where(hole, np.nan, s) for hole, s in zip(holes, streams, strict=True)]
    return impute(lacking, lacking[0].shape[1])


def _learn(
    streams: Sequence[Floats], whole: Sequence[Floats]
) -> tuple[list[Floats], Floats, Floats, Neighbours | None]:
    """Return the streams' levels (d,), the pooled spread, inverse correlation and neighbours."""
    pooled = np.concatenate(streams)
    nothing = np.isnan(pooled).all(axis=0)  # a feature that was never measured has level 0
    general = np.nanmedian(np.where(nothing, 0.0, pooled), axis=0)
    levels = [np.median(rows, axis=0) if len(rows) >= _OWN_LEVEL else general for rows in whole]
    around = np.concatenate([rows - level for rows, level in zip(whole, levels, strict=True)])
    width = pooled.shape[1]
    if len(around) < 2 * width:
        return levels, np.ones(width), np.eye(width), None
    # as live; the median deviation of a machine that mostly holds still is its noise, so all of its
    # movements would be clipped and imputed far too small
    spread = winsorised_std(around)
    spread = np.where(spread > 0, spread, np.maximum(around.std(axis=0), 1e-12))
    z = np.clip(around / spread, -_CLIP, _CLIP)
    z[:, z.std(axis=0) <= 1e-12] = 0.0  # what does not vary correlates with nothing
    scale = np.maximum(z.std(axis=0), 1e-12)
    correlation = (z / scale).T @ (z / scale) / len(z)
    shrinkage = shrinkage_of(around)  # so that it can be inverted
    correlation = (1 - shrinkage) * correlation + shrinkage * np.eye(width)
    precision = np.linalg.inv(correlation)
    return levels, spread, precision, fit_neighbours(around / spread, precision)
