"""Recognise codes that no list knows: one value far beyond all others, again and again.

A converter that fails sends the same number for an hour or in one reading of thirty: 12345, 4095.75
or 850. It is too frequent to be rare (rule 1 of :mod:`models.scoring.features.garbage`), on no list
(rule 2), and widens its feature's scale until no fault of it is seen. A measured level has its
sensor's scatter; a code has none. A value of a feature that varies is a code if

* it comes back at least 20 times, in at most half of each stream's readings, and lies far beyond
  all others, by the distance of rule 1, where whatever else lies is a code, too, or rare; or it
  comes back at least 5 times, further from all others than these are wide, for some five readings
  at most, in a feature beside others that hardly ever repeats the value before. So near, a value
  that lasts may be where a machine rests, as a valve does at 100. Zero, and columns that are zero
  most of the time, are excepted as there;
* nothing else tells when it is there (:mod:`models.fitting.garbage.witnesses`): neither other
  features nor how much they move. Codes of the other features tell nothing: a device that fails
  sends them on every channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.garbage.dropped_zeros import DISTINCT, OTHERS, dropped_zeros
from models.fitting.garbage.repeat_rates import RARELY
from models.fitting.garbage.runs import is_brief
from models.fitting.garbage.witnesses import told
from models.scoring.features.garbage import FAR, RARE, Garbage, learn_garbage

#: Fewest equal values; a measurement that scatters never meets so often beyond all others.
_FEWEST: Final = 20
#: The same in a feature whose readings hardly ever repeat.
_AGAIN: Final = 5
#: More than half of a stream's readings are its normal operation, whatever they are.
_MOST: Final = 0.5


def learn_with_codes(streams: Sequence[Floats]) -> tuple[Garbage, dict[int, set[float]]]:
    """Learn the garbage of streams (n_i, d), and the codes in it that no list knows."""
    pooled = np.concatenate(streams)
    garbage = learn_garbage(pooled)
    codes = find_codes(streams, garbage)
    if codes:
        garbage = learn_garbage(pooled, codes)
    zeros = dropped_zeros([garbage.measured(stream) for stream in streams])
    for j in zeros:
        codes.setdefault(j, set()).add(0.0)
    return (learn_garbage(pooled, codes) if zeros else garbage), codes


def find_codes(streams: Sequence[Floats], garbage: Garbage) -> dict[int, set[float]]:
    """Return the codes of each feature that has any.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order of time, in own units; NaN where nothing was measured.
    garbage : Garbage
        The other rules' garbage, which does not count.
    """
    clean = [garbage.measured(stream) for stream in streams]
    pooled = np.concatenate(clean)
    suspects: dict[int, set[float]] = {}
    for j in range(pooled.shape[1]):
        codes = _far_and_equal(pooled[:, j])
        if pooled.shape[1] > 1:
            codes |= _apart_and_equal(pooled[:, j])
        parts = [stream[:, j] for stream in clean if len(stream)]
        if codes and max(_among(codes, part).mean() for part in parts) <= _MOST:
            suspects[j] = codes
    if not suspects:
        return {}
    every: set[float] = set().union(*suspects.values())
    heard = [np.where(_among(every, stream), np.nan, stream) for stream in clean]
    spared = told(suspects, clean, heard)
    found = {j: codes for j, codes in suspects.items() if j not in spared}
    return _on_every_channel(pooled, found) if found else {}


def _among(codes: set[float], values: Floats) -> Bools:
    """Return which of the values (...) are codes."""
    return np.isin(values, list(codes))


def _on_every_channel(values: Floats, found: dict[int, set[float]]) -> dict[int, set[float]]:
    """Add the codes that other features send at the same readings, outside all their other values.

    Parameters
    ----------
    values : (n, d)
        All readings.
    found : feature -> its codes.
    """
    out = {j: set(codes) for j, codes in found.items()}
    for code in set().union(*found.values()):
        same = values == code
        sent = same[:, [j for j, codes in found.items() if code in codes]].any(axis=1)
        for j in np.flatnonzero(same[sent].sum(axis=0) > _MOST * same.sum(axis=0)).tolist():
            others = values[~same[:, j] & ~np.isnan(values[:, j]), j]
            if len(others) and not others.min() < code < others.max():
                out.setdefault(j, set()).add(code)
    return out


def _far_and_equal(column: Floats) -> set[float]:
    """Return the values (n,) that lie far beyond all others and come back, if nothing else does."""
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    often = counts >= max(_FEWEST, RARE * counts.sum())
    rest = np.repeat(values[~often], counts[~often])
    resting = counts[values == 0].sum() > _MOST * counts.sum()
    if not often.any() or len(rest) < OTHERS or (~often).sum() < DISTINCT or resting:
        return set()
    low, high = np.quantile(rest, (RARE, 1 - RARE))
    if high <= low:
        return set()
    far = max(FAR * (high - low), abs(low), abs(high))
    beyond = ((values < low - far) | (values > high + far)) & (values != 0)
    codes = beyond & (counts >= _FEWEST)
    if counts[beyond & ~codes].sum() > RARE * counts.sum():
        return set()
    return set(values[codes].tolist())


def _apart_and_equal(column: Floats) -> set[float]:
    """Return the values (n,) that come back apart from all others, which hardly ever repeat."""
    column = column[~np.isnan(column)]
    values, counts = np.unique(column, return_counts=True)
    first, last = 0, len(values) - 1
    apart: list[float] = []
    while last - first >= DISTINCT:
        low = first + int(counts[first] >= _AGAIN)
        high = last - int(counts[last] >= _AGAIN)
        width = values[high] - values[low]
        if values[low] - values[first] > width:
            apart.append(float(values[first]))
            first = low
        elif values[last] - values[high] > width:
            apart.append(float(values[last]))
            last = high
        else:
            break
    others = column[~np.isin(column, apart)]
    resting = (column == 0).sum() > _MOST * len(column)
    if not apart or resting or len(others) < OTHERS:
        return set()
    if (others[1:] == others[:-1]).mean() > RARELY:
        return set()  # it is rounded coarsely, or rests: its levels are exact, too
    return {value for value in apart if value != 0.0 and is_brief([column == value])}
