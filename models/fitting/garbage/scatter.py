"""Recognise scattered garbage: values far from all others, often, and without relation to anything.

A failing converter, or a loose contact, sends random numbers in a tenth of the readings. They are
too many to be rare (rule 1 of :mod:`models.scoring.features.garbage`), have no common value (rules
2 to 4), and make the feature's scale so wide that none of its faults is seen on any asset. An
operating mode, a burst or a fault differs from them in at least one respect, since it has a cause:

* it comes back to similar values, or goes one way; scattered garbage goes far to both sides, at no
  particular level;
* it lasts, or comes in bursts, or regularly; scattered garbage comes and goes by chance, as does
  its sign;
* something else tells when it is there: other features, or the feature's own values before and
  after.

What differs in none of them says nothing about the machine. The values count as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.garbage.repeated_codes import learn_with_codes
from models.scoring.features.garbage import FAR, RARE, Garbage, learn_garbage

#: More than half of a feature's readings are its normal operation, whatever they are: of all, and
#: of each stream while it has far values (a stream may be wider than others, or in another unit).
_MOST: Final = 0.5
#: Smallest share on either side: by chance both have half, and what has a direction has no side.
_SIDE: Final = 0.1
#: Fewest values that show whether they came by chance.
_FEWEST: Final = 20
#: Fewest equal values of a code; numbers at random never meet so often.
_CODE: Final = 5
#: Deviations from chance that count as a relation: with some hundred comparisons per feature, one
#: feature in a hundred exceeds this by chance, and is then left as it is.
_CLEAR: Final = 4.0
_TINY: Final = 1e-12  # a variance below this is rounding


@dataclass(frozen=True, slots=True)
class Scatter:
    """A feature's scattered garbage.

    Parameters
    ----------
    feature : index of the feature.
    low, high : the garbage lies beyond these, in own units.
    """

    feature: int
    low: float
    high: float

    def mask(self, values: Floats) -> Bools:
        """Return which of the feature's values (n,) are garbage; NaN is not."""
        found: Bools = (values < self.low) | (values > self.high)
        return found


def learn_with_scatter(
    streams: Sequence[Floats],
) -> tuple[Garbage, list[Scatter], dict[int, set[float]]]:
    """Learn the garbage of each feature, and which features have scattered garbage besides.

    Codes hide among scattered values, so their rules are applied again without these. Also return
    the codes of single features that no list knows (:mod:`models.fitting.garbage.repeated_codes`).

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order of time, in own units; NaN where nothing was measured.
    """
    garbage, codes = learn_with_codes(streams)
    scattered = find_scatter(streams, garbage)
    pooled = np.concatenate(streams)
    remove_scatter(pooled, scattered)
    return (learn_garbage(pooled, codes) if scattered else garbage), scattered, codes


def remove_scatter(values: Floats, scattered: Iterable[Scatter]) -> None:
    """Set scattered garbage in readings (n, d) to NaN, in place: as if it had not been sent."""
    for one in scattered:
        values[one.mask(values[:, one.feature]), one.feature] = np.nan


def find_scatter(streams: Sequence[Floats], garbage: Garbage) -> list[Scatter]:
    """Find the features with scattered garbage.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order of time, in own units; NaN where nothing was measured.
    garbage : Garbage
        The other rules' garbage, which does not count.
    """
    clean = [garbage.measured(stream) for stream in streams]
    pooled = np.concatenate(clean)
    found = []
    for j in range(pooled.shape[1]):
        column = pooled[:, j][~np.isnan(pooled[:, j])]
        one = _apart(j, column)
        if one is None:
            continue
        far = column[one.mask(column)]
        codes = _repeated(far)
        if _both_sides(far[~np.isin(far, codes)], one):
            found.append(one)
            for stream in clean:
                stream[np.isin(stream[:, j], codes) & one.mask(stream[:, j]), j] = np.nan
    return [one for one in found if _by_chance(clean, one, found)]


def _repeated(far: Floats) -> Floats:
    """Return values that come back exactly: codes, which the other rules miss among scatter."""
    values, counts = np.unique(far, return_counts=True)
    return values[counts >= _CODE]


def _apart(feature: int, column: Floats) -> Scatter | None:
    """Return bounds beyond which values (n,) lie apart from the others, often; None without any.

    The body cannot grow from value to value as that of rule 1 does: among many scattered values
    some are near. It is what most values take up that are not far beyond the middle half. Heavy
    tails thin out gradually; scattered garbage leaves the decade above the body nearly empty.
    """
    if len(column) < _FEWEST / RARE:  # too few to tell the body's ends
        return None
    low, high = np.quantile(column, (0.25, 0.75))
    far = FAR * FAR * (high - low)
    inner = column[(column >= low - far) & (column <= high + far)]
    if high <= low or not _FEWEST < len(column) - len(inner) <= _MOST * len(column):
        return None
    low, high = np.quantile(inner, (RARE, 1 - RARE))
    far = max(FAR * (high - low), abs(low), abs(high))
    found = Scatter(feature, float(low - far), float(high + far))
    beyond = int(found.mask(column).sum())
    wide = high - low
    between = int(((column < low - wide) | (column > high + wide)).sum()) - beyond
    return found if beyond > max(_FEWEST, FAR * between) else None


def _both_sides(far: Floats, one: Scatter) -> bool:
    """Return whether far values lie on both sides, and come back to no level."""
    for side in (far[far < one.low], far[far > one.high]):
        if len(side) < max(_SIDE * len(far), _FEWEST / 4):
            return False
        low, high = np.quantile(side, (0.25, 0.75))
        if high - low < one.high - one.low:
            return False
    return True


def _by_chance(streams: Sequence[Floats], one: Scatter, others: Sequence[Scatter]) -> bool:
    """Return whether nothing tells when a feature's far values come, nor on which side.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings without garbage by other rules.
    one : Scatter
        The feature to judge.
    others : sequence of Scatter
        All suspects: their far values tell nothing about those of ``one``.
    """
    judged = False
    for stream in streams:
        measured = stream[~np.isnan(stream[:, one.feature])]
        far = one.mask(measured[:, one.feature])
        if far.sum() < _FEWEST:
            continue
        judged = True
        # a defect begins and ends: only the time between counts
        first, last = np.flatnonzero(far)[[0, -1]]
        rows, here = measured[first : last + 1].copy(), far[first : last + 1]
        if here.mean() > _MOST:
            return False
        remove_scatter(rows, others)
        upper = measured[far, one.feature] > one.high
        relations = [_turns(here), _turns(upper), _regularity(here)]
        relations += [_tells(series, here) for series in _witnesses(rows, one.feature)]
        if max(map(abs, relations)) > _CLEAR:
            return False
    return judged


def _turns(series: Bools) -> float:
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


def _regularity(series: Bools) -> float:
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


def _witnesses(rows: Floats, own: int) -> Iterator[Floats]:
    """Yield series (n,) that a cause of far values would show in.

    Parameters
    ----------
    rows : (n, d)
        Readings without far values.
    own : int
        The feature that had them: what its values before and after differ by.
    """
    n = len(rows)
    for k in range(rows.shape[1]):
        series = rows[:, k]
        if k != own:
            yield series
            yield np.abs(np.diff(series, prepend=np.nan))
            continue
        known = np.flatnonzero(~np.isnan(series))
        if len(known) < _FEWEST:
            continue
        before = np.searchsorted(known, np.arange(n), side="left") - 1
        after = np.searchsorted(known, np.arange(n), side="right")
        inside = (before >= 0) & (after < len(known))
        gap = np.full(n, np.nan)
        gap[inside] = np.abs(series[known[after[inside]]] - series[known[before[inside]]])
        yield gap


def _tells(series: Floats, at: Bools) -> float:
    """Return by how many deviations the ranks of a series (n,) differ at some readings.

    Mann and Whitney's test; NaN counts for neither side.
    """
    from scipy.stats import rankdata

    known = ~np.isnan(series)
    ranks = rankdata(series[known])
    here = at[known]
    n, ones = len(here), int(here.sum())
    if min(ones, n - ones) < _FEWEST / 2:
        return 0.0
    spread = float(ranks.std())  # ties count
    if spread == 0.0:
        return 0.0
    error = spread * np.sqrt((n - ones) / (ones * (n - 1.0)))
    return float((ranks[here].mean() - ranks.mean()) / error)
