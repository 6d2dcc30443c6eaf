"""Score features that rest in nearly all readings and stay away longer than training's moves.

A move of such a feature is judged by how often it moved
(:mod:`models.scoring.features.standing`). If it moved in one reading of a hundred, each move counts
two decades, too few for an alarm, however long it lasts. How long its moves lasted in training
shows that one of them is a fault: the rarity of a feature that has been away for ``r`` readings in
a row counts, too, and the larger of both.

As in :mod:`models.scoring.features.repeats`, at most LENGTH readings of the window count, so the
rarity needs no state and does not depend on how readings are cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.arrays import Bools, Floats, Indices
from models.scoring.features.repeats import LENGTH
from models.scoring.features.standing import ROUNDING
from models.scoring.stored import Stored


@dataclass(frozen=True, slots=True, eq=False)
class Stays(Stored):
    """Rarity of stays away from the usual value, as ``fit_stays`` learned it.

    Parameters
    ----------
    names : k features that are watched.
    usual : (k,) their usual values.
    rarity : (k, LENGTH) decades of having been away for 1, 2, ... readings; 0 for as long as any in
        training, with a margin.
    """

    KEYS: ClassVar = ("names", "usual", "rarity")

    names: tuple[str, ...]
    usual: Floats
    rarity: Floats

    def found(
        self, readings: Sequence[Mapping[str, float]], begins: Sequence[int], first: int
    ) -> list[tuple[int, str, float]]:
        """Return index from ``first`` on, feature and decades of stays longer than training's.

        Parameters
        ----------
        readings : features of readings, in order; a missing one ends a stay.
        begins : indices of readings that do not follow the one before.
        first : index of the first reading that is asked about.
        """
        starts = set(begins)
        length: Indices = np.zeros(len(self.names), np.intp)
        out = []
        for at, features in enumerate(readings):
            values = np.array([features.get(name, np.nan) for name in self.names])
            length = np.where(away_from(self.usual, values), (at not in starts) * length + 1, 0)
            if at >= first and length.any():
                decades = self.rarity[np.arange(len(length)), length.clip(1, LENGTH) - 1]
                out += [
                    (at - first, self.names[j], float(decades[j]))
                    for j in np.flatnonzero((length > 0) & (decades > 0.0)).tolist()
                ]
        return out


def away_from(usual: Floats, values: Floats) -> Bools:
    """Return which values (..., k) differ from the usual ones (k,); a missing one does not."""
    out: Bools = np.abs(values - usual) > ROUNDING * np.maximum(np.abs(usual), 1e-9)
    return out
