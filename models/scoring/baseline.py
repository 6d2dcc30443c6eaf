"""A stream's own level out of its first readings, some of which may be garbage.

A driver's error code (-9999, 65535, 1.8e308) among the first readings must not become a part of
the level for good. A value far beyond anything that the group ever showed is not counted at all.
Of the others the level is the mean of those near the shortest half, which is where most of them
agree: the plain mean where all are alike, and unmoved by nearly half of them where they are not
(Rousseeuw, Least Median of Squares Regression, JASA 1984, for a location).

Which values agree is decided by a rough copy of them, kept until there are enough: in spreads from
the group's centre, as 16-bit numbers and, where there are many features, as means of a few
neighbouring readings each, so that a stream's state stays below 4 KB. Where all agree the level is
their exact mean.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Bools, Floats
from models.scoring.preprocessing import IMPOSSIBLE, Preprocessing

Halves = NDArray[np.float16]

#: Values kept at most: 2 KB of 16-bit numbers.
ROOM: Final = 1024
#: ... but never fewer than this many a feature, or there is no median to speak of.
LEAST_KEPT: Final = 5
#: A value counts that lies within so many robust deviations of the shortest half's middle, or
#: within as many of the group's spreads, which coarse or two-valued readings need.
NEAR: Final = 3.0
_TO_DEVIATION: Final = 1.4826  # half the shortest half's length -> standard deviation, if Gaussian


def skipped_mean(values: Floats) -> tuple[Floats, Bools]:
    """Mean (d,) of the values (n, d) that agree, in units of the group's spread.

    With it, (d,), whether all do.
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
    """The first readings of one stream, until there are as many as a baseline needs.

    Attributes
    ----------
    count : readings counted so far.
    kept : (m, d) means of neighbouring readings, roughly, in spreads from the group's centre.
    sums : (d,) of all of them, exactly, in own units.
    """

    count: int
    kept: Halves
    sums: Floats

    @classmethod
    def none(cls, width: int) -> FirstReadings:
        """Of a new stream with ``width`` features."""
        return cls(0, np.zeros((0, width), np.float16), np.zeros(width))

    @classmethod
    def alike(cls, count: int, level: Floats, pre: Preprocessing) -> FirstReadings:
        """``count`` readings of which only the mean (d,) is known, in own units.

        Parameters
        ----------
        count
            How many readings.
        level : (d,)
            Their mean, in own units.
        pre
            Scales them.
        """
        first = cls.none(len(level))
        for _ in range(count):
            first.add(level, pre)
        return first

    def add(self, row: Floats, pre: Preprocessing) -> None:
        """Count one reading (d,), in own units, unless it cannot be a level."""
        with np.errstate(over="ignore"):
            z = (row - pre.center) / pre.spread
        if not bool((np.abs(z) <= IMPOSSIBLE).all()):
            return
        before = self.count % group_size(pre)
        if before == 0:
            self.kept = np.concatenate([self.kept, z[None].astype(np.float16)])
        else:
            last = self.kept[-1].astype(np.float64)
            self.kept = self.kept.copy()
            self.kept[-1] = last + (z - last) / (before + 1)
        self.count += 1
        self.sums = self.sums + row

    def level(self, pre: Preprocessing) -> Floats:
        """Return the baseline (d,), in own units."""
        rough, agreed = skipped_mean(self.kept.astype(np.float64))
        level: Floats = np.where(agreed, self.sums / self.count, pre.center + pre.spread * rough)
        return level


def group_size(pre: Preprocessing) -> int:
    """Neighbouring readings that are kept as one."""
    kept = max(ROOM // len(pre.names), LEAST_KEPT)
    return -(-pre.baseline // kept)


def first_level(rows: Floats, pre: Preprocessing) -> Floats:
    """Return the level (d,) that a stream with these readings (n, d) has, in own units."""
    first = FirstReadings.none(rows.shape[1])
    for row in rows:
        if first.count >= pre.baseline:
            break
        first.add(row, pre)
    return first.level(pre) if first.count else pre.center


def units(pre: Preprocessing) -> int:
    """Identify the units that kept values are in: those of one bundle mean nothing to another."""
    names = "\x1f".join(pre.names).encode()
    return zlib.crc32(names + pre.center.tobytes() + pre.spread.tobytes() + bytes([1]))
