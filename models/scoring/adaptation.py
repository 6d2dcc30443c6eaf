"""Adaptive state of one stream: smoothing, recovery, the tail that follows the stream.

Three small objects, each with one ``update`` per reading, and :class:`AdaptiveTail`, which holds
them. None of it knows the false-alarm budget: the same readings get the same score on every asset.

The magnitude ``m`` is the maximum of the swift and the slow one, in decades of rarity
(:class:`Smoother`): smoothed over a reading or two, where most of what is a fault lasts and most
of what is chance does not, and over some twenty, where weak faults rise that last.

An excursion beyond the gate has a peak (:class:`ExcursionTracker`). When the level falls below
RECOVERY times the peak the stream has recovered: what remains is not smoothed into a new alarm
until the peak, which fades, is gone, and the tail may follow the level the stream came back to.

The tail follows the stream by an offset and a stretch, ``p = tail((m - offset) / stretch)``
(:class:`QuantileTracker`). Both track a quantile by stochastic approximation (Robbins & Monro
1951): the stretch moves up by ``rate * 0.9`` when a reading lies above the 90 % quantile and down
by ``rate * 0.1`` when it lies below; the offset does the same at the median. A step does not
depend on how far above, so influence is capped. Readings beyond the gate (``p`` below GATE) are
left out, which alone would ratchet the tail down for ever: what is left out must be accounted
for. They therefore count as "above" as well, as long as there are not more of them than normal
operation explains: each is paid for with a token, and tokens come in at a small multiple of the
gate's own probability. A lasting fault runs out of tokens at once and moves nothing.

A new stream's tail starts with the stretch that the training streams had at their end. Where the
stream stands among its group is not known: its first readings say so. For the first
``start`` of them nothing is left out and the offset moves in steps that fall as 1 / n, by at most
about 0.6 decades in all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from models.scoring.calibration import Calibration
from models.scoring.stored import Stored

#: ``log10 p`` beyond which a reading teaches nothing.
GATE: Final = -2.0
#: ``log10`` of the share of readings above the quantile that is tracked.
HIGH: Final = -1.0
#: Half-life of the smoothing, in readings.
HALF_LIFE: Final = 20.0
ALPHA: Final = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
#: The slow magnitude is fed with at most this many decades (p = 1e-5), and has its gain up to as
#: many: of what lies further out the swift one knows more.
CLIP: Final = 5.0
#: It lies at most this many times as far above its median as the last few readings' average does:
#: what is over must not ring on. Where it does not end, this many times that average above it.
RINGING: Final = 1.7
QUICK_ALPHA: Final = 1.0 - 0.5 ** (1.0 / 4.0)
#: The level that gives an excursion's peak is fed with at most this many, so that a single absurd
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


@dataclass(frozen=True, slots=True)
class AdaptationParams(Stored):
    """How far and how fast a tail may follow its stream; part of a model set.

    Parameters
    ----------
    rate : step of the logarithm of the stretch per reading; 0: the tail stays.
    pace : step of the offset, as a multiple of the stretch's.
    min_stretch, max_stretch : bounds of the stretch; ``max_offset`` that of the offset, in decades.
    start : readings in which a new stream finds its place.
    first_stretch : stretch that a new stream's tail starts with.
    """

    KEYS: ClassVar = (
        "rate", "pace", "min_stretch", "max_stretch", "max_offset", "start", "first_stretch",
    )  # fmt: skip
    STORED_AS: ClassVar = {
        "min_stretch": "least", "max_stretch": "most", "max_offset": "furthest",
    }  # fmt: skip

    rate: float = 0.005
    pace: float = 0.6
    min_stretch: float = 0.7
    max_stretch: float = 6.0
    max_offset: float = 10.0
    start: int = 100
    first_stretch: float = 1.0
    # the bounds' logarithms, which each reading asks for
    log_min_stretch: float = field(init=False, repr=False, compare=False)
    log_max_stretch: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_min_stretch", math.log(self.min_stretch))
        object.__setattr__(self, "log_max_stretch", math.log(self.max_stretch))


@dataclass(slots=True)
class Smoother:
    """The swift and the slow magnitude: the combined one over a reading or two, and some twenty.

    Attributes
    ----------
    slow, quick : averages of half-life 20 and 4. ``slow`` counts up to RINGING times what
        ``quick`` lies above the median.
    swift : the newest swift magnitude; UNSET: none yet.
    """

    slow: float
    quick: float
    swift: float = UNSET

    def update(self, fast: float, cal: Calibration, held: bool) -> float:
        """Take in a reading's combined magnitude; return the larger of swift and slow.

        Parameters
        ----------
        fast
            The magnitude, in decades.
        cal
            Gives the median and the weight of the newest reading.
        held
            Keep the slow one at its median: what is left of an excursion is no alarm.
        """
        swift = fast
        if cal.swiftness < 1.0:
            if self.swift >= 0.0:
                swift = self.swift + cal.swiftness * (fast - self.swift)
            self.swift = swift
        clipped = fast if fast < CLIP else CLIP
        self.quick += QUICK_ALPHA * (clipped - self.quick)
        slow = self.slow + ALPHA * (clipped - self.slow)
        if not cal.ends:
            ceiling = cal.median + RINGING * self.quick
            self.slow = cal.median if held else slow if slow < ceiling else ceiling
            smooth = cal.shift + cal.gain * self.slow
        else:
            self.slow = slow = cal.median if held else slow
            ceiling = cal.median
            if self.quick > cal.median:
                ceiling += RINGING * (self.quick - cal.median)
            if slow > ceiling:
                slow = ceiling
            smooth = cal.shift + cal.gain * slow
            if smooth > CLIP:
                smooth = CLIP + (smooth - CLIP) / cal.gain
        return swift if swift > smooth else smooth


@dataclass(slots=True)
class ExcursionTracker:
    """The stretch beyond the gate that the stream is in, or comes back from.

    Attributes
    ----------
    level : average magnitude of half-life 20, each clipped at LEVEL_CLIP.
    peak : highest level of the excursion, fading; 0: there is none.
    """

    level: float = 0.0
    peak: float = 0.0

    def update(self, fast: float, cal: Calibration) -> bool:
        """Take in a reading's combined magnitude; whether the stream has come back from the peak.

        Until the peak has faded, what is left of the excursion is not smoothed into a new one.
        """
        self.level += ALPHA * ((fast if fast < LEVEL_CLIP else LEVEL_CLIP) - self.level)
        if self.peak == 0.0:
            return False
        self.peak = max(PEAK_DECAY * self.peak, self.level)
        line = RECOVERY * self.peak
        if self.level >= line:
            return False
        if line < cal.high:
            self.peak = 0.0
        return True

    def begin(self) -> None:
        """Note that the magnitude lies beyond the gate."""
        if self.peak == 0.0:
            self.peak = self.level


@dataclass(slots=True)
class QuantileTracker:
    """Offset and stretch of the tail: the stream's own median and 90 % quantile.

    Attributes
    ----------
    log_stretch, offset : of the tail; the offset in decades.
    tokens : readings beyond the gate that normal operation still explains.
    beyond : readings in a row beyond the gate.
    age : readings so far, counted up to the params' ``start``.
    """

    log_stretch: float = 0.0
    offset: float = 0.0
    tokens: float = _TOKENS
    beyond: int = 0
    age: int = 0

    def update(
        self,
        m: float,
        cal: Calibration,
        how: AdaptationParams,
        recovered: bool,
        accept: int,
        lasting: float = -math.inf,
    ) -> float:
        """Take in a magnitude; return it less the offset, over the stretch, as both were.

        Parameters
        ----------
        m
            The magnitude, in decades.
        cal
            Gives median and gate.
        how
            The tracker's parameters.
        recovered
            The magnitude is of a stream that is back from an excursion.
        accept
            Readings beyond the gate after which their level is the new normal; 0: never.
        lasting
            What the slow average says by itself: where that is beyond the gate, a reading which
            does not bear it out teaches nothing.
        """
        u = self.relative(m, cal)
        furthest = self.relative(lasting, cal) if lasting > m else u
        stretch = math.exp(self.log_stretch)
        young = self.age < how.start
        self.age += young
        if young or recovered or furthest <= cal.gate:
            self._learn(u, cal, how, stretch, young)
            return u
        self.beyond += 1
        if accept and self.beyond > accept:
            self.offset = max(m - cal.middle * stretch, 0.0)
            self.beyond = 0
        elif self.tokens >= 1.0:
            self.tokens -= 1.0
            self._move((1.0 - _SHARE) * how.rate, 0.5 * how.rate * how.pace * stretch, how)
        return u

    def _learn(
        self, u: float, cal: Calibration, how: AdaptationParams, stretch: float, young: bool
    ) -> None:
        self.beyond = 0
        if self.tokens < _TOKENS:
            self.tokens += _TOKEN_RATE
        pace = how.rate * how.pace
        if young:
            pace = max(pace, 0.5 / (_FIRST + self.age))
        up = how.rate * (1.0 - _SHARE if u > cal.high else -_SHARE)
        self._move(up, pace * stretch * (0.5 if u > cal.middle else -0.5), how)

    def _move(self, by: float, along: float, how: AdaptationParams) -> None:
        # plain comparisons: min and max would take as long as all the rest of the step
        stretch = self.log_stretch + by
        if stretch < how.log_min_stretch:
            stretch = how.log_min_stretch
        self.log_stretch = stretch if stretch < how.log_max_stretch else how.log_max_stretch
        # an accepted shift may lie beyond the bound, and then only shrinks
        bound = how.max_offset if how.max_offset > self.offset else self.offset
        offset = self.offset + along
        if offset < 0.0:
            offset = 0.0
        self.offset = offset if offset < bound else bound

    def relative(self, m: float, cal: Calibration) -> float:
        """Return a magnitude as the tail sees it now: less the offset, over the stretch.

        Beyond the gate what is further is further by as much, whatever the stretch: how far a
        fault lies does not follow from how noisy the stream has been.
        """
        above = m - self.offset
        stretch = math.exp(self.log_stretch)
        if not cal.local or above <= cal.gate * stretch:
            return above / stretch
        return cal.gate + above - cal.gate * stretch


class AdaptiveTail:
    """The budget-free state of one stream; ``step`` is the whole of the adaptation."""

    __slots__ = ("excursion", "quantiles", "smoother")

    def __init__(self, median: float, age: int = 0) -> None:
        self.smoother = Smoother(median, median)
        self.excursion = ExcursionTracker()
        self.quantiles = QuantileTracker(age=age)

    @classmethod
    def of_new_stream(cls, median: float, how: AdaptationParams) -> AdaptiveTail:
        """Return the tail of a stream that has no readings yet."""
        tail = cls(median)
        tail.quantiles.log_stretch = math.log(how.first_stretch)
        return tail

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
        recovered = self.excursion.update(fast, cal)
        m = self.smoother.update(fast, cal, held=recovered)
        if m > cal.gate:
            self.excursion.begin()
        if how is None:
            return m, m
        lasting = cal.shift + cal.gain * self.smoother.slow
        return m, self.quantiles.update(m, cal, how, recovered, accept, lasting)

    def pause(self, median: float) -> None:
        """After a gap: what was smooth before says nothing about now."""
        self.smoother = Smoother(median, median)
        self.excursion = ExcursionTracker(level=median)

    def settle_again(self) -> None:
        """After maintenance: find the stream's place as a new stream's is found."""
        self.quantiles.age = 0

    def to_list(self) -> list[float]:
        """Return it ready for JSON, exactly; in the order of _RANGES."""
        s, e, q = self.smoother, self.excursion, self.quantiles
        known = [s.slow, q.log_stretch, q.tokens, e.peak, e.level, q.offset, q.beyond, q.age,
                 s.quick]  # fmt: skip
        return known if s.swift < 0.0 else [*known, s.swift]

    @classmethod
    def from_list(cls, data: Any) -> AdaptiveTail:
        """Read what :meth:`to_list` returned, or the beginning of it.

        Raises
        ------
        ValueError, TypeError
            Empty, not numbers, or not numbers that a tail can have.
        """
        values: list[Any] = list(data)[: len(_RANGES)]
        if not values:
            raise ValueError("tail: is empty")
        for value, (name, (lowest, highest)) in zip(values, _RANGES.items(), strict=False):
            if isinstance(value, bool) or not lowest <= value <= highest:
                raise ValueError(f"tail: {name} {value!r:.40} lies outside {lowest:g}..{highest:g}")
        values += _USUAL[len(values) :]
        slow, log_stretch, tokens, peak, level, offset, beyond, age, quick, swift = values
        tail = cls(slow)
        tail.smoother = Smoother(slow, slow if quick is None else quick, swift)
        tail.excursion = ExcursionTracker(level, peak)
        tail.quantiles = QuantileTracker(log_stretch, offset, tokens, beyond, age)
        return tail


#: What each number of a stored tail can be, in their order. Wide: they keep what is computed from
#: them finite; how far a tail may move is the model set's ``adaptation``.
_USUAL: Final = (None, 0.0, _TOKENS, 0.0, 0.0, 0.0, 0, 0, None, UNSET)
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
