"""Compute a stream's baseline from its first readings, some of which may be garbage.

A driver's error code (-9999, 65535, 1.8e308) among the first readings must not enter the baseline
for good. Values far beyond the group's range are not counted. The baseline is the mean of the
remaining values near their shortest half: the plain mean if all values are alike, and robust
against almost half of them otherwise (Rousseeuw, Least Median of Squares Regression, JASA 1984,
for a location).

A coarse copy of the values decides which of them agree. It is kept until there are enough readings,
in spreads from the group's centre, as 16-bit numbers and, with many features, as means of a few
neighbouring readings: a stream's state must stay below 4 KB. If all values agree, the baseline is
their exact mean.

Imputed values do not count: they tell of the group's level, not of the stream's. Only where a
feature was always missing is its baseline their mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Bools, Floats
from models.scoring.features.preprocessing import IMPOSSIBLE, Preprocessing

Halves = NDArray[np.float16]

#: Values kept at most: 2 KB of 16-bit numbers.
ROOM: Final = 1024
#: ... but never fewer than this per feature: a shortest half needs several values.
MIN_KEPT: Final = 5
#: Values agree within this many robust deviations of the shortest half's middle, or within as many
#: of the group's spreads, because coarse or two-valued readings have tiny deviations.
NEAR: Final = 3.0
#: Kept in place of an imputed value. Earlier releases leave it out, too, as far from the others.
_ABSENT: Final = 2.0 * IMPOSSIBLE
_TO_DEVIATION: Final = 1.4826  # half the shortest half's length -> standard deviation, if Gaussian


def skipped_mean(values: Floats) -> tuple[Floats, Bools]:
    """Return the mean (d,) of the values that agree, and whether all of them do (d,).

    ``values`` (n, d) are in units of the group's spread.
    """
    ranked = np.sort(values, axis=0)
    half = len(ranked) // 2 + 1
    lengths = ranked[half - 1 :] - ranked[: len(ranked) - half + 1]
    start = lengths.argmin(axis=0)[None]
    low, high = (np.take_along_axis(ranked, start + k, axis=0)[0] for k in (0, half - 1))
    width = NEAR * np.maximum(_TO_DEVIATION * (high - low) / 2.0, 1.0)
    near = np.abs(values - (low + high) / 2.0) <= width
    level: Floats = np.where(near, values, 0.0).sum(axis=0) / near.sum(axis=0)
    return level, near.all(axis=0)


@dataclass(slots=True, eq=False)
class FirstReadings:
    """The first readings of one stream, collected until a baseline can be computed.

    Attributes
    ----------
    count : readings so far.
    kept : (m, d) coarse means of neighbouring readings, in spreads from the group's centre; _ABSENT
        where all were imputed.
    sums : (d,) exact sum of all readings, in own units, imputed or not.
    """

    count: int
    kept: Halves
    sums: Floats

    @classmethod
    def empty(cls, width: int) -> FirstReadings:
        """Create the empty collection of a new stream with ``width`` features."""
        return cls(0, np.zeros((0, width), np.float16), np.zeros(width))

    @classmethod
    def alike(cls, count: int, level: Floats, pre: Preprocessing) -> FirstReadings:
        """Create a collection of ``count`` equal readings, where only their mean is known.

        Parameters
        ----------
        count
            Number of readings.
        level : (d,)
            Their mean, in own units.
        pre
            Gives the group's centre and spread.
        """
        first = cls.empty(len(level))
        for _ in range(count):
            first.add(level, pre)
        return first

    def add(self, row: Floats, pre: Preprocessing, lacking: Collection[str] = ()) -> None:
        """Add one reading (d,), in own units, unless it is impossibly far from the group.

        Parameters
        ----------
        row : (d,)
            The reading.
        pre
            Gives the group's centre and spread.
        lacking
            Names of the features whose values are imputed.
        """
        with np.errstate(over="ignore"):
            z = (row - pre.center) / pre.spread
        if not bool((np.abs(z) <= IMPOSSIBLE).all()):
            return
        if lacking:
            z[[pre.names.index(name) for name in lacking]] = _ABSENT
        before = self.count % group_size(pre)
        if before == 0:
            self.kept = np.concatenate([self.kept, z[None].astype(np.float16)])
        else:
            last = self.kept[-1].astype(np.float64)
            self.kept = self.kept.copy()
            both = np.maximum(last, z) < _ABSENT
            mean = last + (z - last) / (before + 1)
            self.kept[-1] = np.where(both, mean, np.minimum(last, z))
        self.count += 1
        self.sums = self.sums + row

    def level(self, pre: Preprocessing) -> Floats:
        """Return the baseline (d,), in own units."""
        kept = self.kept.astype(np.float64)
        rough, agreed = skipped_mean(kept)
        measured = kept < _ABSENT
        for j in np.flatnonzero(~measured.all(axis=0)):
            some = kept[measured[:, j], j]
            agreed[j] = not len(some)
            if len(some):
                rough[j] = skipped_mean(some[:, None])[0][0]
        level: Floats = np.where(agreed, self.sums / self.count, pre.center + pre.spread * rough)
        return level


def group_size(pre: Preprocessing) -> int:
    """Return how many neighbouring readings are stored as one mean."""
    kept = max(ROOM // len(pre.names), MIN_KEPT)
    return -(-pre.baseline // kept)


def first_level(rows: Floats, pre: Preprocessing) -> Floats:
    """Return the baseline (d,) of a stream with these readings (n, d), in own units."""
    first = FirstReadings.empty(rows.shape[1])
    for row in rows:
        if first.count >= pre.baseline:
            break
        first.add(row, pre)
    return first.level(pre) if first.count else pre.center


def units(pre: Preprocessing) -> int:
    """Return a fingerprint of the units of stored values: they differ from bundle to bundle."""
    names = "\x1f".join(pre.names).encode()
    return zlib.crc32(names + pre.center.tobytes() + pre.spread.tobytes() + bytes([1]))
