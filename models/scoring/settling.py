"""Settle a stream at a level that it has shifted to for good.

A shift beyond the gate that lasts is one event, not an alarm per reading for ever that hides what
comes next. Readings most of which lie beyond the gate are a *stretch*, which is over when of late
QUIET more lay within. When two halves in a row of its newest readings have the same level, the
stream *settles* there: from the next reading on each reading is judged at the nearest of its
levels, the new one or a former one, by the detectors as ever, so that a further fault is seen as
well as the first was. The event is *persistent* from then on, and ends when the stream has come
back to a former level.

How many readings that takes says the policy; they are compared each time another quarter of them
is there, so that it matters little when the stretch began. The level has to lie LEAST_SHIFT
standard deviations from where the stream was, and to move by MAX_DRIFT at most from one half to
the other, or by SAME of the way it has come: what went far and comes back by a hair's breadth an
hour is at its new level. The standard deviation is that of the stretch. What goes on growing, or
only scatters more, has no level and goes on alarming; so does what comes on top of MAX_LEVELS.
Distances are those of scaled, decorrelated rows. Nothing here depends on the budget, so the score
does not either.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.scoring.events import LEAST_QUIET, QUIET, Event
from models.scoring.state_values import TIMES, check, pack, unpack

Level32 = NDArray[np.float32]

#: Readings of a shift until the stream settles: its level is then known to a quarter of a standard
#: deviation even where readings resemble one another over the smoothing's half-life of 20 (an
#: autoregression by .966, whose 1,000 readings say as much as 17), and faults that are over
#: within that time never settle.
PERSISTENT_AFTER: Final = 1000
#: Closer to a former level than this it is not known whether the stream has come back.
LEAST_SHIFT: Final = 2.0
MAX_DRIFT: Final = 1.0
#: Share of a shift that its level may move by from one half to the other: what grows on evenly does
#: so only after a hundred halves.
SAME: Final = 0.01
#: Parts that the readings are averaged in, and with each of which the two halves move on.
PARTS: Final = 4
#: Levels a stream may settle at one upon the other, and features they may have: what a state holds
#: in 4 KB.
MAX_LEVELS: Final = 2
WIDEST: Final = 80


@dataclass(slots=True)
class Stretch:
    """Readings beyond the gate that may be a new level.

    Attributes
    ----------
    count, sums : readings of the part in progress, and their sum (d,).
    means : mean (d,) of each part before, PARTS - 1 at most, the newest last.
    scatter : squared distances of the part in progress from the newest mean, summed.
    within : mean squared distance of the newest whole part's readings from their mean.
    balance : readings beyond the gate less those within it, QUIET at most.
    """

    count: int = 0
    sums: Level32 | None = None
    means: list[Level32] = field(default_factory=list)
    scatter: float = 0.0
    within: float = 0.0
    balance: int = 0

    def take(self, row: Floats, beyond: bool, part: int, former: Floats) -> Level32 | None:
        """Take in a scaled row (d,); return the level (d,) that two halves agree on.

        Parameters
        ----------
        beyond : whether it lies beyond the gate.
        part : readings in a part.
        former : (d,) the level that the stream has left.
        """
        self.balance = min(self.balance + 1, QUIET) if beyond else self.balance - 1
        if self.balance <= 0:
            self.__init__()  # type: ignore[misc]
            return None
        # rounded as it is stored, so that no cut of a batch makes a difference
        self.sums = (row if self.sums is None else self.sums + row).astype(np.float32)
        self.count += 1
        if self.means:
            away = row - self.means[-1]
            self.scatter += float(away @ away)
        return self._whole(former) if self.count >= part else None

    def _whole(self, former: Floats) -> Level32 | None:
        """Begin the next part; return the level if this one makes it known."""
        assert self.sums is not None  # noqa: S101
        means = [*self.means, (self.sums / np.float32(self.count)).astype(np.float32)]
        moved = (means[-1] - means[-2] if self.means else means[-1]).astype(np.float64)
        within = max(self.scatter / self.count - float(moved @ moved), 0.0)
        scatter = (self.within + within) / 2 + float(moved @ moved) / 4
        self.__init__(means=means[1 - PARTS :], within=within, balance=self.balance)  # type: ignore[misc]
        return _level(np.array(means, np.float64), scatter, former) if len(means) == PARTS else None

    def to_list(self) -> list[Any] | None:
        """Return it ready for JSON, exactly; None: it is empty."""
        if self.sums is None and not self.means:
            return None
        *older, newest = [pack(mean, "<f4") for mean in self.means] or [None]
        sums = pack(self.sums, "<f4")
        return [self.count, self.balance, self.scatter, sums, newest, older, self.within]

    @classmethod
    def from_list(cls, data: Any, width: int) -> Stretch:
        """Read what :meth:`to_list` returned, or once did, when it ended with the newest mean.

        Raises
        ------
        ValueError, TypeError
            It is not that.
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


def _level(means: Floats, scatter: float, former: Floats) -> Level32 | None:
    """Return the level (d,) of parts whose older and newer half agree on it.

    A feature that moves across the shift is where it is in the newer half: as where one sensor
    stays off and another comes back slowly, the older half is still on its way.

    Parameters
    ----------
    means : (PARTS, d)
        Of each part.
    scatter : mean squared distance of the newer half's readings from their mean.
    former : (d,) the level that the stream has left.
    """
    older, newer = means.reshape(2, PARTS // 2, -1).mean(axis=1)
    shift = newer - former
    length, noise = float(np.linalg.norm(shift)), math.sqrt(scatter / len(shift))
    steady = abs((newer - older) @ shift) <= max(MAX_DRIFT * noise, SAME * length) * length
    if not steady or length < LEAST_SHIFT * noise:
        return None
    alike = np.abs(newer - older) <= MAX_DRIFT * noise
    level: Level32 = np.where(alike, (older + newer) / 2, newer).astype(np.float32)
    return level


@dataclass(slots=True, eq=False)
class Level:
    """A level that the stream has settled at.

    Attributes
    ----------
    at : (d,) scaled.
    since : when it settled (ISO 8601).
    event : the persistent one; None: a person closed its incident, and this is normal now.
    opened : when the event's incident opened; None: it has not.
    away : readings at a former level since ``left`` (epoch seconds), less those that were not.
    """

    at: Level32
    since: str
    event: Event | None = None
    opened: str | None = None
    away: int = 0
    left: float = 0.0

    def entry(self, state: str = "ongoing") -> dict[str, Any]:
        """Return its event as it stands in a result's metadata."""
        assert self.event is not None  # noqa: S101
        incident = {"opens": self.opened is not None, "at": self.opened, "persistent": True}
        return {**self.event.entry(state), "persistent": True, "persistent_since": self.since,
                "incident": incident}  # fmt: skip

    def over(self, near: bool, at: float, silence_s: float) -> bool:
        """Take in whether a reading is ``near`` this level; whether the stream has come back.

        As long as with any event: after some readings and a silence, or many readings.

        Parameters
        ----------
        near
            Whether the reading is near this level.
        at
            Its time, in seconds since 1970.
        silence_s
            Seconds away that end it.
        """
        if near:
            self.away = max(self.away - 1, 0)
            return False
        if self.away == 0:
            self.left = at
        self.away += 1
        return self.away >= QUIET or (self.away >= LEAST_QUIET and at - self.left > silence_s)

    def to_list(self) -> list[Any]:
        """Return it ready for JSON, exactly."""
        event = None if self.event is None else self.event.to_list()
        return [pack(self.at, "<f4"), self.since, event, self.opened, self.away, self.left]

    @classmethod
    def from_list(cls, data: Any, width: int) -> Level:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            It is not that.
        """
        packed, since, event, opened, away, left = list(data)[:6]
        if packed is None:
            raise ValueError("levels: a level is missing")
        at = unpack(packed, "<f4", width)
        for text in (since, opened or since):
            datetime.fromisoformat(text)
        check("levels", (away, left), TIMES)
        kept = None if event is None else Event.from_list(event)
        return cls(at, since, kept, opened, int(away), float(left))


@dataclass(slots=True)
class Settling:
    """The levels of one stream besides its first, oldest first, and what may become one."""

    levels: list[Level] = field(default_factory=list)
    stretch: Stretch = field(default_factory=Stretch)

    def entries(self, state: str = "ongoing") -> list[dict[str, Any]]:
        """Return persistent events as they stand in a result's metadata, newest first."""
        return [level.entry(state) for level in reversed(self.levels) if level.event is not None]

    def centred(self, rows: Floats) -> tuple[Floats, list[int] | None]:
        """Return rows (n, d) from their nearest level on, and which that is (n,); None: the first.

        The first level, where the stream was in training, is -1; it is none any more when the
        oldest of the others is normal now.
        """
        if not self.levels:
            return rows, None
        known = [level.at.astype(np.float64) for level in self.levels]
        first = 0 if self.levels[0].event is None else -1
        if first < 0:
            known.insert(0, np.zeros(rows.shape[1]))
        nearest = np.stack([((rows - level) ** 2).sum(axis=1) for level in known]).argmin(axis=0)
        return rows - np.stack(known)[nearest], (nearest + first).tolist()

    def take(self, row: Floats, near: int, beyond: bool, part: int) -> Level32 | None:
        """Take in a scaled row (d,); return a level that the stream settles at.

        Parameters
        ----------
        row : (d,)
            The scaled reading.
        near
            Index of the level that it is near; negative: the stream's own.
        beyond
            Whether it lies beyond the gate.
        part
            Readings of a part of the stretch; 0: no level is settled at.
        """
        if len(self.levels) >= MAX_LEVELS or len(row) > WIDEST or not part:
            return None
        former = np.zeros(len(row)) if near < 0 else self.levels[near].at.astype(np.float64)
        return self.stretch.take(row, beyond, part, former)

    def left(self, near: int, at: float, silence_s: float) -> Level | None:
        """Take in which level a reading within the gate is at; return one that is left for good.

        Parameters
        ----------
        near
            Index of the level that the reading is near; negative: the stream's own.
        at
            Its time, in seconds since 1970.
        silence_s
            Seconds away that end a level.
        """
        over = [
            level
            for index, level in enumerate(self.levels)
            if level.event is not None and level.over(index <= near, at, silence_s)
        ]
        if not over:
            return None
        self.levels.remove(over[-1])
        return over[-1]

    def close(self, event_ids: Collection[str]) -> list[dict[str, Any]]:
        """Make the newest level normal whose event a person closed; the levels before are gone.

        Returns
        -------
        Entries of the events that end by it.
        """
        for index in reversed(range(len(self.levels))):
            event = self.levels[index].event
            if event is not None and event.id in event_ids:
                later = self.levels[index + 1 :]
                self.levels = self.levels[: index + 1]
                ended = self.entries("cleared")
                self.levels = [self.levels[index], *later]
                self.levels[0].event = None
                return ended
        return []

    def to_list(self) -> list[Any] | None:
        """Return it ready for JSON; None: there is nothing to remember."""
        stretch = self.stretch.to_list()
        if not self.levels and stretch is None:
            return None
        return [stretch, [level.to_list() for level in self.levels]]

    @classmethod
    def from_list(cls, data: Any, width: int) -> Settling:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            It is not that.
        """
        if data is None:
            return cls()
        stretch, levels = list(data)[:2]
        known = [Level.from_list(one, width) for one in levels][:MAX_LEVELS]
        return cls(known, Stretch.from_list(stretch, width))
