"""Seasonality: each reading is compared with what is usual at its time of the day, or week.

Many machines follow the clock: shifts, nightly jobs, the temperature outside. A value that is
normal at noon may be a fault at night. A season is a profile of each feature over its period, as
deviations from the stream's own level. It is subtracted from each reading::

    x' = x - profile(time of the reading)

All later steps (scales, baselines, levels, windows) know deviations from the profile only. Between
the profile's points, which divide the period evenly, values are interpolated linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

import numpy as np

from models.arrays import Floats
from models.scoring.stored import Stored

UTC: Final = "UTC"
#: Periods in seconds, with their names.
PERIODS: Final = {86_400.0: "day", 7 * 86_400.0: "week"}
_QUARTER: Final = 900  # seconds; clocks are put forward or back at full quarters of an hour


@dataclass(frozen=True, slots=True, eq=False)
class Season(Stored):
    """One period's profile.

    Parameters
    ----------
    period : length in seconds; the first begins at 1970-01-01 00:00 of the local clock.
    profile : (k, d) deviations of d features at k points that divide the period evenly, own units.
    first : phase of the first point, in k-ths of the period.
    """

    KEYS: ClassVar = ("period", "profile", "first")

    period: float
    profile: Floats
    first: float = 0.5

    def offsets(self, seconds: Floats) -> Floats:
        """Return the profile (n, d) at local times (n,), by :func:`local_seconds`."""
        count = len(self.profile)
        phase = np.mod(seconds, self.period) * (count / self.period) - self.first
        before = np.floor(phase).astype(np.intp)
        share = (phase - before)[:, None]
        earlier, later = self.profile[before % count], self.profile[(before + 1) % count]
        out: Floats = earlier + share * (later - earlier)
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Seasonality(Stored):
    """The seasons of one group; their profiles add up.

    Parameters
    ----------
    seasons : one per period.
    zone : IANA time zone of the clock that they follow.
    """

    KEYS: ClassVar = ("seasons", "zone")

    seasons: tuple[Season, ...]
    zone: str = UTC

    def offsets(self, seconds: Floats) -> Floats:
        """Return what is usual (n, d) at times (n,) in seconds since 1970, less the level."""
        local = local_seconds(seconds, self.zone)
        out = self.seasons[0].offsets(local)
        for season in self.seasons[1:]:
            out = out + season.offsets(local)
        return out

    def described(self) -> list[str]:
        """Return the names of the periods: ``day``, ``week``."""
        return [PERIODS[season.period] for season in self.seasons]

    def of(self, columns: Sequence[int]) -> Seasonality:
        """Return the seasons restricted to some columns."""
        kept = tuple(replace(s, profile=s.profile[:, columns]) for s in self.seasons)
        return Seasonality(kept, self.zone)


def local_seconds(seconds: Floats, zone: str) -> Floats:
    """Return what the clock of a zone shows at times (n,): seconds since its 1970-01-01 00:00."""
    if zone == UTC:
        return seconds
    quarters, which = np.unique(seconds // _QUARTER, return_inverse=True)
    ahead = [_ahead(int(quarter), zone) for quarter in quarters.tolist()]
    out: Floats = seconds + np.array(ahead)[which]
    return out


@lru_cache(maxsize=1 << 16)
def _ahead(quarter: int, zone: str) -> float:
    """Return the seconds by which a zone's clock is ahead of UTC in a quarter of an hour."""
    offset = datetime.fromtimestamp(quarter * _QUARTER, ZoneInfo(zone)).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()
