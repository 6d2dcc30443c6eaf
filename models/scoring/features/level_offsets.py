"""Convert a settled level between the usual operating condition and those of single readings.

A shifted sensor reads too high by the same amount in every operating condition. Restating rows for
the usual condition, however, multiplies distances: by five where the sensor scatters a fifth as
much as usual. So the rows of each condition have the level at another distance. It is stored as it
is in the usual condition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.arrays import Floats


@dataclass(frozen=True, slots=True)
class LevelOffsets:
    """Convert levels between the usual operating condition and those of some readings.

    Parameters
    ----------
    mix : (d, d) decorrelates scaled rows; None: they stay correlated.
    gain : (n, d) factor by which each reading's distances were multiplied; None: 1 everywhere.
    """

    mix: Floats | None
    gain: Floats | None

    def of(self, level: Floats) -> Floats:
        """Return a level (d,) as the rows (n, d) of the readings have it; (d,) if all alike."""
        return level if self.gain is None else self._multiplied(level, self.gain)

    def usual(self, rows: Floats, at: int | slice = slice(None)) -> Floats:
        """Return the row (d,) of reading ``at``, or all rows, as offsets in the usual condition."""
        return rows if self.gain is None else self._multiplied(rows, 1.0 / self.gain[at])

    def _multiplied(self, rows: Floats, factors: Floats) -> Floats:
        return mixed(unmixed(rows, self.mix) * factors, self.mix)


def mixed(rows: Floats, mix: Floats | None) -> Floats:
    """Return rows (n, d), or a row (d,), decorrelated by ``mix`` (d, d); None: as they are."""
    return rows if mix is None else rows @ mix


def unmixed(rows: Floats, mix: Floats | None) -> Floats:
    """Return rows (n, d), or a row (d,), as they were before decorrelation by ``mix`` (d, d)."""
    if mix is None:
        return rows
    return np.asarray(np.linalg.solve(mix, rows.T).T, np.float64)
