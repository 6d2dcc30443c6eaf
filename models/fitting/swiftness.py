"""Over how few readings the swift magnitude is averaged: by what is seen of faults of any length.

Most of what is a fault lasts and most of what is chance does not, so an average over a few
readings sees more of what lasts, and less of what is over after one. Which is more depends on the
noise. So faults of 1 to 100 readings, as many of each length, are injected into blocks later than
those fitted on, and each ladder step is judged at a threshold that holds the budget there. Of
those that see as much as the best one, within a standard error of the difference (Breiman,
Friedman, Olshen, Stone 1984), the one that smooths least is taken: where it makes no difference
nothing is smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.fitting.calibrate import ewma
from models.fitting.injection import steps, with_step
from models.fitting.tolerance import BUDGET, Fold, fit_distance, later_blocks
from models.scoring.tail import fit_tail

Floats = NDArray[np.float64]

#: Weights of the newest reading: half-lives of 0, 1/2, 1 and 2 readings.
SWIFTNESSES: Final = (1.0, *(1.0 - 0.5 ** (1.0 / half) for half in (0.5, 1.0, 2.0)))
_LENGTHS: Final = (1, 3, 10, 30, 100)
_SIZES: Final = (1.0, 2.0, 4.0, 8.0)  # standard deviations
_COUNT: Final = 30  # faults of each size and length in each stream's block
_STREAMS: Final = 3  # streams that faults are injected into
_BEFORE: Final = 30  # readings that an average remembers


def choose_swiftness(
    streams: Sequence[Floats], horizon: int, shrinkage: float, seed: int = 0
) -> tuple[float, tuple[float, ...]]:
    """Return the weight of the newest reading, and what each of SWIFTNESSES saw.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in their own units, features that vary only.
    horizon, shrinkage : as decided by :mod:`models.fitting.tolerance`.

    Returns
    -------
    (weight, shares) : of the faults' readings; 1 and no shares where there are too few data.
    """
    found = [
        _seen(fold, horizon, shrinkage, [seed, 11, k])
        for k, fold in enumerate(later_blocks(streams))
    ]
    if not found:
        return SWIFTNESSES[0], ()
    seen = np.concatenate(found)
    power = seen.mean(axis=0)
    behind = seen[:, [int(power.argmax())]] - seen
    enough = behind.mean(axis=0) <= behind.std(axis=0) / math.sqrt(len(seen))
    return SWIFTNESSES[int(enough.argmax())], tuple(map(float, power))


def _seen(fold: Fold, horizon: int, shrinkage: float, seed: list[int]) -> Floats:
    """Share of each fault's readings that alarm with each of SWIFTNESSES: (faults, weights)."""
    known, later = fold
    rng = np.random.default_rng(seed)
    score, spread = fit_distance(known, horizon, shrinkage)
    tail = fit_tail([score(s) for s in known])
    usual = tail.quantile(math.log10(0.5))
    raw = [tail.decades(score(s)) for s in later]
    smooth = [[ewma(f, usual, weight) for f in raw] for weight in SWIFTNESSES]
    lines = [float(np.quantile(np.concatenate(s), 1.0 - BUDGET)) for s in smooth]
    out = []
    for i, values in enumerate(later[:_STREAMS]):
        n, d = values.shape
        for length in _LENGTHS:
            for fault in steps(n, d, _SIZES, _COUNT, min(length, n // 3), rng):
                rows = slice(fault.start, fault.end)
                part = tail.decades(score(with_step(values, fault, spread, rng)))
                whole = np.concatenate([raw[i][: fault.start][-_BEFORE:], part])
                out.append([
                    (ewma(whole, usual, weight)[-len(part) :]
                     > np.maximum(smooth[k][i][rows], lines[k])).mean()
                    for k, weight in enumerate(SWIFTNESSES)
                ])  # fmt: skip
    return np.array(out)
