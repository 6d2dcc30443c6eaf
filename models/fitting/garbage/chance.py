"""Test whether what happens to some readings happens by chance: one after another, and evenly."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.arrays import Bools

#: Fewest values that show whether they came by chance.
_FEWEST: Final = 20
_TINY: Final = 1e-12  # a variance below this is rounding


def turns(series: Bools) -> float:
    """Return by how many deviations a series (n,) changes more often than chance has it.

    Wald and Wolfowitz's test of runs.
    """
    n, ones = len(series), float(series.sum())
    product = 2.0 * ones * (n - ones)
    if n < _FEWEST or product <= n:
        return 0.0
    runs = 1.0 + float((series[1:] != series[:-1]).sum())
    expected = 1.0 + product / n
    return (runs - expected) / float(np.sqrt(product * (product - n) / (n * n * (n - 1.0))))


def regularity(series: Bools) -> float:
    """Return by how many deviations a series (n,) is true more evenly than by chance.

    The distances from one to the next then have a geometric distribution, by whose logarithms
    Moran's test judges them.
    """
    at = np.flatnonzero(series)
    gaps = np.diff(at)
    if len(gaps) < _FEWEST / 2:
        return 0.0
    mean = float(gaps.mean())
    k = np.arange(1.0, 1.0 + np.ceil(40.0 * mean))
    share = np.exp((k - 1.0) * np.log1p(-1.0 / mean)) / mean if mean > 1.0 else 1.0 * (k == 1.0)
    logs = np.log(k)
    expected = float((share * logs).sum())
    variance = mean * (mean - 1.0)
    together = float((share * (logs - expected) * (k - mean)).sum())
    # the mean distance is estimated from the same distances
    rest = float((share * (logs - expected) ** 2).sum()) - together**2 / max(variance, _TINY)
    if rest <= _TINY:
        return 0.0
    return float((np.log(gaps).mean() - expected) * np.sqrt(len(gaps) / rest))
