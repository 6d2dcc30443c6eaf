"""Ask the other streams of a group which level of a sensor is the usual one.

A sensor of one stream that moves for good has been replaced or adjusted, or began to fail. Alone, a
stream cannot tell. The other streams can if they agree: their levels, less what the other features
explain, and its level before lie much closer together than the sensor moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Floats

#: Fewest other streams that can agree.
_FEWEST: Final = 2
#: Largest share of the move by which the other streams' levels and the level before may differ.
_TOGETHER: Final = 0.5
#: Parts of a stream whose averages' median is its level: a fault in a few does not count.
_PARTS: Final = 8
_RIDGE: Final = 1e-4


def read_as_before(others: Sequence[Floats], values: Floats, feature: int, at: int) -> bool:
    """Return whether the other streams agree with a feature's level before reading ``at``.

    Parameters
    ----------
    others : list of (n_i, d)
        The other streams of the group.
    values : (n, d)
        The stream whose feature moves at reading ``at``.
    """
    others = [other for other in others if len(other) >= _PARTS]
    if len(others) < _FEWEST:
        return False
    weights = _explained_by(others, feature)
    before, after = (_level(part, weights) for part in np.split(values, [at]))
    usual = [before, *(_level(other, weights) for other in others)]
    return max(usual) - min(usual) <= _TOGETHER * abs(after - before)


def _explained_by(streams: Sequence[Floats], feature: int) -> Floats:
    """Return the weights (d,) that leave of a reading what the other features do not explain.

    By a linear model within the streams, whose levels may differ.
    """
    within = np.concatenate([stream - stream.mean(axis=0) for stream in streams])
    spread = within.std(axis=0)
    scale = np.where(spread > 0.0, spread, 1.0)
    rest = np.arange(len(scale)) != feature
    z = within / scale
    both = z[:, rest].T @ z[:, rest] / len(z) + _RIDGE * np.eye(int(rest.sum()))
    weights = np.ones(len(scale))
    slopes = np.linalg.solve(both, z[:, rest].T @ z[:, feature] / len(z))
    weights[rest] = -slopes * scale[feature] / scale[rest]
    return weights


def _level(values: Floats, weights: Floats) -> float:
    """Return the level of what is left of readings (n, d)."""
    return float(np.median([part.mean() for part in np.array_split(values @ weights, _PARTS)]))
