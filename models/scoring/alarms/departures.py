"""Follow features scored by frequency that left their usual value until they stand elsewhere.

A feature that hardly moved in training is judged by how rarely it left its usual value
(:mod:`models.scoring.features.standing`), so a new value alarms in every reading. So does the value
of a stuck sensor (:mod:`models.scoring.features.repeats`), which is away while it repeats. A
setpoint changed for good, or a sensor stuck for good, must be one event instead: once enough
readings in a row have brought no value outside those taken since the feature left, these values are
known, and the event is persistent (:mod:`models.scoring.alarms.settling`). A value that keeps
growing has no such end. Noise has: n readings exceed those before them about log n times, so the
wait grows with the time since the last of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.scoring.alarms.events import QUIET
from models.scoring.state_values import check

#: Lowest and highest value of a feature.
Range = tuple[float, float]

#: Maximum number of features followed or known, at some 60 bytes each: a state must fit into 4 KB.
MAX_FOLLOWED: Final = 12
_LARGEST = 1.8e308


@dataclass(slots=True)
class Departure:
    """A feature away from its usual value.

    Attributes
    ----------
    low, high : lowest and highest value since it left.
    steady : readings since the newest that moved either of them, this one included.
    balance : readings away minus readings back at the usual value, at most QUIET.
    """

    low: float
    high: float
    steady: int = 0
    balance: int = 0

    def take(self, value: float) -> None:
        """Add a value away from the usual one."""
        if not self.low <= value <= self.high:
            self.low, self.high, self.steady = min(self.low, value), max(self.high, value), 0
        self.steady += 1
        self.balance = min(self.balance + 1, QUIET)


@dataclass(slots=True)
class Departures:
    """Features away from their usual value, by their number (``Preprocessing.numbers``)."""

    known: dict[int, Departure] = field(default_factory=dict)

    def take(
        self, away: Mapping[int, float], present: Collection[int], limit: int = MAX_FOLLOWED
    ) -> None:
        """Add a reading.

        Parameters
        ----------
        away
            Values of the features that are away from their usual value.
        present
            Features that the reading has; an absent one is neither away nor back.
        limit
            Maximum number of features to follow; further ones are not, and go on alarming.
        """
        for at in [at for at in self.known if at not in away and at in present]:
            self.known[at].balance -= 1
            if self.known[at].balance <= 0:
                del self.known[at]
        for at, value in away.items():
            if at in self.known or len(self.known) < limit:
                self.known.setdefault(at, Departure(value, value)).take(value)

    def steady(self, least: int) -> dict[int, Range]:
        """Return the ranges of the features that stand again, after ``least`` steady readings."""
        return {at: (d.low, d.high) for at, d in self.known.items() if d.steady >= least}

    def forget(self, features: Collection[int]) -> None:
        """Stop following features whose new values are known."""
        for at in features:
            self.known.pop(at, None)

    def to_list(self) -> list[Any]:
        """Return the departures ready for JSON, exactly."""
        return [[at, d.low, d.high, d.steady, d.balance] for at, d in self.known.items()]

    @classmethod
    def from_list(cls, data: Any) -> Departures:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a list of departures.
        """
        out = cls()
        for at, low, high, steady, balance in list(data or ())[:MAX_FOLLOWED]:
            check("departures", (at, steady, balance), (0, 2**31))
            ((number, kept),) = read_ranges([[at, low, high]]).items()
            out.known[number] = Departure(*kept, int(steady), int(balance))
        return out


def read_ranges(data: Any) -> dict[int, Range]:
    """Read [feature, low, high] of each entry.

    Raises
    ------
    ValueError, TypeError
        ``data`` is not a list of such entries.
    """
    out: dict[int, Range] = {}
    for at, low, high in list(data or ())[:MAX_FOLLOWED]:
        check("departures", (at,), (0, 2**31))
        check("departures", (low, high), (-_LARGEST, _LARGEST))
        out[int(at)] = (float(low), float(high))
    return out
