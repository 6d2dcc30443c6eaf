"""Leave garbage out of training: readings that hold a value no sensor measured.

What is garbage is decided by :mod:`models.scoring.garbage`. A reading with such a value is left out
of everything that is fitted, as it is left out of a live stream's window; a feature that is
garbage in most readings is not used. A code that came often in one feature stands for "not
measured" in all that never measure such a value: live, it is a missing value. Any other garbage is
a fault of the sensor when it comes live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from errors import TrainingError
from models.scoring.garbage import Garbage, describe, learn_garbage

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

#: A feature that is garbage in more of the readings is not used.
MOST: Final = 0.5
#: A code in more of a feature's readings is its way to say "not measured".
OFTEN: Final = 0.01
#: Live, a value counts as garbage only so many times further out than in training: there it may
#: be a fault of the machine, and that has to open an event of its own.
_WIDER: Final = 10.0


@dataclass(slots=True)
class Cleaned:
    """Training data without garbage.

    Parameters
    ----------
    streams : list of (n_i, d), of the features that can be used.
    timestamps : their times, if there are any.
    names : d features used; ``unusable`` those that were left out.
    garbage : what is garbage in a live reading, by feature used.
    nulls : feature -> codes that stand for "not measured".
    notes : what was left out, with value, column and rows.
    """

    streams: list[Floats]
    timestamps: list[Times] | None
    names: list[str]
    unusable: list[str]
    garbage: Garbage
    nulls: dict[str, tuple[float, ...]]
    notes: list[str] = field(default_factory=list)


def clean(
    streams: Sequence[Floats], timestamps: Sequence[Times] | None, names: Sequence[str]
) -> Cleaned:
    """Find the garbage in training data (n_i, d) and leave it out.

    Raises
    ------
    TrainingError
        Every feature is garbage in most readings.
    """
    pooled = np.concatenate(streams)
    garbage = learn_garbage(pooled)
    mask = garbage.mask(pooled)
    usable = np.flatnonzero(mask.mean(axis=0) <= MOST).tolist()
    if not usable:
        raise TrainingError("data: in every feature most values are no measurements (error codes)")
    bad = mask[:, usable].any(axis=1)
    edges = np.cumsum([len(s) for s in streams])[:-1]
    keep = np.split(~bad, edges)
    notes = []
    if mask.any():
        notes = describe(pooled, mask, names)
        gone = int(bad.sum())
        notes.append(f"{gone:,} of {len(pooled):,} readings hold such values and were left out")
    unusable = [name for j, name in enumerate(names) if j not in usable]
    notes += [f"{name}: mostly no measurement, not used" for name in unusable]
    nulls = _nulls(pooled, garbage, usable, names)
    left = [(i, s[k][:, usable]) for i, (s, k) in enumerate(zip(streams, keep, strict=True))]
    left = [(i, values) for i, values in left if len(values)]
    times = None if timestamps is None else [timestamps[i][keep[i]] for i, _ in left]
    return Cleaned(
        [values for _, values in left], times, [names[j] for j in usable], unusable,
        _wider(garbage, usable), nulls, notes,
    )  # fmt: skip


def _nulls(
    pooled: Floats, garbage: Garbage, usable: list[int], names: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """Codes that came often in a feature, for each feature that never measures such a value."""
    often = {
        code
        for j in range(pooled.shape[1])
        for code in garbage.codes[j]
        if (pooled[:, j] == code).mean() > OFTEN
    }
    out = {}
    for j in usable if often else ():
        measured = pooled[~np.isin(pooled[:, j], list(often)), j]
        low, high = measured.min(), measured.max()
        found = tuple(sorted(code for code in often if code < low or code > high))
        if found:
            out[names[j]] = found
    return out


def _wider(garbage: Garbage, usable: list[int]) -> Garbage:
    low, high = garbage.low[usable], garbage.high[usable]
    middle, half = np.zeros(len(usable)), np.full(len(usable), np.inf)
    bounded = np.isfinite(low) & np.isfinite(high)
    middle[bounded] = (low[bounded] + high[bounded]) / 2.0
    half[bounded] = _WIDER * (high[bounded] - low[bounded]) / 2.0
    codes = tuple(garbage.codes[j] for j in usable)
    return replace(garbage, low=middle - half, high=middle + half, codes=codes)
