"""Adaptive state of one stream: smoothing, the tail that follows the stream, recovery.

All of it works on ``m``, the maximum of the swift and the slow magnitude in decades of rarity: the
combined magnitude smoothed over a reading or two, where most of what is a fault lasts and most of
what is chance does not, and over some twenty, where weak faults rise that last. ``m`` is
in decades,
and none of it knows the false-alarm budget: the same readings get the same score on every asset.

The tail follows the stream by an offset and a stretch: ``p = tail((m - offset) / stretch)``. Both
track a quantile by stochastic approximation (Robbins & Monro 1951): the stretch moves up by
``rate * 0.9`` when a reading lies above the 90 % quantile and down by ``rate * 0.1`` when it lies
below; the offset does the same at the median. A step does not depend on how far above, so
influence is capped. Readings beyond the gate (``p`` below GATE) are left out, which alone would
ratchet the tail down for ever: what is left out must be accounted for. They therefore count as
"above" as well, as long as there are not more of them than normal operation explains: each is
paid for with a token, and tokens come in at a small multiple of the gate's own probability. A
lasting fault runs out of tokens at once and moves nothing.

Where a new stream stands among its group is not known: its first readings say so. For the first
``start`` of them nothing is left out and the offset moves in steps that fall as 1 / n, by at most
about 0.6 decades in all.

An excursion beyond the gate has a peak. When the level falls below RECOVERY times the peak the
stream has recovered: what remains is not smoothed into a new alarm until the peak, which fades,
is gone, and the tail may follow the level the stream came back to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.scoring.calibration import Calibration
from models.scoring.incidents import AT_ONCE, INCIDENT_BUDGETS, BurstRates, OpeningRule
from models.scoring.tail import threshold_of

#: Budgets by criticality of the asset, false alarms per reading.
BUDGETS: Final = {"critical": 1e-2, "high": 10**-2.5, "medium": 1e-3, "low": 1e-4}
#: ``log10 p`` beyond which a reading teaches nothing.
GATE: Final = -2.0
#: ``log10`` of the share of readings above the quantile that is tracked.
HIGH: Final = -1.0
#: Half-life of the smoothing, in readings.
HALF_LIFE: Final = 20.0
ALPHA: Final = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
#: The smoothed magnitude is fed with at most this many decades (p = 1e-5).
CLIP: Final = 5.0
#: The smoothed magnitude lies at most this many times the last few readings' above its median: what
#: is over must not ring on (alarms after a simulated fault: 24 readings instead of 42).
RINGING: Final = 1.7
QUICK_ALPHA: Final = 1.0 - 0.5 ** (1.0 / 4.0)
#: The level that tells an excursion's peak is fed with at most this many, so that a single absurd
#: reading has no lasting peak.
LEVEL_CLIP: Final = 10.0
#: An excursion ends below this share of its peak, which fades with its own half-life.
RECOVERY: Final = 1.0 / 3.0
PEAK_HALF_LIFE: Final = 800.0
PEAK_DECAY: Final = 0.5 ** (1.0 / PEAK_HALF_LIFE)

#: A magnitude that is not known yet; known ones are not negative.
UNSET: Final = -1.0

_TOKEN_RATE = 3.0 * 10.0**GATE
_TOKENS = 20.0
_SHARE = 10.0**HIGH
_FIRST = 10.0  # the first step is a 2 * _FIRST-th of the stretch


@dataclass(frozen=True)
class ScoringPolicy:
    """How the service is to judge; settings of the whole installation.

    Parameters
    ----------
    budgets : false alarms per reading by criticality of the asset.
    adaptation : whether each stream's tail follows the stream.
    event_silence_s : an event ends after so long without an anomaly.
    accept_shift_after : readings without a break beyond the gate, alarming all the while, after
        which a persistent shift becomes the new normal; 0: never.
    gap_factor, gap_s : a pause longer than ``gap_factor`` training intervals, or ``gap_s`` where
        given, restarts the window.
    incident_budgets : false incidents per asset and month by criticality of the asset.
    incident_at_once : share of these that may open at once; 0: all wait for the on-delay.
    """

    budgets: Mapping[str, float] = field(default_factory=lambda: dict(BUDGETS))
    adaptation: bool = True
    event_silence_s: float = 7200.0
    accept_shift_after: int = 0
    gap_factor: float = 20.0
    gap_s: float | None = None
    incident_budgets: Mapping[str, float] = field(default_factory=lambda: dict(INCIDENT_BUDGETS))
    incident_at_once: float = AT_ONCE

    def threshold(self, criticality: str) -> float:
        """Return the score at which an asset of this criticality alarms."""
        return threshold_of(self._budget(criticality))

    def opening_rule(
        self, rates: BurstRates | None, criticality: str, raised: float = 0.0
    ) -> OpeningRule | None:
        """Return what opens an incident of such an asset; None, without rates: every event does.

        ``raised`` is by how many decades more rare peaks must be than the budget asks.
        """
        if rates is None:
            return None
        usual = self.incident_budgets["medium"]
        budget = self.incident_budgets.get(criticality, usual)
        level = -math.log10(self._budget(criticality))
        return rates.rule(level, budget, self.incident_at_once, raised)

    def _budget(self, criticality: str) -> float:
        return self.budgets.get(criticality, self.budgets["medium"])


@dataclass(frozen=True, slots=True)
class AdaptationParams:
    """How far and how fast a tail may follow its stream; part of a model set.

    Parameters
    ----------
    rate : step of the logarithm of the stretch per reading; 0: the tail stays.
    pace : step of the offset, as a multiple of the stretch's.
    least, most : bounds of the stretch; ``furthest`` that of the offset, in decades.
    start : readings in which a new stream finds its place.
    """

    rate: float = 0.005
    pace: float = 0.6
    least: float = 0.7
    most: float = 6.0
    furthest: float = 10.0
    start: int = 100

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON.

        The keys are those of stored bundles, whatever the attributes are called.
        """
        return {
            "rate": self.rate, "pace": self.pace, "least": self.least, "most": self.most,
            "furthest": self.furthest, "start": self.start,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AdaptationParams:
        """Read what :meth:`to_dict` returned; a key that is absent has its default."""
        usual = cls()
        return cls(
            rate=data.get("rate", usual.rate),
            pace=data.get("pace", usual.pace),
            least=data.get("least", usual.least),
            most=data.get("most", usual.most),
            furthest=data.get("furthest", usual.furthest),
            start=data.get("start", usual.start),
        )


class AdaptiveTail:
    """The budget-free state of one stream; ``step`` is the whole of the adaptation."""

    __slots__ = (
        "age", "beyond", "level", "log_stretch", "offset", "peak", "quick", "slow", "swift",
        "tokens",
    )  # fmt: skip

    def __init__(
        self,
        slow: float,
        log_stretch: float = 0.0,
        tokens: float = _TOKENS,
        peak: float = 0.0,
        level: float = 0.0,
        offset: float = 0.0,
        beyond: int = 0,
        age: int = 0,
        quick: float | None = None,
        swift: float = UNSET,
    ) -> None:
        self.slow = slow
        self.swift = swift
        self.quick = slow if quick is None else quick
        self.level = level
        self.offset = offset
        self.beyond = int(beyond)
        self.age = int(age)
        self.log_stretch = log_stretch
        self.tokens = tokens
        self.peak = peak

    def step(
        self, fast: float, cal: Calibration, how: AdaptationParams | None, accept: int = 0
    ) -> tuple[float, float]:
        """Take in one reading.

        Parameters
        ----------
        fast : its combined magnitude in decades.
        cal : calibration of the detectors present.
        how : None leaves the tail where it is.
        accept : readings in a row beyond the gate after which these are the new normal; 0: never.

        Returns
        -------
        (m, u) : the magnitude, and the same less the offset, over the stretch.
        """
        self.level += ALPHA * ((fast if fast < LEVEL_CLIP else LEVEL_CLIP) - self.level)
        clipped = fast if fast < CLIP else CLIP
        self.quick += QUICK_ALPHA * (clipped - self.quick)
        self.slow += ALPHA * (clipped - self.slow)
        most = cal.median + RINGING * self.quick
        if self.slow > most:
            self.slow = most
        recovered = self.peak > 0.0 and self._recovered(cal)
        smooth = cal.shift + cal.gain * self.slow
        swift = fast
        if cal.swiftness < 1.0:
            if self.swift >= 0.0:
                swift = self.swift + cal.swiftness * (fast - self.swift)
            self.swift = swift
        m = swift if swift > smooth else smooth
        if m > cal.gate and self.peak == 0.0:
            self.peak = self.level
        if how is None:
            return m, m
        stretch = math.exp(self.log_stretch)
        u = self.relative(m, cal)
        young = self.age < how.start
        self.age += young
        if u > cal.gate and not recovered and not young:
            self.beyond += 1
            if accept and self.beyond > accept:
                self.offset = max(m - cal.middle * stretch, 0.0)
                self.beyond = 0
            elif self.tokens >= 1.0:
                self.tokens -= 1.0
                self._move((1.0 - _SHARE) * how.rate, 0.5 * how.rate * how.pace * stretch, how)
        else:
            self.beyond = 0
            if self.tokens < _TOKENS:
                self.tokens += _TOKEN_RATE
            up = how.rate * (1.0 - _SHARE if u > cal.high else -_SHARE)
            pace = how.rate * how.pace
            if young:
                pace = max(pace, 0.5 / (_FIRST + self.age))
            self._move(up, pace * stretch * (0.5 if u > cal.middle else -0.5), how)
        return m, u

    def relative(self, m: float, cal: Calibration) -> float:
        """Return a magnitude as the tail sees it now: less the offset, over the stretch.

        Beyond the gate what is further is further by as much, whatever the stretch: how far a
        fault lies is not told by how noisy the stream has been.
        """
        above = m - self.offset
        stretch = math.exp(self.log_stretch)
        if not cal.local or above <= cal.gate * stretch:
            return above / stretch
        return cal.gate + above - cal.gate * stretch

    def _recovered(self, cal: Calibration) -> bool:
        """Follow the excursion's peak; whether the stream has come back from it.

        Until the peak has faded, what is left of the excursion is not smoothed into a new one.
        """
        self.peak *= PEAK_DECAY
        if self.level > self.peak:
            self.peak = self.level
        line = RECOVERY * self.peak
        if self.level >= line:
            return False
        self.slow = cal.median
        if line < cal.high:
            self.peak = 0.0
        return True

    def _move(self, by: float, along: float, how: AdaptationParams) -> None:
        moved = self.log_stretch + by
        self.log_stretch = min(max(moved, math.log(how.least)), math.log(how.most))
        # an accepted shift may lie beyond the bound, and then only shrinks
        most = max(how.furthest, self.offset)
        self.offset = min(max(self.offset + along, 0.0), most)

    def pause(self, median: float) -> None:
        """After a gap: what was smooth before says nothing about now."""
        self.slow = self.quick = self.level = median
        self.swift = UNSET
        self.peak = 0.0

    def settle_again(self) -> None:
        """After maintenance: find the stream's place as a new stream's is found."""
        self.age = 0

    def to_list(self) -> list[float]:
        """Return it ready for JSON, exactly."""
        known = [
            self.slow, self.log_stretch, self.tokens, self.peak, self.level, self.offset,
            self.beyond, self.age, self.quick,
        ]  # fmt: skip
        return known if self.swift < 0.0 else [*known, self.swift]

    @classmethod
    def from_list(cls, data: Any) -> AdaptiveTail:
        """Read what :meth:`to_list` returned, or the beginning of it.

        Raises
        ------
        ValueError, TypeError
            Too short, not numbers, or not numbers that a follower can have.
        """
        values = list(data)[: len(_RANGES)]
        for value, (name, (least, most)) in zip(values, _RANGES.items(), strict=False):
            if isinstance(value, bool) or not least <= value <= most:
                raise ValueError(f"tail: {name} {value!r:.40} lies outside {least:g}..{most:g}")
        return cls(*values)


#: What each number of a stored tail can be, in their order. Wide: they keep what is computed from
#: them finite; how far a tail may move is the model set's ``adaptation``.
_RANGES: Final = {
    "slow": (-1e3, 1e3),
    "log_stretch": (-20.0, 20.0),
    "tokens": (-1.0, 1e3),
    "peak": (-1e3, 1e3),
    "level": (-1e3, 1e3),
    "offset": (-1e30, 1e30),
    "beyond": (0, 2**53),
    "age": (0, 2**53),
    "quick": (-1e3, 1e3),
    "swift": (-1.0, 1e300),
}
