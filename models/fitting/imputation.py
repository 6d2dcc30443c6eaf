"""Fill missing values of training readings with what the present features lead to expect.

As live readings are (:mod:`models.scoring.conditional_mean`): deviations from the stream's own
level are taken as jointly normal, with a robust correlation of the readings that lack nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats

#: A single value counts as at most so many deviations away from the level.
_CLIP: Final = 4.0
#: The correlation is shrunk towards none by this share, so that it can be inverted.
_SHRINK: Final = 0.1
#: Whole readings from which on a stream's level is its own, not that of all.
_OWN_LEVEL: Final = 20


def impute(streams: Sequence[Floats], max_missing: int) -> tuple[list[Floats], int]:
    """Fill the readings (n_i, d) that lack at most ``max_missing`` features; NaN is what they lack.

    Returns
    -------
    list of (n_i, d), int
        The streams, readings that lack more as they were; how many readings were filled.
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
    nothing = np.isnan(pooled).all(axis=0)  # where it was measured never, the level is 0
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
