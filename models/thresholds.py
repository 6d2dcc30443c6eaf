"""Adaptive state of one stream: smoothing, the tail that follows the stream, recovery.

All of it works on ``m``, the maximum of the fast and the smoothed magnitude in decades of rarity,
and none of it knows the false-alarm budget: the same readings get the same score on every asset.

The tail follows the stream by one factor, the *stretch*: ``p = tail(m / stretch)``. Its logarithm
tracks a high quantile of ``m`` by stochastic approximation (Robbins & Monro 1951): up by
``rate * (1 - q)`` when the reading lies above, down by ``rate * q`` when it lies below. A step
does not depend on how far above, so influence is capped. Readings beyond the gate (``p`` below
GATE) are left out, which alone would ratchet the tail down for ever: what is left out must be
accounted for. They therefore count as "above" as well, as long as there are not more of them
than normal operation explains: each is paid for with a token, and tokens come in at a small
multiple of the gate's own probability. A lasting fault runs out of tokens at once and moves
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.calibration import threshold_of
from models.combination import Calibration

#: Budgets by criticality of the asset, false alarms per reading.
BUDGETS: Final = {"critical": 1e-2, "high": 10**-2.5, "medium": 1e-3, "low": 1e-4}
#: ``log10 p`` beyond which a reading teaches nothing.
GATE: Final = -2.0
#: ``log10`` of the share of readings above the quantile that is tracked.
HIGH: Final = -1.0
#: Half-life of the smoothing, in readings.
HALF_LIFE: Final = 15.0
ALPHA: Final = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
#: The smoothed magnitude is fed with at most this many decades (p = 1e-5).
CLIP: Final = 5.0
#: An excursion ends below this share of its peak, which fades with its own half-life.
RECOVERY: Final = 0.35
PEAK_HALF_LIFE: Final = 200.0
PEAK_DECAY: Final = 0.5 ** (1.0 / PEAK_HALF_LIFE)

_TOKEN_RATE = 3.0 * 10.0**GATE
_TOKENS = 20.0
_SHARE = 10.0**HIGH


@dataclass(frozen=True)
class Policy:
    """How the service is to judge; settings of the whole installation.

    Parameters
    ----------
    budgets : false alarms per reading by criticality of the asset.
    adaptation : whether each stream's tail follows the stream.
    event_silence_s : an event ends after so long without an anomaly.
    accept_shift : whether a persistent shift becomes the new normal; None: as the model set says
        (never where drift is the fault).
    gap_factor, gap_s : a pause longer than ``gap_factor`` training intervals, or ``gap_s`` where
        given, restarts the window.
    """

    budgets: Mapping[str, float] = field(default_factory=lambda: dict(BUDGETS))
    adaptation: bool = True
    event_silence_s: float = 3600.0
    accept_shift: bool | None = None
    gap_factor: float = 20.0
    gap_s: float | None = None

    def threshold(self, criticality: str) -> float:
        """The score at which an asset of this criticality alarms."""
        return threshold_of(self.budgets.get(criticality, self.budgets["medium"]))


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How far and how fast a tail may follow its stream; part of a model set.

    Parameters
    ----------
    rate : step of the logarithm of the stretch per reading; 0: the tail stays.
    least, most : bounds of the stretch.
    """

    rate: float = 0.01
    least: float = 0.7
    most: float = 4.0


class Follower:
    """The budget-free state of one stream; ``step`` is the whole of the adaptation."""

    __slots__ = ("log_stretch", "peak", "slow", "tokens")

    def __init__(
        self, slow: float, log_stretch: float = 0.0, tokens: float = _TOKENS, peak: float = 0.0
    ) -> None:
        self.slow = slow
        self.log_stretch = log_stretch
        self.tokens = tokens
        self.peak = peak

    def step(self, fast: float, cal: Calibration, how: Adaptation | None) -> tuple[float, float]:
        """Take in one reading.

        Parameters
        ----------
        fast : its combined magnitude in decades.
        cal : calibration of the detectors present.
        how : None leaves the tail where it is.

        Returns
        -------
        (m, u) : the magnitude, and the same divided by the stretch.
        """
        slow = self.slow + ALPHA * ((fast if fast < CLIP else CLIP) - self.slow)
        smooth = cal.shift + cal.gain * slow
        m = fast if fast > smooth else smooth
        if self.peak > 0.0:
            self.peak *= PEAK_DECAY
            if m > self.peak:
                self.peak = m
            elif m < RECOVERY * self.peak:
                self.peak = 0.0
                slow = cal.median
        self.slow = slow
        if how is None:
            if self.peak == 0.0 and m > cal.gate:
                self.peak = m
            return m, m
        u = m / math.exp(self.log_stretch)
        if u > cal.gate:
            if self.peak == 0.0:
                self.peak = m
            if self.tokens >= 1.0:
                self.tokens -= 1.0
                self._move((1.0 - _SHARE) * how.rate, how)
        else:
            if self.tokens < _TOKENS:
                self.tokens += _TOKEN_RATE
            self._move(how.rate * (1.0 - _SHARE if u > cal.high else -_SHARE), how)
        return m, u

    def _move(self, by: float, how: Adaptation) -> None:
        moved = self.log_stretch + by
        self.log_stretch = min(max(moved, math.log(how.least)), math.log(how.most))

    def pause(self, median: float) -> None:
        """After a gap: what was smooth before says nothing about now."""
        self.slow = median
        self.peak = 0.0

    def to_list(self) -> list[float]:
        """JSON-ready, exact."""
        return [self.slow, self.log_stretch, self.tokens, self.peak]

    @classmethod
    def from_list(cls, data: Any) -> Follower:
        """What :meth:`to_list` gave."""
        return cls(*map(float, data))
