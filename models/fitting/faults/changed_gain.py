"""Tell a sensor that was scaled anew from one that was shifted.

Both move a sensor's average. What the other features say of it in the readings after, by a linear
model, also holds in those before, less a shift or divided by a factor; and the other way round. A
factor moves high readings further than low ones: moved by a shift, all of them would seem to be off
by more or less than usual. Only what predicts readings that its model has not seen better counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats

#: Standard errors by which a factor must leave less than a shift; else it is a shift.
_SURE: Final = 4.0
_RIDGE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Gain:
    """A feature reads ``factor`` times as much later; on this scale it is ``expected`` (n,)."""

    factor: float
    expected: Floats


def gain_between(values: Floats, feature: int, at: int, length: int) -> Gain | None:
    """Return how a feature was scaled anew at reading ``at``, or None if a shift says it as well.

    Parameters
    ----------
    values : (n, d)
        Readings of a stream in order, of two features or more.
    length
        Readings of the averages that are compared.
    """
    own, others = values[:, feature], np.delete(values, feature, axis=1)
    before, after = np.split(own, [at])
    early, late = np.split(others, [at])
    by_late = _predicted(late, after, early)
    by_early = _predicted(early, before, late)
    earlier, later = _ratio(before, by_late), _ratio(after, by_early)
    if min(earlier, later) <= 0.0:
        return None
    gains = [_gains(before, by_late, earlier, length), _gains(after, by_early, later, length)]
    error = np.sqrt(np.sum([part.var(ddof=1) / len(part) for part in gains]))
    better = np.sum([part.mean() for part in gains]) > _SURE * error
    if not better:
        return None
    factor = float(np.sqrt(later / earlier))
    rescaled = np.concatenate([factor * before, after])
    return Gain(factor, _predicted(others, rescaled, others))


def _predicted(others: Floats, own: Floats, unseen: Floats) -> Floats:
    """Return what a linear model of a feature by others expects where these are ``unseen``."""
    centre, spread = others.mean(axis=0), others.std(axis=0)
    scale = np.where(spread == 0, 1.0, spread)
    z = (others - centre) / scale
    products = z.T @ z / len(z) + _RIDGE * np.eye(z.shape[1])
    weights = np.linalg.solve(products, z.T @ (own - own.mean()) / len(z))
    expected: Floats = own.mean() + (unseen - centre) / scale @ weights
    return expected


def _ratio(own: Floats, expected: Floats) -> float:
    """Return the factor between what is expected and readings, by least squares."""
    return float(own @ expected) / max(float(expected @ expected), float(np.finfo(float).tiny))


def _gains(own: Floats, expected: Floats, ratio: float, length: int) -> Floats:
    """Return by how much the squares that a factor leaves are below a shift's, block by block."""
    rest = own - expected
    gain = (rest - rest.mean()) ** 2 - (own - ratio * expected) ** 2
    return np.array([part.mean() for part in np.array_split(gain, len(gain) // length)])
