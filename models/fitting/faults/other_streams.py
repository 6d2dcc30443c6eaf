"""Ask the other streams of a group which level of a sensor is the usual one.

A sensor of one stream that moves for good has been replaced or adjusted, or began to fail. Alone, a
stream cannot tell. The other streams can if they agree: their levels, less what the other features
explain, and its level before lie much closer together than the sensor moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from typing import Final

import numpy as np

from models.arrays import Floats

#: Fewest other streams that can agree.
_FEWEST: Final = 2
#: Largest share of the move by which the other streams' levels and the level before may differ.
_TOGETHER: Final = 0.5
#: Parts of a stream whose averages' median is its level: a fault in a few does not count.
_PARTS: Final = 8
#: Fewest readings of each; a stream with fewer does not show its level.
_EACH: Final = 20
_RIDGE: Final = 1e-4
#: What rounding leaves of a difference, as a share.
_ROUNDING: Final = 1e-12


class OtherStreams:
    """Compare the levels of a stream's feature with those of the other streams.

    Parameters
    ----------
    streams : list of (n_i, d)
        All streams of the group.
    """

    def __init__(self, streams: Sequence[Floats]) -> None:
        self._streams = streams

    def read_as_before(self, number: int, feature: int, at: int) -> bool:
        """Return whether the others agree with a feature's level before reading ``at``.

        Parameters
        ----------
        number
            Of the stream whose feature moves at reading ``at``.
        """
        others = [k for k in self._judging if k != number]
        if len(others) < _FEWEST:
            return False
        weights = self._explained(number, feature)
        before, after = (
            _level(_parts(part), weights) for part in np.split(self._streams[number], [at])
        )
        usual = [before, *(_level(self._levels[k], weights) for k in others)]
        return max(usual) - min(usual) <= _TOGETHER * abs(after - before)

    @cached_property
    def _judging(self) -> list[int]:
        return [k for k, one in enumerate(self._streams) if len(one) >= _PARTS * _EACH]

    @cached_property
    def _levels(self) -> dict[int, Floats]:
        return {k: _parts(self._streams[k]) for k in self._judging}

    @cached_property
    def _products(self) -> Floats:
        """The sum of the products (d, d) within each stream."""
        return reduce(np.add, (_within(self._streams[k]) for k in self._judging))

    def _explained(self, number: int, feature: int) -> Floats:
        """Return the weights (d,) that leave of a reading what the other features do not explain.

        By a linear model within the other streams, whose levels may differ.
        """
        count = sum(len(self._streams[k]) for k in self._judging if k != number)
        products = (self._products - _within(self._streams[number])) / count
        variance = products.diagonal()
        varies = variance > _ROUNDING * self._products.diagonal() / count
        scale = np.sqrt(np.where(varies, variance, 1.0))
        products = np.where(np.outer(varies, varies), products / np.outer(scale, scale), 0.0)
        rest = np.arange(len(scale)) != feature
        both = products[np.ix_(rest, rest)] + _RIDGE * np.eye(int(rest.sum()))
        weights = np.ones(len(scale))
        slopes = np.linalg.solve(both, products[rest, feature])
        weights[rest] = -slopes * scale[feature] / scale[rest]
        return weights


def _within(stream: Floats) -> Floats:
    centred = stream - stream.mean(axis=0)
    products: Floats = centred.T @ centred
    return products


def _parts(values: Floats) -> Floats:
    """Return the averages of parts of readings (n, d), (parts, d)."""
    return np.array([part.mean(axis=0) for part in np.array_split(values, _PARTS)])


def _level(parts: Floats, weights: Floats) -> float:
    """Return the level of what is left of readings, by averages (parts, d) of them."""
    return float(np.median(parts @ weights))
