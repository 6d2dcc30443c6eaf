"""Tell whether readings after a shift agree on a new level.

A stretch is a run of readings most of which lie beyond the gate; it ends when up to QUIET more
readings lie within the gate than beyond. The two halves of its newest readings are compared after
every further quarter of these, so the exact start of the stretch matters little. To be a level,
their mean must lie at least MIN_SHIFT standard deviations from the former level. Between the halves
it may move by at most MAX_DRIFT standard deviations or by the share SAME of the shift: a large
shift that recedes very slowly still settles. The standard deviation is the stretch's own. A fault
that keeps growing, or that only raises the noise, has no level. Distances are between scaled,
decorrelated rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.scoring.alarms.events import QUIET
from models.scoring.features.level_offsets import mixed, unmixed
from models.scoring.state_values import check, pack, unpack

Level32 = NDArray[np.float32]

#: A smaller shift, in standard deviations, does not show whether the stream has come back.
MIN_SHIFT: Final = 2.0
MAX_DRIFT: Final = 1.0
#: Share of a shift by which its level may move between halves. Steady growth meets this only after
#: a hundred halves.
SAME: Final = 0.01
#: Standard errors of the parts' means by which a feature's shift is sure.
SURE: Final = 2.0
#: Parts that the readings are averaged in; the two halves advance by one part at a time.
PARTS: Final = 4


@dataclass(slots=True)
class Stretch:
    """Readings beyond the gate that may be a new level.

    Attributes
    ----------
    count, sums : number of readings in the current part, and their sum (d,).
    means : mean (d,) of each earlier part, at most PARTS - 1, the newest last.
    scatter : sum of the current part's squared distances from the newest mean.
    within : mean squared distance of the newest complete part's readings from their mean.
    balance : readings beyond the gate minus readings within it, at most QUIET.
    """

    count: int = 0
    sums: Level32 | None = None
    means: list[Level32] = field(default_factory=list)
    scatter: float = 0.0
    within: float = 0.0
    balance: int = 0

    def take(
        self, row: Floats, beyond: bool, part: int, former: Floats, mix: Floats | None = None,
        lacking: Sequence[int] = (),
    ) -> Level32 | None:  # fmt: skip
        """Add a scaled row (d,); return the level (d,) if the two halves agree on one.

        Parameters
        ----------
        row : (d,) the scaled reading.
        beyond : whether it lies beyond the gate.
        part : readings in a part.
        former : (d,) the level that the stream has left.
        mix : (d, d) decorrelated the row; None: nothing did.
        lacking : features whose values are imputed; these count as the stretch's mean so far.
        """
        self.balance = min(self.balance + 1, QUIET) if beyond else self.balance - 1
        if self.balance <= 0:
            self.__init__()  # type: ignore[misc]
            return None
        if lacking:
            row = self._completed(row, lacking, former, mix)
        # rounded as in a stored state, so that splitting a batch differently changes nothing
        self.sums = (row if self.sums is None else self.sums + row).astype(np.float32)
        self.count += 1
        if self.means:
            away = row - self.means[-1]
            self.scatter += float(away @ away)
        return self._whole(former, mix) if self.count >= part else None

    def _completed(
        self, row: Floats, lacking: Sequence[int], former: Floats, mix: Floats | None
    ) -> Floats:
        """Return a row (d,) with the mean so far of the features that it lacks.

        These were imputed as if the stream were still at its former level, which is far from it.
        A feature that was never measured since keeps that level.
        """
        mean = former
        if self.sums is not None:
            mean = (self.sums / np.float32(self.count)).astype(np.float64)
        elif self.means:
            mean = self.means[-1].astype(np.float64)
        own = unmixed(row, mix).copy()
        own[lacking] = unmixed(mean, mix)[lacking]
        return mixed(own, mix)

    def _whole(self, former: Floats, mix: Floats | None) -> Level32 | None:
        """Complete a part and begin the next; return the level if the halves agree on one."""
        assert self.sums is not None  # noqa: S101
        means = [*self.means, (self.sums / np.float32(self.count)).astype(np.float32)]
        moved = (means[-1] - means[-2] if self.means else means[-1]).astype(np.float64)
        within = max(self.scatter / self.count - float(moved @ moved), 0.0)
        scatter = (self.within + within) / 2 + float(moved @ moved) / 4
        self.__init__(means=means[1 - PARTS :], within=within, balance=self.balance)  # type: ignore[misc]
        if len(means) < PARTS:
            return None
        return _level(np.array(means, np.float64), scatter, former, mix)

    def to_list(self) -> list[Any] | None:
        """Return the stretch ready for JSON, exactly; None if it is empty."""
        if self.sums is None and not self.means:
            return None
        *older, newest = [pack(mean, "<f4") for mean in self.means] or [None]
        sums = pack(self.sums, "<f4")
        return [self.count, self.balance, self.scatter, sums, newest, older, self.within]

    @classmethod
    def from_list(cls, data: Any, width: int) -> Stretch:
        """Read what :meth:`to_list` returned, now or in a release that stored the newest mean only.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a stored stretch.
        """
        if data is None:
            return cls()
        count, balance, scatter, sums, newest, older, within = [*data, [], 0.0][:7]
        check("levels", (count, balance), (0, 2**31))
        check("levels", (scatter, within), (0, 1e300))
        packed = [] if newest is None else [*older, newest]
        means = [unpack(mean, "<f4", width) for mean in packed][1 - PARTS :]
        sums = None if sums is None else unpack(sums, "<f4", width)
        return cls(int(count), sums, means, float(scatter), float(within), int(balance))


def _level(means: Floats, scatter: float, former: Floats, mix: Floats | None) -> Level32 | None:
    """Return the level (d,) if the older and the newer half of the parts agree on it.

    A feature that still moved between the halves gets its mean of the newer half: one sensor may
    stay shifted while another comes back slowly. Features whose shift is not sure keep their former
    level: they wander, and would be judged by where they happened to be.

    Parameters
    ----------
    means : (PARTS, d) mean of each part.
    scatter : mean squared distance of the newer half's readings from their mean.
    former : (d,) the level that the stream has left.
    mix : (d, d) decorrelates scaled rows; None: they stay correlated.
    """
    older, newer = means.reshape(2, PARTS // 2, -1).mean(axis=1)
    shift = newer - former
    length, noise = float(np.linalg.norm(shift)), math.sqrt(scatter / len(shift))
    steady = abs((newer - older) @ shift) <= max(MAX_DRIFT * noise, SAME * length) * length
    if not steady or length < MIN_SHIFT * noise:
        return None
    alike = np.abs(newer - older) <= MAX_DRIFT * noise
    moved = unmixed(np.where(alike, (older + newer) / 2, newer) - former, mix)
    parts = unmixed(means - former, mix)
    within = np.abs(parts[-1] - parts[-2])  # of the newer half: it may have only just arrived
    arrived = np.abs(unmixed(newer - older, mix)) > 3 * within
    error = np.where(arrived, within / 2, parts.std(axis=0, ddof=1) / math.sqrt(PARTS))
    sure = np.where(np.abs(moved) > SURE * error, moved, 0.0)
    level: Level32 = (former + mixed(sure, mix)).astype(np.float32)
    return level
