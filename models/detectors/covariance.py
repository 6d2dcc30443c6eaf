"""Estimate how features move together, and how surprising one is given the others.

A fault of one sensor is small beside what all sensors do together; what gives it away is that it
leaves its neighbours. So detectors measure deviations against the covariance of normal
operation: in these coordinates every direction varies alike.

The covariance respects the unit of its input. Preprocessing scales a feature so that one unit
is the variation allowed to it, which may be more than the fitted data show (slow drift). What a
feature does not use of its unit is added to its variance, as drift of its own: whitening must
not make a tolerated drift significant again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np

from models.arrays import Floats
from models.detectors.kernels import affine

_MAX_ROWS = 50_000  # more would not change a covariance, only the memory it takes
_CLIP = 4.0  # standard deviations beyond which a value is an outlier of the fitted data
_LEAST_SHRINKAGE = 0.01
_SMALLEST = 1e-3  # of the input's unit: a constant feature has no smaller deviation
_COMMON = 1.5


@dataclass(frozen=True)
class RobustCovariance:
    """Hold centre and covariance of normal deviations, in the forms in which they are used.

    Attributes
    ----------
    centre : (d,)
    precision : (d, d)
        Inverse covariance, symmetric.
    whitening : (d, d)
        Its symmetric square root: ``(x - centre) @ whitening`` has unit covariance.
    common : (d, k)
        Directions in which many features move together, scaled to unit variance; ``k`` may be 0.
    """

    centre: Floats
    precision: Floats
    whitening: Floats
    common: Floats

    @classmethod
    def of(cls, deviations: Floats, missing_variance: Floats, *, centred: bool = False) -> Self:
        """Estimate the covariance of deviations.

        Scales come from the 90th percentile of absolute values and correlations from values
        clipped to them, so a few faults in the fitted data do little harm; correlations are
        shrunk as Ledoit and Wolf (2004) derive, the more the fewer the rows.

        Parameters
        ----------
        deviations : (n, d)
        missing_variance : (d,)
            Added to the variances.
        centred
            The deviations are about zero; else their medians are taken off first.
        """
        from sklearn.covariance import ledoit_wolf

        rows = deviations[:: -(-len(deviations) // _MAX_ROWS)]
        centre = np.zeros(rows.shape[1]) if centred else np.median(rows, axis=0)
        scale = robust_std(rows - centre)
        unit = np.clip((rows - centre) / scale, -_CLIP, _CLIP)
        correlation, _ = ledoit_wolf(unit, assume_centered=True)
        mean = np.trace(correlation) / len(correlation)
        correlation += _LEAST_SHRINKAGE * (mean * np.eye(len(scale)) - correlation)
        covariance = correlation * np.outer(scale, scale) + np.diag(missing_variance)
        values, vectors = np.linalg.eigh(covariance)
        whitening = (vectors / np.sqrt(values)) @ vectors.T
        deviation = np.sqrt(np.diag(covariance))
        values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
        shared = values > _COMMON  # a direction that holds more than one feature's worth
        common = vectors[:, shared] / np.sqrt(values[shared]) / deviation[:, None]
        return cls(
            centre=centre,
            precision=np.ascontiguousarray(whitening @ whitening),
            whitening=np.ascontiguousarray(whitening),
            common=np.ascontiguousarray(common),
        )

    def whiten(self, x: Floats) -> Floats:
        """Return ``x`` (n, d) in coordinates of unit covariance, (n, d)."""
        return affine(x, self.centre, self.whitening)

    def contributions(self, deviations: Floats, *, whitened: bool = False) -> Floats:
        """Squared deviation of each feature from what the others lead to expect: (n, d).

        In variances of that difference: ``(P e)_k^2 / P_kk``, the reconstruction-based
        contribution, which is largest for the feature at fault whenever just one is (Alcala and
        Qin, Automatica 45, 2009). ``deviations`` are divided by their largest first, so only
        the proportions within a row mean anything. They may be given in ``whiten``'s coordinates.
        """
        largest = np.abs(deviations).max(axis=1, keepdims=True)
        unit = deviations / np.maximum(largest, 1e-300)
        pull = unit @ (self.whitening if whitened else self.precision)
        squares: Floats = pull**2 / np.diag(self.precision)
        return squares

    @cached_property
    def views(self) -> Floats:
        """Matrix (d, d + k): each feature's contribution (signed), then the common movements.

        The two views of statistical process monitoring: what breaks the correlation shows in
        the first, what keeps it but goes too far, in the second.
        """
        alone = self.precision / np.sqrt(np.diag(self.precision))
        return np.ascontiguousarray(np.concatenate([alone, self.common], axis=1))

    def arrays(self, prefix: str = "") -> dict[str, Floats]:
        """Return what :meth:`from_arrays` needs, with a prefix before each name."""
        return {prefix + one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], prefix: str = "") -> Self:
        """Read back what :meth:`arrays` returned."""
        return cls(**{one.name: arrays[prefix + one.name] for one in fields(cls)})


def winsorised_std(values: Floats) -> Floats:
    """Return the standard deviation per feature (d,), winsorised at 0.5 and 99.5 %."""
    low, high = np.quantile(values, (0.005, 0.995), axis=0)
    spread: Floats = np.clip(values, low, high).std(axis=0)
    return spread


def robust_std(deviations: Floats) -> Floats:
    """Return the spread per feature (d,) of deviations (n, d), which is never nothing."""
    return np.maximum(winsorised_std(deviations), _SMALLEST)


def missing_variance(rows: Floats) -> Floats:
    """Return the variance (d,) by which each feature of scaled ``rows`` stays below its unit."""
    rows = rows[:: -(-len(rows) // _MAX_ROWS)]
    return np.maximum(0.0, 1.0 - robust_std(rows - np.median(rows, axis=0)) ** 2)


def thin_out(rows: Floats, limit: int, seed: int) -> Floats:
    """Return at most ``limit`` of ``rows``, in order: one drawn from each of equal stretches.

    Parameters
    ----------
    rows : (n, d)
    limit
        Rows at most.
    seed
        Of the draw.
    """
    if len(rows) <= limit:
        return rows
    edges = np.linspace(0, len(rows), limit + 1)
    draw = np.random.default_rng(seed).uniform(size=limit)
    places = (edges[:-1] + draw * np.diff(edges)).astype(np.int64)
    chosen: Floats = rows[np.minimum(places, len(rows) - 1)]
    return chosen
