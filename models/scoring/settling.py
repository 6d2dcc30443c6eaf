"""Settle a stream at a new level after a lasting shift.

A lasting shift beyond the gate must be one event. An alarm per reading for ever would hide the next
fault. A *stretch* is a run of readings most of which lie beyond the gate; it ends when up to QUIET
more readings lie within the gate than beyond. When two consecutive halves of its newest readings
have the same mean, the stream *settles* at that level. From the next reading on, the detectors see
each reading relative to its nearest level, new or former, so a further fault is detected as well
as the first. The event is then *persistent* and ends when the stream returns to a former level.

The policy sets how many readings settling takes. The two halves are compared after every further
quarter of that number, so the exact start of the stretch matters little. To settle, the level must
lie at least MIN_SHIFT standard deviations from the former level. Between the halves it may move
by at most MAX_DRIFT standard deviations or by the share SAME of the shift: a large shift that
recedes very slowly still settles. The standard deviation is the stretch's own. A fault that keeps
growing, or that only raises the noise, has no level and keeps alarming; so does a shift beyond
MAX_LEVELS. Distances are between scaled, decorrelated rows. Nothing here depends on the budget, so
the score does not either.

Features that stood still in training are not in these rows. They settle at the values that
:mod:`models.scoring.departures` finds: together with a shift, or as a level of their own whose rows
are those of the level before. Such an event ends when all of them are back at their usual values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.scoring.departures import MAX_FOLLOWED, Departures, Range, read_ranges
from models.scoring.events import MIN_QUIET, QUIET, Event
from models.scoring.level_offsets import LevelOffsets, mixed, unmixed
from models.scoring.state_values import TIMES, check, pack, unpack

Level32 = NDArray[np.float32]

#: Readings of a shift until the stream settles. Its level is then known to a quarter of a standard
#: deviation even if readings are autocorrelated over the smoothing's half-life of 20 (AR(1) with
#: coefficient .966: 1,000 readings are worth 17 independent ones). Shorter faults never settle.
PERSISTENT_AFTER: Final = 1000
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
#: Maximum number of levels that a stream settles at, and of features of one that settles: a state
#: must fit into 4 KB.
MAX_LEVELS: Final = 2
MAX_FEATURES: Final = 80


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


@dataclass(slots=True, eq=False)
class Level:
    """A level that the stream has settled at.

    Attributes
    ----------
    at : (d,) the level, scaled; None: that of training.
    since : when the stream settled (ISO 8601).
    event : its persistent event; None: a person closed the incident, so the level is normal now.
    opened : when the event's incident opened; None if it has not.
    away : readings at a former level since ``left`` (epoch seconds) minus readings at this one.
    stands : values known of features that stood still in training, by their number among those.
    """

    at: Level32 | None
    since: str
    event: Event | None = None
    opened: str | None = None
    away: int = 0
    left: float = 0.0
    stands: dict[int, Range] = field(default_factory=dict)

    def entry(self, state: str = "ongoing") -> dict[str, Any]:
        """Return the level's event for a result's metadata."""
        assert self.event is not None  # noqa: S101
        incident = {"opens": self.opened is not None, "at": self.opened, "persistent": True}
        return {**self.event.entry(state), "persistent": True, "persistent_since": self.since,
                "incident": incident}  # fmt: skip

    def over(self, near: bool, at: float, silence_s: float) -> bool:
        """Count one reading; return whether the stream has returned to a former level.

        The rule is that of any event: MIN_QUIET readings and a silence, or QUIET readings.

        Parameters
        ----------
        near
            Whether the reading is near this level.
        at
            Time of the reading, in seconds since 1970.
        silence_s
            Seconds away from this level that end the event.
        """
        if near:
            self.away = max(self.away - 1, 0)
            return False
        if self.away == 0:
            self.left = at
        self.away += 1
        return self.away >= QUIET or (self.away >= MIN_QUIET and at - self.left > silence_s)

    def to_list(self) -> list[Any]:
        """Return the level ready for JSON, exactly."""
        event = None if self.event is None else self.event.to_list()
        known = [pack(self.at, "<f4"), self.since, event, self.opened, self.away, self.left]
        stands = [[at, *values] for at, values in self.stands.items()]
        return [*known, stands] if stands else known

    @classmethod
    def from_list(cls, data: Any, width: int) -> Level:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a stored level.
        """
        packed, since, event, opened, away, left, stands = [*data, None][:7]
        if packed is None and not stands:
            raise ValueError("levels: a level is missing")
        at = None if packed is None else unpack(packed, "<f4", width)
        for text in (since, opened or since):
            datetime.fromisoformat(text)
        check("levels", (away, left), TIMES)
        kept = None if event is None else Event.from_list(event)
        ranges = read_ranges(stands)
        return cls(at, since, kept, opened, int(away), float(left), ranges)


@dataclass(slots=True)
class Settling:
    """Settled levels of one stream, oldest first, and what may become the next."""

    levels: list[Level] = field(default_factory=list)
    stretch: Stretch = field(default_factory=Stretch)
    departures: Departures = field(default_factory=Departures)

    @property
    def shifted(self) -> bool:
        """Whether a level other than training's is known."""
        return any(level.at is not None for level in self.levels)

    @property
    def newest(self) -> Floats | None:
        """Return the newest level (d,) with rows of its own; None: that of training."""
        known = [level.at for level in self.levels if level.at is not None]
        return known[-1].astype(np.float64) if known else None

    def room(self, width: int) -> int:
        """Return how many departures a state with rows of ``width`` features has room for."""
        # the rows of levels and stretch fill a state whose width comes near MAX_FEATURES
        most = MAX_FOLLOWED
        if width <= MAX_FEATURES:
            most = min(most, (MAX_FEATURES - width) * 2 // 3)
        return max(most - sum(len(level.stands) for level in self.levels), 0)

    @property
    def active(self) -> bool:
        """Whether a level is known or may become so."""
        return bool(self.levels or self.stretch.balance or self.departures.known)

    def unknown(self, away: Mapping[int, float]) -> dict[int, float]:
        """Return the values, by feature, that no settled level explains."""
        ranges = [level.stands for level in self.levels if level.stands]
        return {
            at: value
            for at, value in away.items()
            if not any(at in r and r[at][0] <= value <= r[at][1] for r in ranges)
        }

    def entries(self, state: str = "ongoing") -> list[dict[str, Any]]:
        """Return the persistent events for a result's metadata, newest first."""
        return [level.entry(state) for level in reversed(self.levels) if level.event is not None]

    def centred(self, rows: Floats, offsets: LevelOffsets) -> tuple[Floats, list[int] | None]:
        """Return rows (n, d) relative to their nearest level, and the index (n,) of that level.

        The training level has index -1. It no longer counts once a person declared the oldest
        settled level normal. The indices are None while there is no settled level.

        Parameters
        ----------
        rows : (n, d)
            Scaled rows.
        offsets
            Gives each level as the rows have it.
        """
        if not self.levels:
            return rows, None
        known = [_vector(level.at, rows.shape[1]) for level in self.levels]
        first = 0 if self.levels[0].event is None else -1
        if first < 0:
            known.insert(0, np.zeros(rows.shape[1]))
        relative = np.stack([rows - offsets.of(level) for level in known])
        nearest = (relative**2).sum(axis=2).argmin(axis=0)
        return relative[nearest, np.arange(len(rows))], (nearest + first).tolist()

    def take(
        self, row: Floats, near: int, beyond: bool, part: int, mix: Floats | None,
        lacking: Sequence[int] = (),
    ) -> Level32 | None:  # fmt: skip
        """Add a scaled row (d,) to the stretch; return the level if the stream settles.

        Parameters
        ----------
        row : (d,)
            The scaled reading.
        near
            Index of its nearest level; negative: the training level.
        beyond
            Whether it lies beyond the gate.
        part
            Readings in a part of the stretch; 0 disables settling.
        mix : (d, d)
            Decorrelated the row; None: nothing did.
        lacking
            Features whose values are imputed.
        """
        if len(self.levels) >= MAX_LEVELS or not 0 < len(row) <= MAX_FEATURES or not part:
            return None
        former = _vector(None if near < 0 else self.levels[near].at, len(row))
        return self.stretch.take(row, beyond, part, former, mix, lacking)

    def left(
        self, near: int, at: float, silence_s: float, away: Collection[int] = ()
    ) -> Level | None:
        """Count a reading within the gate; remove and return a level that the stream has left.

        Parameters
        ----------
        near
            Index of the reading's nearest level; negative: the training level.
        at
            Time of the reading, in seconds since 1970.
        silence_s
            Seconds away from a level that end it.
        away
            Features that are away from the value they stood at in training.
        """
        over = [
            level
            for index, level in enumerate(self.levels)
            if level.event is not None
            and level.over(
                (index <= near and level.at is not None) or any(a in level.stands for a in away),
                at, silence_s,
            )
        ]  # fmt: skip
        if not over:
            return None
        self.levels.remove(over[-1])
        return over[-1]

    def close(self, event_ids: Collection[str]) -> list[dict[str, Any]]:
        """Declare the newest level whose event a person closed normal; drop the levels before it.

        Returns
        -------
        Entries of the events that end.
        """
        for index in reversed(range(len(self.levels))):
            event = self.levels[index].event
            if event is not None and event.id in event_ids:
                later = self.levels[index + 1 :]
                self.levels = self.levels[: index + 1]
                ended = self.entries("cleared")
                stands = {at: r for one in self.levels for at, r in one.stands.items()}
                self.levels = [self.levels[index], *later]
                self.levels[0].event = None
                self.levels[0].stands = dict([*stands.items()][-MAX_FOLLOWED:])
                return ended
        return []

    def to_list(self) -> list[Any] | None:
        """Return levels, stretch and departures ready for JSON; None if there are none."""
        stretch, departures = self.stretch.to_list(), self.departures.to_list()
        if not self.levels and stretch is None and not departures:
            return None
        known = [stretch, [level.to_list() for level in self.levels]]
        return [*known, departures] if departures else known

    @classmethod
    def from_list(cls, data: Any, width: int) -> Settling:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not what :meth:`to_list` returns.
        """
        if data is None:
            return cls()
        stretch, levels, departures = [*data, None][:3]
        known = [Level.from_list(one, width) for one in levels][:MAX_LEVELS]
        return cls(known, Stretch.from_list(stretch, width), Departures.from_list(departures))


def _vector(at: Level32 | None, width: int) -> Floats:
    """Return a level (d,), scaled; that of training is 0."""
    return np.zeros(width) if at is None else at.astype(np.float64)
