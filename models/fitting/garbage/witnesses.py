"""Judge whether other features tell when some values of a feature come.

A machine that is off, or in a mode, shows in other features; a device that fails shows in none. The
values may last, and the other features wander, so whether these tell is judged by what they do at
the same pattern of readings, moved through the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats

#: Deviations that count as a relation. Of modes that moved another feature by 2.5 deviations in one
#: to four stretches, 97 % show so, and 3 % of codes do by chance; these are left as they are.
_CLEAR: Final = 3.0
_CLIP: Final = 10.0  # deviations beyond which a feature's own garbage counts no further
_TINY: Final = 1e-12  # a variance below this is rounding


def told(
    suspects: Mapping[int, set[float]], streams: Sequence[Floats], heard: Sequence[Floats]
) -> set[int]:
    """Return the features of which something besides their own values tells when their codes come.

    Parameters
    ----------
    suspects : feature -> its codes.
    streams : list of (n_i, d)
        All readings.
    heard : list of (n_i, d)
        The same, NaN where a value tells nothing.
    """
    witnesses = 2 * streams[0].shape[1]
    excess = {j: np.zeros(witnesses) for j in suspects}
    variance = {j: np.zeros(witnesses) for j in suspects}
    for stream, series_of in zip(streams, heard, strict=True) if suspects else ():
        masks = {j: np.isin(stream[:, j], list(codes)) for j, codes in suspects.items()}
        spectra = {j: _power(mask) for j, mask in masks.items() if mask.any()}
        if not spectra:
            continue
        for k, series in enumerate(_witnesses(series_of)):
            scaled = _deviations(series)
            power = _power(scaled)
            for j, spectrum in spectra.items():
                excess[j][k] += scaled[masks[j]].sum()
                variance[j][k] += power @ spectrum
    out = set()
    for j in suspects:
        clear = np.abs(excess[j]) > _CLEAR * np.sqrt(np.maximum(variance[j], _TINY))
        if np.delete(clear, (2 * j, 2 * j + 1)).any():  # its own two tell nothing
            out.add(j)
    return out


def _witnesses(stream: Floats) -> Iterator[Floats]:
    """Yield each feature of a stream (n, d), and after it how much it moves."""
    for column in stream.T:
        yield column
        yield np.abs(np.diff(column, prepend=np.nan))


def _deviations(series: Floats) -> Floats:
    """Return a series' (n,) deviations from its mean; 0 where it is missing, which tells nothing.

    All are 0 if it does not vary.
    """
    known = ~np.isnan(series)
    if not known.any():
        return np.zeros(len(series))
    middle = float(np.median(series[known]))
    spread = float(np.mean(np.abs(series[known] - middle)))
    if spread <= _TINY * max(abs(middle), 1.0):
        return np.zeros(len(series))
    scaled = np.clip((series - middle) / spread, -_CLIP, _CLIP)
    out: Floats = np.where(known, scaled - scaled[known].mean(), 0.0)
    return out


def _power(series: Floats | Bools) -> Floats:
    """Return a spectrum of a series (n,), to be multiplied with that of another one and summed.

    The result is the variance of the sum of their products, over all the places that one of the
    two is moved to in a circle.
    """
    out: Floats = np.abs(np.fft.rfft(series)) ** 2 / len(series)
    out[0] = 0.0
    twice = np.full(len(out), np.sqrt(2.0))  # frequencies that stand for their negatives, too
    if len(series) % 2 == 0:
        twice[-1] = 1.0
    out *= twice
    return out
