"""Decide when an event opens an incident.

A false-alarm budget per reading says little to a person: one in a thousand is 86 alarms per day
at one reading per second. Incidents therefore have a budget per ASSET-month. Within an event,
anomalies at most :data:`APART` readings apart form a *burst*. An incident opens

- at once, if a burst's peak is rarer than ``at_once``, which a share of the budget pays for;
- otherwise after the on-delay: a burst with ``on_delay`` anomalies and a peak of at least ``peak``.

Rarity is ``-log10 p``, unclipped. :class:`BurstRates` holds how often normal readings meet either
condition, fitted out of fold by :mod:`models.fitting.calibration.burst_rates`. The rates do not
depend on the budgets, so changing a budget needs no new fit. An event opens at most one incident.
For a model set without rates, every event opens one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np

from models.scoring.state_values import check
from models.scoring.stored import Stored

#: False incidents per asset and month (30 days) by criticality of the asset.
INCIDENT_BUDGETS: Final = {"critical": 4.0, "high": 2.0, "medium": 1.0, "low": 0.25}
#: Share of the budget for incidents that open at once. Small: single extremes are where
#: extrapolation is least to be trusted, and faults last.
AT_ONCE: Final = 0.1
MONTH_S: Final = 30 * 86_400.0
#: Decades by which each reported false alarm raises the asset's incident thresholds, and the
#: maximum of their sum. Four reports ask for peaks a hundred times rarer; rarer faults still show.
RAISE: Final = 0.5
MAX_RAISED: Final = 2.0
#: Readings without an anomaly after which a burst is over: half the smoothing's half-life.
APART: Final = 10
#: Smallest ``-log10 p`` that counts for the on-delay, whatever the alarm threshold: bursts are
#: fitted above this level (the gate of the adaptation).
MIN_LEVEL: Final = 2.0
#: Alarm levels (``-log10 p``) at which the rates are stored.
LEVELS: Final = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
#: ``log10`` of bursts per reading at which peak rarities are stored. In plants: from several a
#: month at one reading an hour to one in ten years at 10 Hz.
RATES: Final = tuple(-2.0 - 0.5 * k for k in range(17))

_MAX_RULES: Final = 1000  # solved rules that are cached

AT_ONCE_WHY: Final = "at_once"
LASTING_WHY: Final = "on_delay"
EVENT_WHY: Final = "event"


@dataclass(frozen=True, slots=True)
class OpeningRule:
    """Minimum for a burst to open an incident: rarities as ``-log10 p``, on-delay in anomalies."""

    on_delay: int
    peak: float
    at_once: float


@dataclass(frozen=True, slots=True)
class BurstRates(Stored):
    """Rates of normal bursts by the rarity of their peak.

    Parameters
    ----------
    single : (RATES,) ``-log10 p`` that burst peaks exceed at each rate per reading.
    on_delay : minimum number of anomalies of a lasting burst.
    lasting : (LEVELS, RATES) the same, for bursts with ``on_delay`` anomalies at each level.
    interval_s : seconds between the group's readings.
    streams : streams per asset; they share its budget.
    known : ``log10`` of the smallest rate that the sample shows; smaller ones are extrapolated.

    Raises
    ------
    ValueError
        ``single`` or ``lasting`` do not match RATES and LEVELS.
    """

    KEYS: ClassVar = ("single", "on_delay", "lasting", "interval_s", "streams", "known")

    single: tuple[float, ...]
    on_delay: int
    lasting: tuple[tuple[float, ...], ...]
    interval_s: float
    streams: float
    known: float
    _rules: dict[tuple[float, ...], OpeningRule] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if [len(row) for row in (self.single, *self.lasting)] != [len(RATES)] * (1 + len(LEVELS)):
            raise ValueError("incidents: not as many figures as levels and rates")

    def rule(self, level: float, budget: float, at_once: float, raised: float = 0.0) -> OpeningRule:
        """Return the rule that keeps a budget.

        Parameters
        ----------
        level : alarm threshold of readings, as ``-log10 p``.
        budget : false incidents per asset and month.
        at_once : share of the budget for incidents that open at once; 0: all wait.
        raised : decades added to the required peaks.
        """
        key = (level, budget, at_once, raised)
        found = self._rules.get(key)
        if found is None:
            if len(self._rules) >= _MAX_RULES:
                self._rules.clear()
            found = self._solve(max(level, MIN_LEVEL), budget, at_once)
            if raised:
                found = OpeningRule(found.on_delay, found.peak + raised, found.at_once + raised)
            self._rules[key] = found
        return found

    def _solve(self, level: float, budget: float, at_once: float) -> OpeningRule:
        rate = self._rate(budget)
        single = _at(rate, self.single)
        if self.on_delay <= 1:
            return OpeningRule(1, single, single)
        severe = _at(rate + math.log10(at_once), self.single) if at_once > 0 else math.inf
        if at_once >= 1:
            return OpeningRule(1, severe, severe)
        share = rate + math.log10(1.0 - at_once)
        by_level = [_at(share, row) for row in self.lasting]
        peak = float(np.interp(level, LEVELS, by_level))
        return OpeningRule(self.on_delay, min(peak, severe), severe)

    def stricter(self, other: BurstRates) -> BurstRates:
        """Return the stricter of two rates: the larger rarity of each pair."""
        pairs = zip(self.lasting, other.lasting, strict=True)
        return replace(
            self,
            single=tuple(map(max, self.single, other.single)),
            on_delay=max(self.on_delay, other.on_delay),
            lasting=tuple(tuple(map(max, mine, theirs)) for mine, theirs in pairs),
            known=max(self.known, other.known),
            _rules={},
        )

    def extrapolated(self, budget: float) -> bool:
        """Return whether the budget's rate is more than ten times rarer than the sample shows."""
        return self._rate(budget) < self.known - 1.0

    def _rate(self, budget: float) -> float:
        """Convert a budget to ``log10`` of bursts per reading of one stream."""
        return math.log10(budget * self.interval_s / (MONTH_S * self.streams))


def _at(rate: float, rarities: Sequence[float]) -> float:
    """Return the rarity exceeded at a rate, interpolated between RATES.

    Beyond the last rate, each decade of rate adds one decade of rarity.
    """
    inside = float(np.interp(-rate, [-r for r in RATES], rarities))
    return inside + max(RATES[-1] - rate, 0.0)


def raised_by(false_alarms: int, step: float = RAISE, limit: float = MAX_RAISED) -> float:
    """Return the decades by which reported false alarms raise an asset's incident thresholds.

    Parameters
    ----------
    false_alarms
        Number recently reported for the asset.
    step
        Decades per false alarm.
    limit
        Maximum of the sum, in decades.
    """
    return min(step * false_alarms, limit)


@dataclass(slots=True)
class Burst:
    """Current burst of an open event.

    Attributes
    ----------
    event : id of the event.
    hits : anomalies in the burst so far.
    quiet : consecutive readings since the last anomaly.
    peak : largest ``-log10 p`` of the burst.
    opened : when the event's incident opened (ISO 8601); None if it has not.
    """

    event: str
    hits: int = 0
    quiet: int = 0
    peak: float = 0.0
    opened: str | None = None

    def take(
        self, rarity: float, counts: bool, at: datetime, rule: OpeningRule | None
    ) -> dict[str, Any]:
        """Add one reading of the event; return the incident entry for its metadata.

        Parameters
        ----------
        rarity : ``-log10 p`` of the reading.
        counts : whether the reading is an anomaly.
        at : time of the reading.
        rule : what opens an incident; None: the event's first anomaly does.
        """
        if not counts:
            self.quiet += 1
            return self._opening()
        if self.quiet > APART:
            self.hits, self.peak = 0, 0.0
        self.quiet = 0
        self.hits += rule is None or rarity >= MIN_LEVEL
        self.peak = max(self.peak, rarity)
        why = self._why(rule) if self.opened is None else None
        if why is None:
            return self._opening()
        self.opened = at.isoformat()
        opening = {**self._opening(), "why": why, "peak_log10_p": round(-self.peak, 3)}
        if rule is not None:
            needed = rule.at_once if why == AT_ONCE_WHY else rule.peak
            opening["needed_log10_p"] = round(-needed, 3)
        return opening

    def _opening(self) -> dict[str, Any]:
        """Return whether and when the event's incident opened."""
        return {"opens": self.opened is not None, "at": self.opened}

    def _why(self, rule: OpeningRule | None) -> str | None:
        if rule is None:
            return EVENT_WHY
        if self.peak >= rule.at_once:
            return AT_ONCE_WHY
        return LASTING_WHY if self.hits >= rule.on_delay and self.peak >= rule.peak else None

    def restart(self) -> dict[str, Any]:
        """Clear the burst: suppressed readings must never help to open an incident."""
        self.hits, self.quiet, self.peak = 0, 0, 0.0
        return self._opening()

    def to_list(self) -> list[Any]:
        """Return the burst ready for JSON, exactly."""
        return [self.event, self.hits, self.quiet, self.peak, self.opened]

    @classmethod
    def from_list(cls, data: Any) -> Burst:
        """Read what :meth:`to_list` returned.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a stored burst.
        """
        event, hits, quiet, peak, opened = list(data)[:5]
        if not isinstance(event, str) or not (opened is None or isinstance(opened, str)):
            raise ValueError("incident: event and opening are not text")
        if opened is not None:
            datetime.fromisoformat(opened)
        check("incident", (hits, quiet, peak), (0, 1e300))
        return cls(event, int(hits), int(quiet), float(peak), opened)
