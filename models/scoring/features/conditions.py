"""Operating conditions: each reading is compared with the normal of its own condition.

A machine run at several set points reads differently at each. Pooled scales would hide every fault
smaller than the differences between them. Each reading is therefore first restated as it would read
in the usual condition, the one with most training readings::

    x' = center_usual + spread_usual * (x - center_k) / spread_k

All later steps (scales, baselines, levels, windows) know that condition only. A few features, the
indicators, decide the condition; the fit of the other features has no influence. If an indicator
leaves the ranges seen in training, the nearest condition is used and the result says so: this is a
new way to operate, or a fault that looks like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np

from models.arrays import Bools, Floats, Indices
from models.scoring.stored import Stored

#: Cap on a feature's distance from a condition, in deviations: one feature must not decide alone.
_FAR: Final = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Conditions(Stored):
    """The operating conditions of one group.

    Parameters
    ----------
    names : d features, in the order of the rows.
    indicators : c of these features, whose values decide the condition.
    low, high : (k, c) range of each indicator in each condition, own units.
    center, spread : (k, d) location and scale of each condition, own units.
    usual : index of the condition with most training readings.
    """

    KEYS: ClassVar = ("names", "indicators", "low", "high", "center", "spread", "usual")

    names: tuple[str, ...]
    indicators: tuple[str, ...]
    low: Floats
    high: Floats
    center: Floats
    spread: Floats
    usual: int

    @property
    def columns(self) -> list[int]:
        """Return the column indices of the indicators."""
        return [self.names.index(name) for name in self.indicators]

    def nearest(self, values: Floats) -> tuple[Indices, Bools]:
        """Find the condition of each reading (n, d), or the nearest one.

        Returns
        -------
        index of the condition (n,), and which indicators lie outside its ranges (n, c).
        """
        away = self._away(values)
        with np.errstate(over="ignore"):
            at = np.nansum(away, axis=2).argmin(axis=1)
        return at, away[np.arange(len(values)), at] > 0.0

    def _away(self, values: Floats) -> Floats:
        """Return how far readings (n, d) lie outside the ranges of each condition, (n, k, c)."""
        columns = self.columns
        given = values[:, None, columns]
        unit = np.maximum(self.center[:, columns].std(axis=0), 1e-300)
        with np.errstate(over="ignore"):
            away: Floats = np.maximum(np.maximum(self.low - given, given - self.high), 0.0) / unit
        return away

    def guess(self, values: Floats) -> Indices:
        """Find the conditions (n,) of readings (n, d) with missing features, which are NaN.

        Among conditions that the present indicators cannot tell apart, all features decide.
        """
        with np.errstate(over="ignore"):
            z = np.abs(values[:, None] - self.center) / self.spread
            away = np.nansum(self._away(values), axis=2)
        fit = np.nansum(np.minimum(z, _FAR), axis=2)
        nearest = away == away.min(axis=1, keepdims=True)
        out: Indices = np.where(nearest, fit, np.inf).argmin(axis=1)
        return out

    def restated(self, values: Floats, at: Indices) -> Floats:
        """Restate readings (n, d) taken in the conditions ``at`` (n,) for the usual one."""
        return self._moved(values, at, self.usual)

    def gain(self, at: Indices) -> Floats:
        """Return the factors (n, d) by which :meth:`restated` multiplies distances."""
        factors: Floats = self.spread[self.usual] / self.spread[at]
        return factors

    def original(self, values: Floats, at: Indices) -> Floats:
        """Invert :meth:`restated`: return readings (n, d) as in the conditions ``at`` (n,)."""
        return self._moved(values, self.usual, at)

    def _moved(self, values: Floats, here: Indices | int, there: Indices | int) -> Floats:
        with np.errstate(over="ignore"):
            z = (values - self.center[here]) * (self.spread[there] / self.spread[here])
        # within the same condition, return the value itself, without rounding
        return np.where(np.equal(here, there)[:, None], values, self.center[there] + z)

    def described(self, at: int) -> dict[str, float]:
        """Return the usual values of the indicators in a condition."""
        return dict(zip(self.indicators, self.center[at, self.columns].tolist(), strict=True))

    def of(self, columns: Sequence[int]) -> Conditions:
        """Return the conditions restricted to some columns."""
        names = tuple(self.names[j] for j in columns)
        center, spread = self.center[:, columns], self.spread[:, columns]
        return replace(self, names=names, center=center, spread=spread)
