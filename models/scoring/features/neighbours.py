"""Estimate missing features from the training readings most like the present ones.

A conditional mean follows correlations, so it misses what is not linear: at a given point of a
cycle, or for the flow beside a pump's power, it is a value that no reading ever had. The mean of
the most similar training readings stays among the readings (nearest-neighbour imputation;
Troyanskaya et al.: Missing value estimation methods for DNA microarrays, Bioinformatics 17, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from models.arrays import Bools, Floats
from models.scoring.features.conditional_mean import missing_values
from models.scoring.stored import Stored

#: Number of neighbours that an estimate is the mean of: as many as Troyanskaya et al. recommend.
_NEIGHBOURS: Final = 10
#: Values are clipped at this many scales: one feature must not decide which readings are similar.
_CLIP: Final = 4.0
#: Decimals of a distance that count.
_DIGITS: Final = 9
#: Readings whose distances are computed at once, to save memory.
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours(Stored):
    """Training readings to compare incomplete ones with.

    Parameters
    ----------
    rows : (m, d) scaled readings of training, not decorrelated.
    better : (d,) 1 for features that are estimated better by neighbours than by the correlation
        with the others, 0 for the rest.
    """

    KEYS: ClassVar = ("rows", "better")

    rows: Floats
    better: Floats

    def correct(self, linear: Floats, z: Floats, here: Bools) -> Floats:
        """Return estimates (n, d), those of features that neighbours estimate better replaced.

        Parameters
        ----------
        linear : (n, d) estimates by correlations.
        z : (n, d) scaled readings that lack the same features, whose values are not used.
        here : (d,) whether a feature is present.
        """
        if not here.any():
            return linear
        return np.where(self.better > 0, self.estimate(z, here), linear)

    def estimate(self, z: Floats, here: Bools) -> Floats:
        """Return the mean (n, d) of the training readings most similar in the present features.

        Parameters
        ----------
        z : (n, d) scaled readings that lack the same features, whose values are not used.
        here : (d,) whether a feature is present; at least one is.
        """
        count = min(_NEIGHBOURS, len(self.rows))
        known = self.rows[:, here]
        own = (known**2).sum(axis=1)
        out = np.empty((len(z), self.rows.shape[1]))
        for start in range(0, len(z), _CHUNK):
            given = np.clip(z[start : start + _CHUNK, here], -_CLIP, _CLIP)
            distance = own - 2.0 * given @ known.T  # squared, less a part that all have in common
            # rounding errors, which depend on what else is imputed, must not part equally far ones
            distance = distance.round(_DIGITS)
            nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
            out[start : start + _CHUNK] = self.rows[nearest].mean(axis=1)
        return out


def estimated(
    z: Floats, precision: Floats | None, here: Bools, neighbours: Neighbours | None
) -> Floats:
    """Return estimates (n, d) of the features that readings lack, in scales.

    Parameters
    ----------
    z : (n, d) scaled readings that lack the same features, whose values are not used.
    precision : (d, d) inverse correlation; None: features are taken as uncorrelated.
    here : (d,) whether a feature is present.
    neighbours : readings to compare with, for the features that these predict better.
    """
    linear = np.zeros(z.shape) if precision is None else missing_values(z, precision, here)
    return linear if neighbours is None else neighbours.correct(linear, z, here)
