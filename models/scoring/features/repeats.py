"""Score features that repeat their value reading after reading, as a stuck sensor does.

A stuck sensor's value is normal by itself, and a window of equal values is easy to reconstruct and
to forecast, so neither distances nor errors show it. How often features repeated their values in
training does. The rarity of a value read ``r`` times in a row counts, in decades, beside the
detectors' combined magnitude, as that of :mod:`models.scoring.features.standing` does.

The stream's window holds the readings before this one. At most LENGTH of them count, so the rarity
does not depend on how readings are cut into batches, and needs no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from models.arrays import Bools, Floats, Indices
from models.scoring.features.standing import ROUNDING
from models.scoring.stored import Stored

#: Readings with the same value that are counted, this one included, at most.
LENGTH: Final = 30
#: Fewest that count: a second one may be the same message sent again.
FEWEST: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Repeats(Stored):
    """Rarity of repeated values; by :func:`models.fitting.garbage.repeat_rates.fit_repeats`.

    Parameters
    ----------
    rarity : (d, LENGTH) decades of a value read 1, 2, ... times in a row, by feature in the
        detectors' order; 0 for a feature that repeats its value too often to tell.
    usual : (m, d) values at which repeating is no fault.
    """

    KEYS: ClassVar = ("rarity", "usual")

    rarity: Floats
    usual: Floats
    watched: Indices = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "watched", np.flatnonzero(self.rarity.any(axis=1)))

    def found(
        self, values: Floats, begins: Sequence[int] = (), first: int = 0
    ) -> tuple[Floats, Indices] | None:
        """Return the rarity of values and how often each was read in a row, (n - first, d) each.

        Parameters
        ----------
        values : (n, d)
            Readings as received, in order; NaN is missing, and ends a run.
        begins
            Indices of readings that do not follow the one before.
        first
            Index of the first reading that is asked about.

        Returns
        -------
        The rarity, 0 for features at a usual value or not watched, and the lengths; None if no
        value repeats often enough.
        """
        # most readings repeat nothing: look at those that are asked about only
        newest = values[max(first - FEWEST + 1, 0) :, self.watched]
        same = newest[1:] == newest[:-1]
        if not (same[1:] & same[:-1]).any():
            return None
        some = values[:, self.watched]
        same = some[1:] == some[:-1]
        same[[at - 1 for at in begins if at]] = False
        lengths = np.ones(values.shape, np.intp)
        lengths[:, self.watched] = run_lengths(same)
        values, lengths = values[first:], lengths[first:]
        rarity: Floats = self.rarity[np.arange(values.shape[1]), lengths - 1]
        margin = ROUNDING * np.abs(self.usual)
        for low, high in zip(self.usual - margin, self.usual + margin, strict=True):
            rarity[(low <= values) & (values <= high)] = 0.0
        return rarity, lengths


def run_lengths(same: Bools) -> Indices:
    """Return how often each value (n, d) was read in a row, at most LENGTH.

    ``same`` (n - 1, d) says for all but the first whether it equals the one before.
    """
    at = np.arange(len(same) + 1)[:, None]
    since = np.zeros((len(same) + 1, same.shape[1]), np.intp)
    np.multiply(at[1:], ~same, out=since[1:])
    np.maximum.accumulate(since, axis=0, out=since)
    out: Indices = np.minimum(at - since + 1, LENGTH)
    return out
