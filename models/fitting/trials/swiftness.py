"""Choose the smoothing of the swift magnitude, by the detection of faults of different lengths.

Most faults last, and most chance deviations do not. An average over a few readings therefore
detects more of lasting faults but less of single-reading ones; the best trade-off depends on the
noise. Faults of 1 to 100 readings, equally many of each length, are injected into later blocks than
those fitted on. Each candidate weight is tried at a threshold that holds the budget on these
blocks. Among the weights within two standard errors of the best, the one that smooths least is
chosen, so nothing is smoothed without a benefit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.calibration.calibrate import swift_lift, swift_magnitudes
from models.fitting.trials.distance import fit_distance
from models.fitting.trials.following import SURE
from models.fitting.trials.ways_of_scoring import Fold, Steps, later_blocks, try_smoothings
from models.scoring.magnitudes.tail import fit_tail

#: Candidate weights of the newest reading: half-lives of 0, 1/2, 1 and 2 readings.
SWIFTNESSES: Final = (1.0, *(1.0 - 0.5 ** (1.0 / half) for half in (0.5, 1.0, 2.0)))
_FAULTS: Final = Steps((1.0, 2.0, 4.0, 8.0), (1, 3, 10, 30, 100), count=30, streams=3, part=3)
_MEMORY: Final = 30  # readings that influence an average


def choose_swiftness(
    streams: Sequence[Floats], horizon: int, shrinkage: float, seed: int = 0
) -> tuple[float, tuple[float, ...]]:
    """Return the weight of the newest reading, and the power of each of SWIFTNESSES.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in own units, varying features only.
    horizon, shrinkage : chosen by :mod:`models.fitting.trials.tolerance`.

    Returns
    -------
    (weight, power) : power is the share of the faults' readings detected; 1 and no power if there
        is too little data.
    """
    readings = sum(map(len, streams))
    found = [
        _seen(fold, (horizon, shrinkage), readings, [seed, 11, k])
        for k, fold in enumerate(later_blocks(streams))
    ]
    if not found:
        return SWIFTNESSES[0], ()
    seen = np.concatenate(found)
    power = seen.mean(axis=0)
    behind = seen[:, [int(power.argmax())]] - seen
    enough = behind.mean(axis=0) <= SURE * behind.std(axis=0) / math.sqrt(len(seen))
    return SWIFTNESSES[int(enough.argmax())], tuple(map(float, power))


def _seen(fold: Fold, scale: tuple[int, float], readings: int, seed: list[int]) -> Floats:
    """Return the detected share of each fault's readings for each weight, (faults, weights)."""
    known, later = fold
    score, spread = fit_distance(known, *scale)
    raw = [score(s) for s in known]
    tail = fit_tail(raw)
    fast = [tail.decades(values) for values in raw]
    ways = [(weight, swift_lift(fast, weight, readings)) for weight in SWIFTNESSES]

    def swift(fast: Floats) -> Floats:
        return np.stack([swift_magnitudes(fast, *way) for way in ways])

    faulty = _FAULTS.inject(later, spread, np.random.default_rng(seed))
    seen, _ = try_smoothings(lambda v: tail.decades(score(v)), swift, _MEMORY, fold, faulty)
    return np.array([one.mean(axis=1) for one in seen])
