"""Settle a stream at a new level after a lasting shift.

A lasting shift beyond the gate must be one event. An alarm per reading for ever would hide the next
fault. When a run of readings beyond the gate, a *stretch*, has a steady mean, the stream *settles*
at that level. From the next reading on, the detectors see each reading relative to its nearest
level, new or former, so a further fault is detected as well as the first. The event is then
*persistent* and ends when the stream returns to a former level.

The policy sets how many readings settling takes; :mod:`models.scoring.alarms.stretch` tells whether
they agree on a level. A fault that has no level keeps alarming; so does a shift beyond MAX_LEVELS.
Nothing here depends on the budget, so the score does not either.

Features that stood still in training are not in these rows, and no row shows that a value repeats.
Such features settle at the values that :mod:`models.scoring.alarms.departures` finds: together with
a shift, or as a level of their own whose rows are those of the level before. Such an event ends
when all of them are back at their usual values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np

from models.arrays import Floats
from models.scoring.alarms.departures import MAX_FOLLOWED, Departures, Range, read_ranges
from models.scoring.alarms.events import MIN_QUIET, QUIET, Event
from models.scoring.alarms.stretch import Level32, Stretch
from models.scoring.features.level_offsets import LevelOffsets
from models.scoring.state_values import TIMES, check, pack, unpack

#: Readings of a shift until the stream settles. Its level is then known to a quarter of a standard
#: deviation even if readings are autocorrelated over the smoothing's half-life of 20 (AR(1) with
#: coefficient .966: 1,000 readings are worth 17 independent ones). Shorter faults never settle.
PERSISTENT_AFTER: Final = 1000
#: Maximum number of levels that a stream settles at, and of features of one that settles: a state
#: must fit into 4 KB.
MAX_LEVELS: Final = 2
MAX_FEATURES: Final = 80


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
    stands : values known of features that are scored by frequency, by number.
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
