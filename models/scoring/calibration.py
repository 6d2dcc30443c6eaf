"""One magnitude out of several detectors, for one subset of detectors that can be present.

Each detector's raw magnitude becomes decades of rarity (:meth:`Tail.decades`). The combined fast
magnitude is the quadratic mean of the unbounded detectors, between their mean and their maximum:
one that is sure is not silenced by one that is blind to this kind of fault. The bounded forest
adds what it has beyond RARE, so it can add to an alarm and never dilutes one. Nothing is assumed
about dependence, since the combination is calibrated again as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from models.arrays import Floats
from models.detectors.base import ISOLATION_FOREST, LSTM_AUTOENCODER, MODEL_NAMES, Array
from models.scoring.stored import Stored
from models.scoring.tail import Tail

BOUNDED: Final = frozenset({ISOLATION_FOREST})
#: Decades from which a bounded detector counts: below, it would add more noise than knowledge.
RARE: Final = 2.0
#: Suffix of the subset that speaks for streams whose baseline is not yet known.
WARM: Final = "@warm"


def subset_key(detectors: Sequence[str], warm: bool) -> str:
    """Return the name of a subset, such as ``isolation_forest+one_class_svm@warm``."""
    return "+".join(detectors) + (WARM if warm else "")


def subsets(detectors: Sequence[str]) -> list[tuple[str, ...]]:
    """Subsets that can be present: all, and all but the window detector. Never empty."""
    full = tuple(name for name in MODEL_NAMES if name in detectors)
    short = tuple(name for name in full if name != LSTM_AUTOENCODER)
    return [s for s in dict.fromkeys([full, short]) if s]


@dataclass(frozen=True, slots=True)
class Calibration(Stored):
    """From raw magnitudes of one subset of detectors to one probability.

    Parameters
    ----------
    detectors : names, in the order of MODEL_NAMES.
    tails : each detector's own tail.
    fast : tail of the combined decades; its decades are the fast magnitude.
    shift, gain : ``shift + gain * EWMA`` is the slow magnitude on the fast one's scale.
    median : what the EWMA is in the middle of normal operation; it starts there.
    final : tail of the adapted maximum of both; ``fixed`` the same without adaptation.
    gate, high, middle : maxima (of ``fixed``) at the gate and at the quantiles that are tracked.
    swiftness : weight of the newest reading in the swift magnitude; 1: it is the fast one.
    local : whether the adaptive stretch acts up to the gate only.
    """

    KEYS: ClassVar = (
        "detectors", "tails", "fast", "shift", "gain", "median", "final", "fixed", "gate", "high",
        "middle", "swiftness", "local",
    )  # fmt: skip

    detectors: tuple[str, ...]
    tails: Mapping[str, Tail]
    fast: Tail
    shift: float
    gain: float
    median: float
    final: Tail
    fixed: Tail
    gate: float
    high: float
    middle: float
    swiftness: float = 1.0
    local: bool = False

    def decades(self, raw: Mapping[str, Array]) -> Floats:
        """Each detector's raw magnitudes (n,) as decades: ``(k, n)``."""
        return np.stack([self.tails[name].decades(raw[name]) for name in self.detectors])

    def combined(self, decades: Floats) -> Floats:
        """Return the fast magnitude ``(n,)`` from each detector's decades ``(k, n)``."""
        return self.fast.decades(combine(self.detectors, decades))


def combine(detectors: Sequence[str], decades: Floats) -> Floats:
    """Quadratic mean of the unbounded, and what the bounded have beyond RARE: ``(n,)``."""
    bounded = np.array([name in BOUNDED for name in detectors])
    if bounded.all():
        alone: Floats = decades.mean(axis=0)
        return alone
    extra = np.maximum(decades[bounded] - RARE, 0.0).sum(axis=0) / len(detectors)
    out: Floats = np.sqrt((decades[~bounded] ** 2).mean(axis=0)) + extra
    return out
