"""Combine the magnitudes of several detectors, for one subset of detectors that can be present.

Each detector's raw magnitude is converted to decades of rarity (:meth:`Tail.decades`). The fast
magnitude is the quadratic mean of the unbounded detectors. It lies between their mean and their
maximum, so a detector that is blind to a kind of fault does not silence another. The bounded forest
adds its decades beyond RARE: it can strengthen an alarm but not weaken one. The combination is
calibrated again as a whole, so no independence is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from models.arrays import Floats
from models.detectors.base import ISOLATION_FOREST, LSTM_AUTOENCODER, MODEL_NAMES, Array
from models.scoring.magnitudes.tail import Tail
from models.scoring.stored import Stored

BOUNDED: Final = frozenset({ISOLATION_FOREST})
#: Decades above which a bounded detector counts; below, it would mainly add noise.
RARE: Final = 2.0
#: A calibration's numbers that each reading needs, as compiled code reads them.
NUMBERS: Final = np.dtype(
    [(name, np.float64) for name in ("shift", "gain", "median", "gate", "high", "middle",
                                     "swiftness", "swift_shift", "swift_gain")]
    + [("local", np.bool_), ("ends", np.bool_)],
    align=True,
)  # fmt: skip
#: Suffix of the subset for streams whose baseline is not known yet.
WARM: Final = "@warm"


def subset_key(detectors: Sequence[str], warm: bool) -> str:
    """Return the name of a subset, such as ``isolation_forest+one_class_svm@warm``."""
    return "+".join(detectors) + (WARM if warm else "")


def subsets(detectors: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the non-empty subsets that can be present: all, and all but the window detector."""
    full = tuple(name for name in MODEL_NAMES if name in detectors)
    short = tuple(name for name in full if name != LSTM_AUTOENCODER)
    return [s for s in dict.fromkeys([full, short]) if s]


@dataclass(frozen=True, slots=True)
class Calibration(Stored):
    """Turn the raw magnitudes of one subset of detectors into one probability.

    Parameters
    ----------
    detectors : names, in the order of MODEL_NAMES.
    tails : each detector's own tail.
    fast : tail of the combined decades; its decades are the fast magnitude.
    shift, gain : ``shift + gain * EWMA`` is the slow magnitude on the fast one's scale.
    median : median of the EWMA in normal operation, and its start value.
    final : tail of the maximum of swift and slow magnitude after adaptation.
    fixed : the same tail without adaptation.
    gate, high, middle : quantiles of ``fixed`` at the gate, and those that the tail tracks.
    swiftness : weight of the newest reading in the swift average; 1: there is none.
    swift_shift, swift_gain : ``swift_shift + swift_gain * average`` is the swift average on the
        fast magnitude's scale; the swift magnitude is the larger of both. Gain 0, where few
        readings were trained on: it is the average itself.
    local : whether the adaptive stretch acts up to the gate only.
    ends : whether the slow magnitude ends with what it averages
        (:func:`models.scoring.magnitudes.tail_kernel.smooth`).

    Attributes
    ----------
    numbers : (1,) of NUMBERS
    """

    KEYS: ClassVar = (
        "detectors", "tails", "fast", "shift", "gain", "median", "final", "fixed", "gate", "high",
        "middle", "swiftness", "swift_shift", "swift_gain", "local", "ends",
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
    swift_shift: float = 0.0
    swift_gain: float = 0.0
    local: bool = False
    ends: bool = False
    numbers: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = np.array([tuple(getattr(self, name) for name in NUMBERS.names or ())], NUMBERS)
        object.__setattr__(self, "numbers", numbers)

    def decades(self, raw: Mapping[str, Array]) -> Floats:
        """Convert each detector's raw magnitudes (n,) to decades, (k, n)."""
        return np.stack([self.tails[name].decades(raw[name]) for name in self.detectors])

    def combined(self, decades: Floats) -> Floats:
        """Return the fast magnitude ``(n,)`` from each detector's decades ``(k, n)``."""
        return self.fast.decades(combine(self.detectors, decades))


def combine(detectors: Sequence[str], decades: Floats) -> Floats:
    """Return the quadratic mean of the unbounded detectors, plus the bounded ones' excess (n,)."""
    bounded = np.array([name in BOUNDED for name in detectors])
    if bounded.all():
        alone: Floats = decades.mean(axis=0)
        return alone
    extra = np.maximum(decades[bounded] - RARE, 0.0).sum(axis=0) / len(detectors)
    out: Floats = np.sqrt((decades[~bounded] ** 2).mean(axis=0)) + extra
    return out
