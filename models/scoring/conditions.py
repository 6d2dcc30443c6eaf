"""Operating conditions: each has its own normal, and a reading is judged by that of its own.

A machine that is run at several set points reads differently at each, and pooled scales would hide
every fault smaller than the difference between them. So a reading is restated before all else as
it would read in the usual condition, the one most of training was in::

    x' = center_usual + spread_usual * (x - center_k) / spread_k

Everything after that (scales, baselines, levels, windows) knows one normal only. Which condition a
reading is in is decided by a few features alone, the indicators, never by how well the others fit.
Where these leave the ranges known from training, the nearest condition's normal is used, and the
result says so: a new way to operate, or a fault that looks like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np

from models.arrays import Bools, Floats, Indices
from models.scoring.stored import Stored

#: Deviations beyond which a feature says no more about how far a condition is.
_FAR: Final = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Conditions(Stored):
    """The operating conditions of one group.

    Parameters
    ----------
    names : d features, in the order of the rows.
    indicators : c of them, whose values decide the condition.
    low, high : (k, c) what those lie between in each condition, own units.
    center, spread : (k, d) of each condition, own units.
    usual : the condition that most training readings were in.
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
        """Return where the indicators are in a row."""
        return [self.names.index(name) for name in self.indicators]

    def place(self, values: Floats) -> tuple[Indices, Bools]:
        """Find the condition (n,) of each reading (n, d), or the nearest.

        Returns
        -------
        condition (n,), and (n, c) which indicators do not fit it.
        """
        columns = self.columns
        given = values[:, None, columns]
        unit = np.maximum(self.center[:, columns].std(axis=0), 1e-300)
        with np.errstate(over="ignore"):
            away = np.maximum(np.maximum(self.low - given, given - self.high), 0.0) / unit
            at = np.nansum(away, axis=2).argmin(axis=1)
        return at, away[np.arange(len(values)), at] > 0.0

    def guess(self, row: Floats) -> int:
        """Find the condition of a reading (d,) that lacks the features that are NaN."""
        if not np.isnan(row[self.columns]).all():
            return int(self.place(row[None])[0][0])
        here = ~np.isnan(row)
        with np.errstate(over="ignore"):
            z = np.abs(row[here] - self.center[:, here]) / self.spread[:, here]
        return int(np.minimum(z, _FAR).sum(axis=1).argmin())

    def restated(self, values: Floats, at: Indices) -> Floats:
        """Return readings (n, d) of the conditions (n,) as they would read in the usual one."""
        return self._moved(values, at, self.usual)

    def original(self, values: Floats, at: Indices) -> Floats:
        """Return what :meth:`restated` made (n, d) of as it reads in the conditions (n,)."""
        return self._moved(values, self.usual, at)

    def _moved(self, values: Floats, here: Indices | int, there: Indices | int) -> Floats:
        with np.errstate(over="ignore"):
            z = (values - self.center[here]) * (self.spread[there] / self.spread[here])
        # where it stays it is not even rounded
        return np.where(np.equal(here, there)[:, None], values, self.center[there] + z)

    def described(self, at: int) -> dict[str, float]:
        """Return what the indicators usually read in a condition."""
        return dict(zip(self.indicators, self.center[at, self.columns].tolist(), strict=True))

    def of(self, columns: Sequence[int]) -> Conditions:
        """Return the same for rows that have some of the features only."""
        names = tuple(self.names[j] for j in columns)
        center, spread = self.center[:, columns], self.spread[:, columns]
        return replace(self, names=names, center=center, spread=spread)
