"""Measure a reading's error: of all features together, and of the feature that fits least.

The sum of many squared errors scatters by itself, which hides the error of one feature: if one of a
hundred is off by 6 standard deviations, it adds 36 to a sum of 100 +- 14. The largest contribution
(:meth:`RobustCovariance.contributions`) shows it; small errors of many features show in the sum.
The size of an error is therefore the larger of both, the latter put on the former's scale.

A value that is held between samples (a laboratory's, a setpoint) has hardly any error but where it
changes. By the scatter of all its errors each change would be larger than any fault elsewhere, and
the threshold of all features would lie among these changes. A feature's errors are therefore
measured by its largest ones as well (:func:`tail_variance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import RobustCovariance, robust_std
from models.detectors.kernels import F32, F64, I64, compiled

_QUANTILES = (0.5, 0.95)  # where both have the same size
_LEAST = 1e-300  # instead of 0, which has no logarithm
#: The errors that :func:`tail_variance` measures by: one in so many, the budget of criticality
#: medium, but at least the FEW-th largest, so that a stray reading or two decide nothing.
_ONE_IN: Final = 1_000
_FEW: Final = 3


@dataclass(frozen=True)
class ErrorSize:
    """Covariance of normal errors, and the scale of the largest contribution.

    Attributes
    ----------
    covariance : RobustCovariance
    shift, gain : float
        ``exp(shift + gain * log(root of the largest contribution))`` is like the root mean square
        of whitened errors on normal data. ``gain`` 0 and ``shift`` ``-inf``: it does not count, as
        with a single feature and in model sets of early releases.
    """

    covariance: RobustCovariance
    shift: float = -np.inf
    gain: float = 0.0

    @classmethod
    def of(cls, errors: Floats, missing_variance: Floats) -> Self:
        """Fit on normal errors (n, d), about zero; ``missing_variance`` (d,) is added."""
        added = missing_variance + tail_variance(errors)
        covariance = RobustCovariance.of(errors, added, centred=True)
        if errors.shape[1] < 2:
            return cls(covariance)
        found = cls(covariance)._sizes(errors, np.arange(len(errors)), np.zeros(errors.shape))
        logs = np.log(np.maximum(found, _LEAST))
        (low, high), (alone_low, alone_high) = np.quantile(logs, _QUANTILES, axis=1).T
        # a gain above 1 would rank far errors by one feature only
        gain = min(float((high - low) / max(alone_high - alone_low, 1e-12)), 1.0)
        return cls(covariance, float(high - gain * alone_high), gain)

    def measure(self, readings: Floats, ends: I64, guess: F32 | F64) -> Floats:
        """Return the size (n,) of the errors in guesses.

        Parameters
        ----------
        readings : (m, d)
        ends : (n,)
            Rows of ``readings`` that were guessed.
        guess : (n, d)
        """
        size: Floats
        size, alone = self._sizes(readings, ends, guess)
        if self.gain:
            matched = np.exp(self.shift + self.gain * np.log(np.maximum(alone, _LEAST)))
            size = np.maximum(size, matched)
        return size

    def arrays(self, prefix: str = "") -> dict[str, Any]:
        """Return the arrays for :meth:`from_arrays`, with a prefix before each name."""
        alone = np.array([self.shift, self.gain])
        return {**self.covariance.arrays(prefix), f"{prefix}alone": alone}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], prefix: str = "") -> Self:
        """Read back what :meth:`arrays` returned, or the covariance alone."""
        alone = map(float, arrays.get(f"{prefix}alone", ()))
        return cls(RobustCovariance.from_arrays(arrays, prefix), *alone)

    @cached_property
    def _contributing(self) -> Floats:
        """What turns an error (d,) into signed contributions, (d, d)."""
        out: Floats = np.ascontiguousarray(self.covariance.views[:, : len(self.covariance.centre)])
        return out

    def _sizes(self, readings: Floats, ends: I64, guess: F32 | F64) -> Floats:
        sizes: Floats = _sizes(readings, ends, guess, self.covariance.whitening, self._contributing)
        return sizes


def tail_variance(errors: Floats) -> Floats:
    """Return the variance (d,) that errors (n, d) lack for their largest ones to be Gaussian's."""
    from scipy.stats import norm

    n = len(errors)
    few = min(max(round(n / _ONE_IN), _FEW), n)
    largest = np.partition(np.abs(errors), n - few, axis=0)[n - few]
    deviation = largest / norm.isf((few - 0.5) / n / 2.0)
    variance: Floats = np.maximum(deviation**2 - robust_std(errors) ** 2, 0.0)
    return variance


@compiled
def _sizes(readings: F64, ends: I64, guess: F32 | F64, whitening: F64, contributing: F64) -> F64:
    """Return the root mean square of whitened errors, and the largest contribution's root: (2, n).

    Terms are divided by the largest before squaring, so that no finite reading overflows.
    """
    d = readings.shape[1]
    out = np.empty((2, ends.shape[0]))
    whitened = np.empty(d)
    alone = np.empty(d)
    for i in range(ends.shape[0]):
        whitened[:] = 0.0
        alone[:] = 0.0
        for k in range(d):
            gap = readings[ends[i], k] - guess[i, k]
            for j in range(d):
                whitened[j] += gap * whitening[k, j]
                alone[j] += gap * contributing[k, j]
        largest = 1e-300
        out[1, i] = 0.0
        for j in range(d):
            largest = max(largest, abs(whitened[j]))
            out[1, i] = max(out[1, i], abs(alone[j]))
        total = 0.0
        for j in range(d):
            part = whitened[j] / largest
            total += part * part
        out[0, i] = largest * np.sqrt(total / d)
    return out
