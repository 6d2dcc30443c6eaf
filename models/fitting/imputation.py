"""Impute missing values of training readings by their conditional mean given the present features.

The model is that of live readings (:mod:`models.scoring.conditional_mean`): deviations from the
stream's own level are jointly normal, with a robust correlation fitted on complete readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats

#: Values are clipped at this many deviations from the level: one must not dominate.
_CLIP: Final = 4.0
#: Share of the identity in the correlation, so that it can be inverted.
_SHRINK: Final = 0.1
#: Fewest complete readings for a stream to have its own level instead of the pooled one.
_OWN_LEVEL: Final = 20


def impute(streams: Sequence[Floats], max_missing: int) -> tuple[list[Floats], int]:
    """Impute readings (n_i, d) with at most ``max_missing`` missing values, which are NaN.

    Returns
    -------
    list of (n_i, d), int
        The streams, where readings with more missing values are unchanged, and the number of
        imputed readings.
    """
    holes = [np.isnan(s) for s in streams]
    todo = [(h.sum(axis=1) <= max_missing) & h.any(axis=1) for h in holes]
    filled = int(sum(t.sum() for t in todo))
    if not filled:
        return list(streams), 0
    whole = [s[~h.any(axis=1)] for s, h in zip(streams, holes, strict=True)]
    levels, spread, precision = _learn(streams, whole)
    out = []
    for stream, level, hole, rows in zip(streams, levels, holes, todo, strict=True):
        values = stream.copy()
        for pattern in np.unique(hole[rows], axis=0):
            at = np.flatnonzero(rows & (hole == pattern).all(axis=1))
            values[np.ix_(at, pattern)] = _expected(values[at], pattern, level, spread, precision)
        out.append(values)
    return out, filled


def _learn(
    streams: Sequence[Floats], whole: Sequence[Floats]
) -> tuple[list[Floats], Floats, Floats]:
    """Return each stream's level (d,), and the spread (d,) and inverse correlation (d, d)."""
    pooled = np.concatenate(streams)
    nothing = np.isnan(pooled).all(axis=0)  # a feature that was never measured has level 0
    general = np.nanmedian(np.where(nothing, 0.0, pooled), axis=0)
    levels = [np.median(rows, axis=0) if len(rows) >= _OWN_LEVEL else general for rows in whole]
    around = np.concatenate([rows - level for rows, level in zip(whole, levels, strict=True)])
    width = pooled.shape[1]
    if len(around) < 2 * width:
        return levels, np.ones(width), np.eye(width)
    spread = 1.4826 * np.median(np.abs(around), axis=0)
    spread = np.where(spread > 0, spread, np.maximum(around.std(axis=0), 1e-12))
    z = np.clip(around / spread, -_CLIP, _CLIP)
    scale = np.maximum(z.std(axis=0), 1e-12)
    correlation = (z / scale).T @ (z / scale) / len(z)
    correlation = (1 - _SHRINK) * correlation + _SHRINK * np.eye(width)
    return levels, spread, np.linalg.inv(correlation)


def _expected(
    rows: Floats, pattern: Bools, level: Floats, spread: Floats, precision: Floats
) -> Floats:
    """Return the expected values (n, m) of rows (n, d) that lack the same m features."""
    here = ~pattern
    z = np.clip((rows[:, here] - level[here]) / spread[here], -_CLIP, _CLIP)
    link = np.linalg.solve(precision[np.ix_(pattern, pattern)], precision[np.ix_(pattern, here)])
    filled: Floats = level[pattern] - spread[pattern] * (z @ link.T)
    return filled
