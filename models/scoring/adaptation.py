"""Adaptive state of one stream: smoothing, recovery, and a tail that adapts to the stream.

:class:`AdaptiveTail` holds three small objects, each with one ``update`` per reading: the smoother
and the excursion tracker of :mod:`models.scoring.smoothing`, and the :class:`QuantileTracker` here.
None of them uses the false-alarm budget: the same readings get the same score on every asset.

The tail adapts by an offset and a stretch, ``p = tail((m - offset) / stretch)``
(:class:`QuantileTracker`). Both track a quantile by stochastic approximation (Robbins & Monro
1951): the stretch moves up by ``rate * 0.9`` if a reading lies above the 90 % quantile and down by
``rate * 0.1`` if it lies below; the offset does the same at the median. A step does not depend on
the distance, so a single reading's influence is bounded. Readings beyond the gate (``p`` below
GATE) must not teach the tail, but merely leaving them out would bias it downwards for ever. They
therefore also count as "above", as long as normal operation explains their number: each costs a
token, and tokens are added at a small multiple of the gate's probability. A lasting fault soon uses
up the tokens and then changes nothing.

A new stream's tail starts with the stretch that the training streams had at their end. How the
stream's level differs from its group's is learned from its first ``start`` readings: none of them
is left out, and the offset moves in steps that decrease as 1 / n, by 0.6 decades at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from models.scoring.calibration import Calibration
from models.scoring.smoothing import UNSET, ExcursionTracker, Smoother, swift_alone
from models.scoring.stored import Stored

#: ``log10 p`` of the gate: readings with a smaller ``p`` do not teach the tail.
GATE: Final = -2.0
#: ``log10`` of the share of readings above the quantile that the stretch tracks.
HIGH: Final = -1.0
#: Readings beyond the gate teach the tail only while there are tokens: each costs one, every other
#: reading earns three times what normal operation spends.
_TOKEN_RATE = 3.0 * 10.0**GATE
_TOKENS = 20.0  # saved at most
_SHARE = 10.0**HIGH
_FIRST = 10.0  # the offset's first step is the stretch over 2 * _FIRST


@dataclass(frozen=True, slots=True)
class AdaptationParams(Stored):
    """How far and how fast a tail may adapt to its stream; part of a model set.

    Parameters
    ----------
    rate : step of the logarithm of the stretch per reading; 0: no adaptation.
    pace : step of the offset, as a multiple of the stretch's.
    min_stretch, max_stretch : bounds of the stretch.
    max_offset : bound of the offset, in decades.
    start : readings of a new stream's start phase.
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
    # the bounds' logarithms, which are needed for each reading
    log_min_stretch: float = field(init=False, repr=False, compare=False)
    log_max_stretch: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_min_stretch", math.log(self.min_stretch))
        object.__setattr__(self, "log_max_stretch", math.log(self.max_stretch))


@dataclass(slots=True)
class QuantileTracker:
    """Offset and stretch of the tail: the stream's own median and 90 % quantile.

    Attributes
    ----------
    log_stretch : logarithm of the tail's stretch.
    offset : offset of the tail, in decades.
    tokens : number of further readings beyond the gate that normal operation explains.
    beyond : consecutive readings beyond the gate.
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
        params: AdaptationParams,
        recovered: bool,
        accept: int,
        lasting: float = -math.inf,
    ) -> float:
        """Take in a magnitude; return it less the previous offset, over the previous stretch.

        Parameters
        ----------
        m
            The magnitude, in decades.
        cal
            Gives median and gate.
        params
            The tracker's parameters.
        recovered
            The magnitude is of a stream that is back from an excursion.
        accept
            Readings beyond the gate after which their level is the new normal; 0: never.
        lasting
            The slow average on the magnitude's scale. If it lies beyond the gate, the reading
            teaches nothing, even if the last few readings do not confirm it.
        """
        u = self.relative(m, cal)
        larger = self.relative(lasting, cal) if lasting > m else u
        stretch = math.exp(self.log_stretch)
        young = self.age < params.start
        self.age += young
        if young or recovered or larger <= cal.gate:
            self._learn(u, cal, params, stretch, young)
            return u
        self.beyond += 1
        if accept and self.beyond > accept:
            self.offset = max(m - cal.middle * stretch, 0.0)
            self.beyond = 0
        elif self.tokens >= 1.0:
            self.tokens -= 1.0
            self._move(
                (1.0 - _SHARE) * params.rate, 0.5 * params.rate * params.pace * stretch, params
            )
        return u

    def _learn(
        self, u: float, cal: Calibration, params: AdaptationParams, stretch: float, young: bool
    ) -> None:
        self.beyond = 0
        if self.tokens < _TOKENS:
            self.tokens += _TOKEN_RATE
        pace = params.rate * params.pace
        if young:
            pace = max(pace, 0.5 / (_FIRST + self.age))
        up = params.rate * (1.0 - _SHARE if u > cal.high else -_SHARE)
        self._move(up, pace * stretch * (0.5 if u > cal.middle else -0.5), params)

    def _move(self, by: float, along: float, params: AdaptationParams) -> None:
        # plain comparisons: min and max would take as long as the rest of the step
        stretch = self.log_stretch + by
        if stretch < params.log_min_stretch:
            stretch = params.log_min_stretch
        self.log_stretch = stretch if stretch < params.log_max_stretch else params.log_max_stretch
        # an accepted shift may lie beyond the bound, and then only shrinks
        bound = params.max_offset if params.max_offset > self.offset else self.offset
        offset = self.offset + along
        if offset < 0.0:
            offset = 0.0
        self.offset = offset if offset < bound else bound

    def relative(self, m: float, cal: Calibration) -> float:
        """Return a magnitude relative to the tail: ``(m - offset) / stretch`` up to the gate.

        Beyond the gate distances are not divided by the stretch: the size of a fault does not
        depend on how noisy the stream has been.
        """
        above = m - self.offset
        stretch = math.exp(self.log_stretch)
        if not cal.local or above <= cal.gate * stretch:
            return above / stretch
        return cal.gate + above - cal.gate * stretch


class AdaptiveTail:
    """Adaptive state of one stream, independent of the budget; ``step`` adds a reading."""

    __slots__ = ("excursion", "quantiles", "smoother")

    def __init__(self, median: float, age: int = 0) -> None:
        self.smoother = Smoother(median, median)
        self.excursion = ExcursionTracker()
        self.quantiles = QuantileTracker(age=age)

    @classmethod
    def of_new_stream(cls, median: float, params: AdaptationParams) -> AdaptiveTail:
        """Return the tail of a stream that has no readings yet."""
        tail = cls(median)
        tail.quantiles.log_stretch = math.log(params.first_stretch)
        return tail

    def step(
        self, fast: float, cal: Calibration, params: AdaptationParams | None, accept: int = 0
    ) -> tuple[float, float]:
        """Add one reading.

        Parameters
        ----------
        fast : combined magnitude of the reading, in decades.
        cal : calibration of the detectors present.
        params : parameters of the adaptation; None: the tail does not adapt.
        accept : consecutive readings beyond the gate after which they are the new normal; 0: never.

        Returns
        -------
        (m, u) : the magnitude, and the magnitude relative to the tail.
        """
        recovered = self.excursion.update(fast, cal)
        m = self.smoother.update(fast, cal, held=recovered)
        if m > cal.gate:
            self.excursion.begin()
        if params is None:
            return m, m
        lasting = cal.shift + cal.gain * self.smoother.slow
        return m, self.quantiles.update(m, cal, params, recovered, accept, lasting)

    def alone(self, fast: float, cal: Calibration, params: AdaptationParams | None) -> float:
        """Return the magnitude, relative to the tail, of a reading that changes nothing.

        It counts as if usual readings had come before it.

        Parameters
        ----------
        fast, cal, params
            Those of :meth:`step`.
        """
        m = swift_alone(fast, cal)
        return m if params is None else self.quantiles.relative(m, cal)

    def pause(self, median: float) -> None:
        """Restart smoothing and excursion after a gap."""
        self.smoother = Smoother(median, median)
        self.excursion = ExcursionTracker(level=median)

    def settle_again(self) -> None:
        """Repeat the start phase of a new stream, after maintenance."""
        self.quantiles.age = 0

    def to_list(self) -> list[float]:
        """Return the state ready for JSON, exactly, in the order of _RANGES."""
        s, e, q = self.smoother, self.excursion, self.quantiles
        out = [s.slow, q.log_stretch, q.tokens, e.peak, e.level, q.offset, q.beyond, q.age,
               s.quick, s.swift, s.lull, s.longest]  # fmt: skip
        while out[-1] == _USUAL[len(out) - 1]:
            out.pop()
        return out

    @classmethod
    def from_list(cls, data: Any) -> AdaptiveTail:
        """Read what :meth:`to_list` returned; missing numbers at the end have defaults.

        Raises
        ------
        ValueError, TypeError
            The list is empty, or an entry is not a number in its range.
        """
        values: list[Any] = list(data)[: len(_RANGES)]
        if not values:
            raise ValueError("tail: is empty")
        for value, (name, (lowest, highest)) in zip(values, _RANGES.items(), strict=False):
            if isinstance(value, bool) or not lowest <= value <= highest:
                raise ValueError(f"tail: {name} {value!r:.40} lies outside {lowest:g}..{highest:g}")
        values += _USUAL[len(values) :]
        slow, log_stretch, tokens, peak, level, offset, beyond, age, quick, swift, *pauses = values
        tail = cls(slow)
        tail.smoother = Smoother(slow, slow if quick is None else quick, swift, *pauses)
        tail.excursion = ExcursionTracker(level, peak)
        tail.quantiles = QuantileTracker(log_stretch, offset, tokens, beyond, age)
        return tail


#: Defaults and valid ranges of a stored tail's numbers, in order. The ranges only keep computed
#: values finite; the limits of adaptation are in the model set.
_USUAL: Final = (None, 0.0, _TOKENS, 0.0, 0.0, 0.0, 0, 0, None, UNSET, 0, 0)
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
    "lull": (0, 2**53),
    "longest": (0, 2**53),
}
