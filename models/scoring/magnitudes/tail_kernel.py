"""Smooth one stream's magnitudes, follow an excursion beyond the gate, and adapt the tail to both.

The magnitude ``m`` is the maximum of the swift and the slow magnitude, in decades of rarity
(:func:`smooth`). The swift one is that of the reading itself or, if larger, an average over a
reading or two: most faults last, and most chance deviations do not. The slow one averages over some
twenty readings, which shows weak lasting faults, and no longer alarms once these are over.

An excursion beyond the gate has a peak (:func:`recovers`). When the level falls below
RECOVERY times the fading peak, the stream has recovered. Until the peak has faded, the remainder of
the excursion is not smoothed into a new alarm, and the tail may adapt to it.

The tail adapts by an offset and a stretch, ``p = tail((m - offset) / stretch)``. Both track a
quantile by stochastic approximation (Robbins & Monro 1951): the stretch moves up by ``rate * 0.9``
if a reading lies above the 90 % quantile and down by ``rate * 0.1`` if it lies below; the offset
does the same at the median. A step does not depend on the distance, so a single reading's influence
is bounded. Readings beyond the gate (``p`` below GATE) must not teach the tail, but merely leaving
them out would bias it downwards for ever. They therefore also count as "above", as long as normal
operation explains their number: each costs a token, and tokens are added at a small multiple of the
gate's probability. A lasting fault soon uses up the tokens and then changes nothing.

The functions here are compiled, since fits replay millions of readings. They read and change a
record of one stream's numbers, :data:`models.scoring.magnitudes.adaptation.TAIL`, and read those of
its calibration, :data:`models.scoring.magnitudes.calibration.NUMBERS`. All of them and their
constants are in this file: Numba's cache sees changes of a function's own file only.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from models.arrays import Floats
from models.detectors.kernels import exact

#: Half-life of the smoothing, in readings.
HALF_LIFE: Final = 20.0
ALPHA: Final = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
#: Averages count each reading with at most this many decades (p = 1e-5), and their gains end there:
#: what lies further out is shown by the reading itself.
CLIP: Final = 5.0
#: The slow average is there for what is weak and lasts. A reading beyond p = 1e-3 alarms by itself
#: at criticality medium: counted further, it would only ring on after a strong fault.
SLOW_CLIP: Final = 3.0
#: The slow average counts up to this many times the distance of the last few readings' average from
#: the median, so that an alarm ends with its fault. Where drift is the fault: up to this many times
#: that average.
RINGING: Final = 1.7
QUICK_ALPHA: Final = 1.0 - 0.5 ** (1.0 / 4.0)
#: A magnitude of fewer decades (p > 0.1) is usual.
USUAL: Final = 1.0
#: The slow magnitude no longer alarms once readings have been usual for more than this many times
#: as long as ever before since it rose: a fault that each reading shows is over with its last, one
#: that comes and goes may pause.
PATIENCE: Final = 2
#: Then the slow average falls to the gate with this half-life: no unusual reading of normal
#: operation brings the alarm back.
PAUSE_ALPHA: Final = 1.0 - 0.5 ** (1.0 / 3.0)
#: Magnitudes are clipped at this many decades for an excursion's level, so that a single absurd
#: reading gives no lasting peak.
LEVEL_CLIP: Final = 10.0
#: An excursion ends below this share of its peak, which fades with a half-life in readings.
RECOVERY: Final = 1.0 / 3.0
PEAK_HALF_LIFE: Final = 800.0
PEAK_DECAY: Final = 0.5 ** (1.0 / PEAK_HALF_LIFE)

#: ``log10 p`` of the gate: readings with a smaller ``p`` do not teach the tail.
GATE: Final = -2.0
#: ``log10`` of the share of readings above the quantile that the stretch tracks.
HIGH: Final = -1.0
#: Readings beyond the gate teach the tail only while there are tokens: each costs one, every other
#: reading earns three times what normal operation spends.
_TOKEN_RATE = 3.0 * 10.0**GATE
TOKENS = 20.0  # saved at most
_SHARE = 10.0**HIGH
_FIRST = 10.0  # the offset's first step is the stretch over 2 * _FIRST

#: Marks an unknown magnitude; known ones are not negative.
UNSET: Final = -1.0


@exact
def smooth(tail: Any, fast: float, cal: Any, held: bool) -> float:
    """Take in a reading's combined magnitude; return the larger of swift and slow.

    Parameters
    ----------
    tail : record
        ``slow`` and ``quick`` are averages of half-life 20 and 4. ``slow`` counts up to RINGING
        times what ``quick`` lies above the median. ``swift`` is the average over a reading or two;
        UNSET: none yet. ``lull`` and ``longest`` count usual readings in a row, now and at most
        before, since the slow magnitude rose above USUAL.
    fast
        The magnitude, in decades.
    cal : record
        Gives the median and the weight of the newest reading.
    held
        Keep the slow one at its median: what is left of an excursion is no alarm.
    """
    most = SLOW_CLIP if cal.ends else CLIP
    clipped = fast if fast < most else most
    swift = fast
    if cal.swiftness < 1.0:
        before = cal.median if tail.swift < 0.0 else tail.swift
        tail.swift = _average(before, fast, cal)
        swift = _swift(fast, tail.swift, cal)
    tail.quick += QUICK_ALPHA * (clipped - tail.quick)
    slow = tail.slow + ALPHA * (clipped - tail.slow)
    if not cal.ends:
        ceiling = cal.median + RINGING * tail.quick
        tail.slow = cal.median if held else slow if slow < ceiling else ceiling
        lifted = cal.shift + cal.gain * tail.slow
    else:
        pauses = _pauses(tail, fast, cal)
        if pauses and cal.shift + cal.gain * slow > cal.gate:
            slow = min(slow, tail.slow + PAUSE_ALPHA * (clipped - tail.slow))
        tail.slow = slow = cal.median if held else slow
        ceiling = cal.median
        if tail.quick > cal.median:
            ceiling += RINGING * (tail.quick - cal.median)
        if slow > ceiling:
            slow = ceiling
        lifted = cal.shift + cal.gain * slow
        if pauses and lifted > cal.gate:
            lifted = cal.high
        elif lifted > CLIP:
            lifted = CLIP + (lifted - CLIP) / cal.gain
    return swift if swift > lifted else lifted


@exact
def _pauses(tail: Any, fast: float, cal: Any) -> bool:
    """Return whether readings are usual for longer than what was averaged has paused before."""
    if cal.shift + cal.gain * tail.slow <= USUAL:
        tail.lull = tail.longest = 0
    elif fast < USUAL:
        tail.lull += 1
    else:
        if tail.lull > tail.longest:
            tail.longest = tail.lull
        tail.lull = 0
    return bool(tail.lull > PATIENCE * tail.longest)


@exact
def _average(before: float, fast: float, cal: Any) -> float:
    """Return the swift average with one more reading."""
    return float(before + cal.swiftness * ((fast if fast < CLIP else CLIP) - before))


@exact
def _swift(fast: float, average: float, cal: Any) -> float:
    """Return the average where few readings were trained on, else the larger once it is lifted.

    What the newest reading has beyond CLIP is its own: it does not ring on in the average.
    """
    if not cal.swift_gain:
        return float(average + cal.swiftness * (fast - CLIP) if fast > CLIP else average)
    lifted = cal.swift_shift + cal.swift_gain * average
    return float(lifted if lifted > fast else fast)


@exact
def recovers(tail: Any, fast: float, cal: Any) -> bool:
    """Add a reading's combined magnitude; return whether the stream comes back from an excursion.

    It counts as recovered until the excursion's peak has faded.

    Parameters
    ----------
    tail : record
        ``level`` is the average magnitude with a half-life of 20, clipped at LEVEL_CLIP; ``peak``
        the highest level of the excursion, fading; 0 without an excursion.
    fast
        The magnitude, in decades.
    cal : record
        Gives the level below which a faded peak is forgotten.
    """
    tail.level += ALPHA * ((fast if fast < LEVEL_CLIP else LEVEL_CLIP) - tail.level)
    if tail.peak == 0.0:
        return False
    tail.peak = max(PEAK_DECAY * tail.peak, tail.level)
    line = RECOVERY * tail.peak
    if tail.level >= line:
        return False
    if line < cal.high:
        tail.peak = 0.0
    return True


@exact
def adapt(
    tail: Any, m: float, cal: Any, params: Any, recovered: bool, accept: int, lasting: float
) -> float:
    """Take in a magnitude; return it less the previous offset, over the previous stretch.

    Parameters
    ----------
    tail : record
        ``offset`` and ``log_stretch`` follow the stream's own median and 90 % quantile. ``tokens``
        is the number of further readings beyond the gate that normal operation explains,
        ``beyond`` that of consecutive readings beyond it, ``age`` that of readings so far, counted
        up to the params' ``start``.
    m
        The magnitude, in decades.
    cal, params : records
    recovered
        The magnitude is of a stream that is back from an excursion.
    accept
        Readings beyond the gate after which their level is the new normal; 0: never.
    lasting
        The slow average on the magnitude's scale. If it lies beyond the gate, the reading
        teaches nothing, even if the last few readings do not confirm it.
    """
    u = _relative(tail, m, cal)
    larger = _relative(tail, lasting, cal) if lasting > m else u
    stretch = math.exp(tail.log_stretch)
    young = tail.age < params.start
    if young:
        tail.age += 1
    if young or recovered or larger <= cal.gate:
        tail.beyond = 0
        if tail.tokens < TOKENS:
            tail.tokens += _TOKEN_RATE
        pace = params.rate * params.pace
        if young:
            pace = max(pace, 0.5 / (_FIRST + tail.age))
        up = params.rate * (1.0 - _SHARE if u > cal.high else -_SHARE)
        _move(tail, up, pace * stretch * (0.5 if u > cal.middle else -0.5), params)
        return u
    tail.beyond += 1
    if accept and tail.beyond > accept:
        tail.offset = max(m - cal.middle * stretch, 0.0)
        tail.beyond = 0
    elif tail.tokens >= 1.0:
        tail.tokens -= 1.0
        _move(tail, (1.0 - _SHARE) * params.rate, 0.5 * params.rate * params.pace * stretch, params)
    return u


@exact
def _move(tail: Any, by: float, along: float, params: Any) -> None:
    stretch = max(tail.log_stretch + by, params.log_min_stretch)
    tail.log_stretch = min(stretch, params.log_max_stretch)
    # an accepted shift may lie beyond the bound, and then only shrinks
    bound = max(params.max_offset, tail.offset)
    tail.offset = min(max(tail.offset + along, 0.0), bound)


@exact
def _relative(tail: Any, m: float, cal: Any) -> float:
    """Return a magnitude relative to the tail: ``(m - offset) / stretch`` up to the gate.

    Beyond the gate distances are not divided by the stretch: the size of a fault does not
    depend on how noisy the stream has been.
    """
    above = m - tail.offset
    stretch = math.exp(tail.log_stretch)
    if not cal.local or above <= cal.gate * stretch:
        return float(above / stretch)
    return float(cal.gate + above - cal.gate * stretch)


@exact
def step(
    tails: Any, fast: float, calibration: Any, limits: Any, accept: int
) -> tuple[float, float]:
    """Add a reading; return its magnitude, and that relative to the tail.

    Parameters
    ----------
    tails, calibration, limits : (1,)
        Records: the stream's, its calibration's, and the parameters of the adaptation.
    fast
        The reading's combined magnitude, in decades.
    accept
        That of :func:`adapt`.
    """
    tail, cal, params = tails[0], calibration[0], limits[0]
    recovered = recovers(tail, fast, cal)
    m = smooth(tail, fast, cal, recovered)
    if m > cal.gate and tail.peak == 0.0:
        tail.peak = tail.level  # an excursion begins
    if not params.adapts:
        return m, m
    lasting = cal.shift + cal.gain * tail.slow
    return m, adapt(tail, m, cal, params, recovered, accept, lasting)


@exact
def follow(tails: Any, fast: Floats, calibration: Any, limits: Any) -> Floats:
    """Add readings (n,) one after another; return their magnitudes relative to the tail (n,).

    Parameters
    ----------
    tails, fast, calibration, limits
        Those of :func:`step`.
    """
    out = np.empty(len(fast))
    for i in range(len(fast)):
        out[i] = step(tails, fast[i], calibration, limits, 0)[1]
    return out


@exact
def learn_all(tails: Any, magnitudes: Floats, calibration: Any, limits: Any) -> None:
    """Adapt to magnitudes (n,) that are smoothed already.

    Parameters
    ----------
    tails, magnitudes, calibration, limits
        As in :func:`step`.
    """
    for m in magnitudes:
        adapt(tails[0], m, calibration[0], limits[0], False, 0, -np.inf)


@exact
def relative(tails: Any, m: float, calibration: Any) -> float:
    """Return a magnitude relative to the tail; it changes nothing.

    Parameters
    ----------
    tails, m, calibration
        As in :func:`step`.
    """
    return _relative(tails[0], m, calibration[0])


@exact
def swift_alone(fast: float, calibration: Any) -> float:
    """Return the swift magnitude of a reading as if usual readings had come before it."""
    cal = calibration[0]
    if cal.swiftness < 1.0:
        return _swift(fast, _average(cal.median, fast, cal), cal)
    return fast
