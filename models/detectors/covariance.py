"""Estimate the robust covariance of features, and how unexpected each is given the others.

A fault of one sensor is small compared with the common movements of all sensors, but it breaks the
sensor's correlation with the others. Detectors therefore measure deviations relative to the
covariance of normal operation: in whitened coordinates every direction varies alike.

Preprocessing scales each feature so that one unit is its allowed variation, which may exceed the
variation of the fitted data (tolerated drift). The unused part of the unit is added to the
feature's variance as independent drift. Otherwise whitening would make tolerated drift significant
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final, Self

import numpy as np

from models.arrays import Floats
from models.detectors.kernels import affine

#: Readings in a block, whose mean is a level.
BLOCK: Final = 50
_MAX_ROWS = 50_000  # more would take memory without changing the covariance
_CLIP = 4.0  # standard deviations at which outliers of the fitted data are clipped
_LEAST_SHRINKAGE = 0.01
_SMALLEST = 1e-3  # lower bound of a standard deviation, in the input's unit
_LONGEST = 0.999  # largest autocorrelation that is believed
_COMMON = 1.5  # least eigenvalue of a common direction, in features' worth of variance


@dataclass(frozen=True)
class RobustCovariance:
    """Centre and covariance of normal deviations, in the forms that detectors use.

    Attributes
    ----------
    centre : (d,)
    precision : (d, d)
        Inverse covariance, symmetric.
    whitening : (d, d)
        Its symmetric square root: ``(x - centre) @ whitening`` has unit covariance.
    common : (d, k)
        Directions in which several features move together, scaled to unit variance; ``k`` may be 0.
    """

    centre: Floats
    precision: Floats
    whitening: Floats
    common: Floats

    @classmethod
    def of(cls, deviations: Floats, missing_variance: Floats, *, centred: bool = False) -> Self:
        """Estimate the covariance of deviations.

        Scales are winsorised standard deviations, and correlations use values clipped at _CLIP of
        them, so a few faults in the fitted data do little harm. Correlations are shrunk as Ledoit
        and Wolf (2004) derive: more for fewer rows, and by :func:`sampling_shrinkage` for few
        independent ones.

        Parameters
        ----------
        deviations : (n, d)
        missing_variance : (d,)
            Added to the variances.
        centred
            The deviations are about zero; otherwise their medians are subtracted first.
        """
        from sklearn.covariance import ledoit_wolf

        rows = deviations[:: -(-len(deviations) // _MAX_ROWS)]
        centre = np.zeros(rows.shape[1]) if centred else np.median(rows, axis=0)
        scale = robust_std(rows - centre)
        unit = np.clip((rows - centre) / scale, -_CLIP, _CLIP)
        correlation, _ = ledoit_wolf(unit, assume_centered=True)
        mean = np.trace(correlation) / len(correlation)
        share = max(_LEAST_SHRINKAGE, sampling_shrinkage(unit))
        correlation += share * (mean * np.eye(len(scale)) - correlation)
        covariance = correlation * np.outer(scale, scale) + np.diag(missing_variance)
        values, vectors = np.linalg.eigh(covariance)
        whitening = (vectors / np.sqrt(values)) @ vectors.T
        deviation = np.sqrt(np.diag(covariance))
        values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
        shared = values > _COMMON  # directions with more variance than a single feature
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
        """Return each feature's squared deviation from its expectation given the others: (n, d).

        The unit is that difference's variance: ``(P e)_k^2 / P_kk``, the reconstruction-based
        contribution. If a single feature is at fault, it has the largest contribution (Alcala and
        Qin, Automatica 45, 2009). Each row of ``deviations`` is first divided by its largest
        value, so only proportions within a row are meaningful. ``whitened``: they are in the
        coordinates of :meth:`whiten`.
        """
        largest = np.abs(deviations).max(axis=1, keepdims=True)
        unit = deviations / np.maximum(largest, 1e-300)
        pull = unit @ (self.whitening if whitened else self.precision)
        squares: Floats = pull**2 / np.diag(self.precision)
        return squares

    @cached_property
    def views(self) -> Floats:
        """Matrix (d, d + k): each feature's signed contribution, then the common movements.

        These are the two views of statistical process monitoring. The first shows deviations that
        break the correlation, the second deviations that keep it but go too far.
        """
        alone = self.precision / np.sqrt(np.diag(self.precision))
        return np.ascontiguousarray(np.concatenate([alone, self.common], axis=1))

    def arrays(self, prefix: str = "") -> dict[str, Floats]:
        """Return the arrays for :meth:`from_arrays`, with a prefix before each name."""
        return {prefix + one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], prefix: str = "") -> Self:
        """Read back what :meth:`arrays` returned."""
        return cls(**{one.name: arrays[prefix + one.name] for one in fields(cls)})


def median_deviation(values: Floats) -> float:
    """Return the standard deviation of values (n,) by their median absolute deviation."""
    with np.errstate(over="ignore"):  # garbage may lie farther apart than a number can say
        return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def winsorised_std(values: Floats) -> Floats:
    """Return the standard deviation per feature (d,), winsorised at 0.5 and 99.5 %."""
    low, high = np.quantile(values, (0.005, 0.995), axis=0)
    spread: Floats = np.clip(values, low, high).std(axis=0)
    return spread


def robust_std(deviations: Floats) -> Floats:
    """Return the winsorised standard deviation per feature (d,), at least _SMALLEST."""
    return np.maximum(winsorised_std(deviations), _SMALLEST)


def missing_variance(rows: Floats) -> Floats:
    """Return the variance (d,) that each feature of scaled ``rows`` lacks to unit variance."""
    rows = rows[:: -(-len(rows) // _MAX_ROWS)]
    return np.maximum(0.0, 1.0 - robust_std(rows - np.median(rows, axis=0)) ** 2)


def sampling_shrinkage(rows: Floats) -> float:
    """Return the share of the identity that correlations need if few rows are independent, or 0.

    Readings that follow one another closely tell less about the correlations of ``d`` features
    than as many independent ones would. Where they are :func:`scarce`,
    whitening by what chance alone correlates enlarges new readings, and hides faults of single
    features among them. The share of Ledoit and Wolf (2004) is the error of the correlations over
    their distance from the identity; that error is larger by :func:`repetition`.

    Parameters
    ----------
    rows : (n, d)
        In time order, about zero, each feature of about unit variance.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    if not scarce(rows):
        return 0.0
    share = float(ledoit_wolf_shrinkage(rows, assume_centered=True))
    return min(1.0, repetition(rows) * share)


def scarce(rows: Floats) -> bool:
    """Return whether ``rows`` (n, d) are worth fewer than ``d ** 2`` independent ones."""
    n, d = rows.shape
    return bool(d > 1 and n > 1 and d**2 > n / repetition(rows))


def repetition(rows: Floats) -> float:
    """Return how many of ``rows`` (n, d) are worth an independent one in a correlation, >= 1.

    It is ``(1 + a b) / (1 - a b)`` of two features' autocorrelations a and b at lag 1, exact for
    autoregressive ones (Bartlett 1946), in the median of all pairs. Levels of 50 readings are taken
    off before: that they differ is drift, which repeats nothing.
    """
    whole = len(rows) // BLOCK * BLOCK or len(rows)
    blocks = rows[:whole].reshape(-1, min(BLOCK, whole), rows.shape[1])
    off = blocks - blocks.mean(axis=1, keepdims=True)
    squares = np.maximum((off**2).sum(axis=(0, 1)), 1e-300)
    lag = np.clip((off[:, 1:] * off[:, :-1]).sum(axis=(0, 1)) / squares, 0.0, _LONGEST)
    product = np.outer(lag, lag)
    return float(np.median((1.0 + product) / (1.0 - product)))


def thin_out(rows: Floats, limit: int, seed: int) -> Floats:
    """Return at most ``limit`` of ``rows``, in order: a random row of each of equal stretches.

    Parameters
    ----------
    rows : (n, d)
    limit
        Maximum number of rows to return.
    seed
        Seed of the draw.
    """
    if len(rows) <= limit:
        return rows
    edges = np.linspace(0, len(rows), limit + 1)
    draw = np.random.default_rng(seed).uniform(size=limit)
    positions = (edges[:-1] + draw * np.diff(edges)).astype(np.int64)
    chosen: Floats = rows[np.minimum(positions, len(rows) - 1)]
    return chosen
