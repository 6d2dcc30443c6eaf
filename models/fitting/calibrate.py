"""Fit a subset's calibration on out-of-fold magnitudes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.cross_validation import OutOfFold
from models.scoring.adaptation import (
    ALPHA,
    CLIP,
    GATE,
    HALF_LIFE,
    HIGH,
    AdaptationParams,
    AdaptiveTail,
    QuantileTracker,
)
from models.scoring.calibration import Calibration, combine, subset_key, subsets
from models.scoring.tail import Tail, fit_tail, score_of

#: The smoothed magnitude is stretched by at most this to meet the fast one.
_MAX_GAIN = 10.0
_ANCHOR = -1.3  # log10 of the probability at which smoothed and fast are made to agree
#: Readings that part two clusters where the magnitude is partly a smoothed one.
_APART = round(HALF_LIFE / 2)
#: Where the slow magnitude lies when it has no say: below all others.
_NEVER: Final = -1e9
#: A tail is widened by at most this for streams to come: more would hide the faults of those fitted
#: on from them for the sake of streams that are of another kind.
MAX_WIDER: Final = 1.5
_BURN_IN = 2_000
_ENOUGH = 10_000


def calibrate(
    detectors: Sequence[str],
    found: OutOfFold,
    how: AdaptationParams,
    slow: bool = True,
    swiftness: float = 1.0,
) -> dict[str, Calibration]:
    """Fit a calibration for every subset of detectors that can be present.

    Parameters
    ----------
    detectors
        Their names.
    found
        Magnitudes of readings that their detector never saw.
    how
        Parameters of the adaptive tail.
    slow
        Whether the magnitude smoothed over some twenty readings has a say.
    swiftness
        How much the newest reading weighs in the other one.

    Raises
    ------
    TrainingError
        Too few readings for a subset.
    """
    out = {}
    for subset in subsets(detectors):
        kinds = {False: _series(subset, found.raw, found.moved)}
        if found.warm:
            kinds[True] = _series(subset, found.warm)
        for warm, (series, beside) in kinds.items():
            if not warm or sum(map(len, beside)) >= 20:
                cal = with_adaptation(*fit_fixed(subset, series, beside, slow, swiftness), how)
            out[subset_key(subset, warm)] = cal
    return out


def unmet_ratio(cal: Calibration, unmet: list[Floats], how: AdaptationParams) -> float:
    """Return how much further out streams lie that were held out whole; at least 1.

    Blocks of time never show how streams differ from each other.

    Parameters
    ----------
    cal
        Calibration on blocks of time.
    unmet
        Fast magnitudes, (n_i,) per stream, by detectors that never saw the stream.
    how
        Parameters of the adaptive tail.
    """
    if how.rate:
        tail = with_adaptation(cal, unmet, how).final
    else:
        tail = fit_tail([adapted(cal, fast, None) for fast in unmet], apart=_APART)
    middle = cal.final.quantile(math.log10(0.5))
    usual = cal.final.quantile(GATE) - middle
    return max(1.0, (tail.quantile(GATE) - middle) / usual) if usual > 0.0 else 1.0


def _series(
    subset: Sequence[str], raw: list[dict[str, Floats]], moved: list[Floats] | None = None
) -> tuple[list[Floats], list[Floats]]:
    """Return the subset's magnitudes (k, n_i) of each stream, where all of its detectors have one.

    Beside them the decades (n_i,) by which what stood still moved, 0 where none is given.
    """
    series, beside = [], []
    for i, stream in enumerate(raw):
        stacked = np.stack([stream[name] for name in subset])
        whole = np.isfinite(stacked).all(axis=0)
        if whole.any():
            series.append(stacked[:, whole])
            beside.append(moved[i][whole] if moved else np.zeros(int(whole.sum())))
    return series, beside


def fit_fixed(
    subset: tuple[str, ...],
    series: list[Floats],
    beside: list[Floats],
    slow: bool = True,
    swiftness: float = 1.0,
) -> tuple[Calibration, list[Floats]]:
    """Fit one subset's calibration for tails that stay; and its fast magnitudes, (n_i,) each.

    Parameters
    ----------
    subset : k detectors.
    series : (k, n_i) of each stream, their magnitudes out of fold.
    beside : (n_i,) of each stream, decades that what stood still adds.
    slow, swiftness : see :func:`calibrate`.
    """
    tails = {name: fit_tail([s[k] for s in series]) for k, name in enumerate(subset)}
    mixed = [
        combine(subset, np.stack([tails[name].decades(s[k]) for k, name in enumerate(subset)]))
        for s in series
    ]
    fast = fit_tail(mixed)
    f = [fast.decades(values) + more for values, more in zip(mixed, beside, strict=True)]
    swift = [ewma(values, values[0], swiftness) for values in f]
    median, shift, gain, smooth = smoothing(f, swift)
    if not slow:
        shift, gain = _NEVER, 0.0
    m = [np.maximum(a, shift + gain * b) for a, b in zip(swift, smooth, strict=True)]
    fixed = fit_tail(m, apart=_APART)
    cal = Calibration(
        subset, tails, fast, shift, gain, median, fixed, fixed,
        fixed.quantile(GATE), fixed.quantile(HIGH), fixed.quantile(math.log10(0.5)),
        swiftness, True,
    )  # fmt: skip
    return cal, f


def with_adaptation(cal: Calibration, fast: list[Floats], how: AdaptationParams) -> Calibration:
    """Return what :func:`fit_fixed` returned for tails that follow their streams.

    Parameters
    ----------
    cal, fast
        What :func:`fit_fixed` returned.
    how
        Parameters of the adaptive tail.
    """
    return replace(cal, final=_adaptive_tail(cal, fast, how)) if how.rate else cal


def _adaptive_tail(cal: Calibration, fast: list[Floats], how: AdaptationParams) -> Tail:
    """Tail of what streams that go on and on make of fast magnitudes, (n_i,) each.

    The adaptation fluctuates, by itself and with the stream, and takes thousands of readings to
    come to its full swing: more than a small training set has. So each stream is gone through
    again and again, and counts only after _BURN_IN readings.
    """
    series, times = gone_through(cal, fast, how)
    return fit_tail(series, apart=_APART, repeats=times)


def gone_through(
    cal: Calibration, fast: list[Floats], how: AdaptationParams | None
) -> tuple[list[Floats], int]:
    """Return what the tail makes of streams that go on and on, and how often they were repeated.

    Parameters
    ----------
    cal
        The calibration.
    fast : (n_i,) each
        The streams' magnitudes.
    how
        Parameters of the adaptive tail; None: it stays.
    """
    times = max(1, math.ceil(_ENOUGH / sum(map(len, fast))))
    # the end of an endless repetition
    long = (np.resize(v[::-1], _BURN_IN + times * len(v))[::-1] for v in fast)
    return [adapted(cal, values, how)[_BURN_IN:] for values in long], times


def smoothing(fast: list[Floats], swift: list[Floats]) -> tuple[float, float, float, list[Floats]]:
    """Find where the slow magnitude starts, and how it is brought onto the swift one's scale.

    Returns
    -------
    (median, shift, gain, slow) : ``slow`` the smoothed magnitudes, (n_i,) each.
    """
    start = float(np.mean(np.concatenate(fast)))
    median = start
    for _ in range(2):  # the second time from the median, so that no start-up remains
        slow = [ewma(np.minimum(f, CLIP), median) for f in fast]
        median = float(np.median(np.concatenate([settled(s) for s in slow])))
    middle = float(np.median(np.concatenate(swift)))
    # by fitted tails: of some hundred readings, much alike, a quantile alone is chance
    reach = fit_tail([settled(s) for s in slow]).quantile(_ANCHOR) - median
    wanted = fit_tail(swift).quantile(_ANCHOR) - middle
    gain = min(max(wanted / max(reach, 1e-9), 1.0), _MAX_GAIN)
    return median, middle - gain * median, gain, slow


def settled(values: Floats) -> Floats:
    """Return the readings after the filter's start-up, where there are enough of them."""
    skip = int(2 * HALF_LIFE)
    return values[skip:] if len(values) > 2 * skip else values


def ewma(values: Floats, start: float, weight: float = ALPHA) -> Floats:
    """Return the exponentially weighted mean of (n,), from ``start``; the newest has ``weight``.

    Parameters
    ----------
    values : (n,)
    start
        Mean before the first.
    weight
        Of the newest value, in (0, 1].
    """
    from scipy.signal import lfilter

    out: Floats = lfilter([weight], [1.0, weight - 1.0], values, zi=[(1.0 - weight) * start])[0]
    return out


def adapted(cal: Calibration, fast: Floats, how: AdaptationParams | None) -> Floats:
    """Adapt fast magnitudes (n,) as a stream past its start does: maxima over its stretch, (n,).

    Parameters
    ----------
    cal
        Gives median and gate.
    fast : (n,)
        Magnitudes of one stream, in order.
    how
        Parameters of the adaptive tail; None: it does not adapt.
    """
    follower = AdaptiveTail(cal.median, age=how.start if how else 0)
    return np.array([follower.step(value, cal, how)[1] for value in fast.tolist()])


def fit_first_tail(how: AdaptationParams, cal: Calibration, fast: list[Floats]) -> AdaptationParams:
    """Return the parameters with the stretch that a new stream's tail starts with.

    A new stream's first reading comes after the last training reading, where a drifting group has
    gone furthest. So one tail follows the out-of-fold magnitudes of all training streams side by
    side, aligned at their ends, and its final stretch is the start, but at least 1. It reacts as
    many times faster than the tail of one stream as there are streams. The offset is not taken
    over: a stream's first readings give it. If drift is the fault (``how.start`` is 0), a stream
    starts with the group's tail.

    Parameters
    ----------
    how
        Parameters of the adaptive tail.
    cal
        Calibration that gives median and gate.
    fast
        Out-of-fold magnitudes, (n_i,) per stream.
    """
    if how.start == 0:
        return how
    series = [adapted(cal, values, None) for values in fast]
    to_go = np.concatenate([np.arange(len(m), 0, -1) for m in series])
    side_by_side = np.concatenate(series)[np.argsort(-to_go, kind="stable")]
    tail = QuantileTracker(age=how.start)
    for m in side_by_side[-_ENOUGH:].tolist():
        tail.update(m, cal, how, recovered=False, accept=0)
    return replace(how, first_stretch=max(1.0, math.exp(tail.log_stretch)))


def scores(cal: Calibration, found: OutOfFold, how: AdaptationParams) -> dict[str, Floats]:
    """Score readings never fitted on: each detector's, and ``final_score`` of fresh streams.

    (n,) each, over the readings that all of the subset's detectors have a say on.

    Parameters
    ----------
    cal
        Of one subset of detectors.
    found
        Magnitudes of readings that their detector never saw.
    how
        Parameters of the adaptive tail.
    """
    series = _by_name(cal, found)
    out = {
        name: np.concatenate([_scores(cal.tails[name].log10_ps(s[name])) for s in series])
        for name in cal.detectors
    }
    fast = fast_magnitudes(cal, found)
    final = [_scores(cal.final.log10_ps(adapted(cal, f, how))) for f in fast]
    return {**out, "final_score": np.concatenate(final)}


def fast_magnitudes(cal: Calibration, found: OutOfFold) -> list[Floats]:
    """Return the combined magnitudes out of fold, (n_i,) per stream."""
    beside = _series(cal.detectors, found.raw, found.moved)[1]
    named = zip(_by_name(cal, found), beside, strict=True)
    return [cal.combined(cal.decades(s)) + more for s, more in named]


def _by_name(cal: Calibration, found: OutOfFold) -> list[dict[str, Floats]]:
    stacked, _ = _series(cal.detectors, found.raw)
    return [dict(zip(cal.detectors, s, strict=True)) for s in stacked]


def _scores(log10_p: Floats) -> Floats:
    return np.array([score_of(value) for value in log10_p.tolist()])
