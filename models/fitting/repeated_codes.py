"""Recognise codes that no list knows: one value far beyond all others, again and again.

A converter that fails sends the same number for an hour or in one reading of thirty: 12345, 4095.75
or 850. It is too frequent to be rare (rule 1 of :mod:`models.scoring.garbage`), on no list (rule
2), and widens its feature's scale until no fault of it is seen. A measured level has its sensor's
scatter; a code has none. A value of a feature that varies is a code if

* it comes back at least 20 times, in at most half of each stream's readings;
* it lies far beyond all others, by the distance of rule 1, and whatever else lies there is a code,
  too, or rare. Zero, and columns that are zero most of the time, are excepted as there;
* nothing else tells when it is there: neither other features nor how much they move. A machine that
  is off, or in a mode, shows in these. Codes of the other features tell nothing: a device that
  fails sends them on every channel.

Codes may last, and the other features wander, so whether these tell is judged by what they do at
the same pattern of readings, moved through the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.scoring.garbage import FAR, RARE, Garbage

#: Fewest equal values; a measurement that scatters never meets so often beyond all others.
_FEWEST: Final = 20
#: Fewest other values, and fewest different ones: they tell how far is far.
_OTHERS: Final = 100
_DISTINCT: Final = 20
#: More than half of a stream's readings are its normal operation, whatever they are.
_MOST: Final = 0.5
#: Deviations that count as a relation. Of modes that moved another feature by 2.5 deviations in one
#: to four stretches, 97 % show so, and 3 % of codes do by chance; these are left as they are.
_CLEAR: Final = 3.0
_CLIP: Final = 10.0  # deviations beyond which a feature's own garbage counts no further
_TINY: Final = 1e-12  # a variance below this is rounding


def find_codes(streams: Sequence[Floats], garbage: Garbage) -> dict[int, set[float]]:
    """Return the codes of each feature that has any.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order of time, in own units; NaN where nothing was measured.
    garbage : Garbage
        The other rules' garbage, which does not count.
    """
    clean = [np.where(garbage.mask(stream), np.nan, stream) for stream in streams]
    suspects: dict[int, set[float]] = {}
    for j in range(clean[0].shape[1]):
        parts = [stream[:, j] for stream in clean if len(stream)]
        codes = _far_and_equal(np.concatenate(parts))
        if codes and max(_among(codes, part).mean() for part in parts) <= _MOST:
            suspects[j] = codes
    every = set().union(*suspects.values())
    witnesses = [np.where(_among(every, stream), np.nan, stream) for stream in clean]
    found = {
        j: codes
        for j, codes in suspects.items()
        if not _told([_among(codes, stream[:, j]) for stream in clean], witnesses, j)
    }
    return _on_every_channel(np.concatenate(clean), found) if found else {}


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
    if not often.any() or len(rest) < _OTHERS or (~often).sum() < _DISTINCT or resting:
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


def _told(masks: Sequence[Bools], streams: Sequence[Floats], own: int) -> bool:
    """Return whether something besides the feature ``own`` tells when its codes are there.

    Parameters
    ----------
    masks : list of (n_i,)
        Which readings of each stream hold one of its codes.
    streams : list of (n_i, d)
        The readings, without codes.
    """
    by_stream = [
        list(_deviations(mask, stream, own))
        for mask, stream in zip(masks, streams, strict=True)
        if mask.any()
    ]
    for series in zip(*by_stream, strict=True):
        excess, variance = np.sum(series, axis=0)
        if abs(excess) > _CLEAR * np.sqrt(max(variance, _TINY)):
            return True
    return False


def _deviations(mask: Bools, stream: Floats, own: int) -> Iterator[tuple[float, float]]:
    """Yield by how much each witness is larger where the mask (n,) is true, with its variance."""
    for k in range(stream.shape[1]):
        if k != own:
            yield _excess(stream[:, k], mask)
            yield _excess(np.abs(np.diff(stream[:, k], prepend=np.nan)), mask)


def _excess(series: Floats, mask: Bools) -> tuple[float, float]:
    """Return the sum of a series' (n,) deviations from its mean where a mask (n,) is true.

    Also return the variance of that sum over all the places that the mask is moved to.
    """
    known = ~np.isnan(series)
    if not known.any():
        return 0.0, 0.0
    middle = float(np.median(series[known]))
    spread = float(np.mean(np.abs(series[known] - middle)))
    if spread <= _TINY * max(abs(middle), 1.0):
        return 0.0, 0.0
    scaled = np.clip((series - middle) / spread, -_CLIP, _CLIP)
    scaled = np.where(known, scaled - scaled[known].mean(), 0.0)  # what is missing tells nothing
    moved = np.fft.irfft(np.fft.rfft(scaled) * np.conj(np.fft.rfft(mask)), len(series))
    return float(moved[0]), float(moved.var())
