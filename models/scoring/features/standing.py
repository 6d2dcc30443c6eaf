"""Score movements of sensors that stood still in training.

A feature that did not vary in training has no scale, so a distance cannot show how unusual a new
value is. The frequency of its movements can: in training, ``k`` of ``n`` readings lay at least as
far from the usual value as this one. The probability of another such reading is estimated as
``(k + 1/2) / (n + 1)`` (Jeffreys' prior; with k = 0 close to Laplace's rule of succession). Its
``-log10``, in decades, counts beside the detectors' combined magnitude: the larger of the two is
the reading's. So do the movements of features that rest in nearly all readings, where their
distance would hide the others (:mod:`models.fitting.trials.resting`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, ClassVar, Final

import numpy as np

from models.arrays import Floats
from models.scoring.stored import Stored

#: A relative difference from the usual value below this is rounding, not movement.
ROUNDING: Final = 1e-6
#: Distances stored per feature; if there are more, evenly spaced quantiles of them.
_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Standing(Stored):
    """Features that hardly ever moved in training, or are scored as such; by :func:`fit_standing`.

    Parameters
    ----------
    names : k feature names.
    usual : (k,) median of each feature, own units.
    moves : k ascending sequences of distances from the median, of the readings that differed.
    counts : (k,) number of readings that differed; ``moves`` may hold only a sample of them.
    readings : number of training readings.
    added : the rarity is added to the detectors' magnitude, as in model sets of early releases.
    """

    KEYS: ClassVar = ("names", "usual", "moves", "counts", "readings", "added")

    names: tuple[str, ...]
    usual: tuple[float, ...]
    moves: tuple[tuple[float, ...], ...]
    counts: tuple[int, ...]
    readings: int
    added: bool = True
    _pick: Callable[[Mapping[str, float]], Any] = field(init=False, repr=False, compare=False)
    _still: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pick", itemgetter(*self.names))
        still = self.usual if len(self.names) > 1 else self.usual[0]
        object.__setattr__(self, "_still", still)

    def moved(self, features: Mapping[str, float]) -> dict[str, float]:
        """Return the rarity, in decades by name, of features that moved; absent ones did not."""
        try:
            if self._pick(features) == self._still:
                return {}
        except KeyError:
            pass
        out = {}
        for at, name in enumerate(self.names):
            value = features.get(name)
            if value is not None and value != self.usual[at]:
                rarity = float(self._rarity(at, np.array([value]))[0])
                if rarity > 0.0:
                    out[name] = rarity
        return out

    def decades(self, values: Floats) -> Floats:
        """Return the largest rarity (n,) in each reading of (n, k); 0 where nothing moved."""
        parts = [self._rarity(at, values[:, at]) for at in range(len(self.names))]
        out: Floats = np.max(parts, axis=0)
        return out

    def _rarity(self, at: int, values: Floats) -> Floats:
        away = np.abs(values - self.usual[at])
        moves = np.array(self.moves[at])
        beyond = len(moves) - np.searchsorted(moves, away * (1.0 - ROUNDING))
        k = beyond * (self.counts[at] / max(len(moves), 1))
        rarity = -np.log10((k + 0.5) / (self.readings + 1.0))
        return np.where(away > _rounding(self.usual[at]), rarity, 0.0)


def fit_standing(values: Floats, names: Sequence[str]) -> Standing | None:
    """Count how often each of ``values`` (n, k) left its median; None without features."""
    if not len(names):
        return None
    usual = np.median(values, axis=0)
    moves, counts = [], []
    for at, middle in enumerate(usual.tolist()):
        away = np.sort(np.abs(values[:, at] - middle))
        away = away[away > _rounding(middle)]
        counts.append(len(away))
        kept = np.unique(np.linspace(0, len(away) - 1, min(len(away), _KEPT)).astype(int))
        moves.append(tuple(away[kept].tolist()))
    return Standing(
        tuple(names), tuple(usual.tolist()), tuple(moves), tuple(counts), len(values), added=False
    )


def _rounding(usual: float) -> float:
    return ROUNDING * max(abs(usual), 1e-9)
