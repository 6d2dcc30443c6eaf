"""Fit a subset's calibration on out-of-fold magnitudes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.calibration.cross_validation import OutOfFold
from models.scoring.magnitudes.adaptation import AdaptationParams, AdaptiveTail
from models.scoring.magnitudes.calibration import Calibration, combine, subset_key, subsets
from models.scoring.magnitudes.tail import Tail, fit_tail, score_of
from models.scoring.magnitudes.tail_kernel import ALPHA, CLIP, GATE, HALF_LIFE, HIGH
from models.scoring.policy import BUDGETS

#: Largest gain that brings the slow magnitude onto the swift one's scale.
_MAX_GAIN = 10.0
_ANCHOR = -1.3  # log10 of the probability at which slow and swift magnitude agree
#: Readings that separate two clusters if the magnitude is partly smoothed.
_APART = round(HALF_LIFE / 2)
#: Shift that disables the slow magnitude: it lies below all others.
_NEVER: Final = -1e9
#: Largest factor by which a tail is widened for future streams. More would hide faults of the
#: fitted streams for the sake of streams of another kind.
MAX_WIDER: Final = 1.5
#: Readings expected beyond the budget of criticality medium in a sample that shows where it lies.
_SEEN: Final = 2.0
_BURN_IN = 2_000  # readings until the adaptation fluctuates fully
_ENOUGH = 10_000  # readings that a tail is fitted on; fewer are replayed repeatedly


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
        Out-of-fold magnitudes.
    how
        Parameters of the adaptive tail.
    slow
        Whether to use the slow magnitude.
    swiftness
        Weight of the newest reading in the swift magnitude.

    Raises
    ------
    TrainingError
        Too few readings for a subset.
    """
    out = {}
    given = slow, swiftness, how.start > 0  # where drift is the fault, what lasts does not end
    for subset in subsets(detectors):
        kinds = {False: _series(subset, found.raw, found.rare)}
        if found.warm:
            kinds[True] = _series(subset, found.warm)
        for warm, (series, beside) in kinds.items():
            if not warm or sum(map(len, beside)) >= 20:
                further = spread_of_later(sum(map(len, beside)))
                cal = with_adaptation(*fit_fixed(subset, series, beside, *given, further), how)
            out[subset_key(subset, warm)] = cal
    return out


def unmet_ratio(cal: Calibration, unmet: list[Floats], how: AdaptationParams) -> float:
    """Return the factor by which magnitudes of held-out streams are larger; at least 1.

    Held-out blocks of time cannot show how streams differ from one another.

    Parameters
    ----------
    cal
        Calibration fitted on blocks of time.
    unmet
        Fast magnitudes, (n_i,) per stream, of detectors that never saw the stream.
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
    subset: Sequence[str], raw: list[dict[str, Floats]], rare: list[Floats] | None = None
) -> tuple[list[Floats], list[Floats]]:
    """Return the subset's magnitudes (k, n_i) per stream, of readings that all its detectors score.

    The second list has the rarity (n_i,) of constant features' movements; 0 without ``rare``.
    """
    series, beside = [], []
    for i, stream in enumerate(raw):
        stacked = np.stack([stream[name] for name in subset])
        whole = np.isfinite(stacked).all(axis=0)
        if whole.any():
            series.append(stacked[:, whole])
            beside.append(rare[i][whole] if rare else np.zeros(int(whole.sum())))
    return series, beside


def fit_fixed(
    subset: tuple[str, ...],
    series: list[Floats],
    beside: list[Floats],
    slow: bool = True,
    swiftness: float = 1.0,
    ends: bool = True,
    further: float = 1.0,
) -> tuple[Calibration, list[Floats]]:
    """Fit one subset's calibration without adaptation; also return its fast magnitudes, (n_i,).

    Parameters
    ----------
    subset : k detectors.
    series : (k, n_i) out-of-fold magnitudes per stream.
    beside : (n_i,) rarity of constant features' movements per stream.
    slow, swiftness : see :func:`calibrate`.
    ends : whether the slow magnitude ends with what it averages.
    further : see :func:`smoothing`; a trial's fewer readings would say too much, so 1 there.
    """
    tails = {name: fit_tail([s[k] for s in series]) for k, name in enumerate(subset)}
    mixed = [
        combine(subset, np.stack([tails[name].decades(s[k]) for k, name in enumerate(subset)]))
        for s in series
    ]
    fast = fit_tail(mixed)
    f = [np.maximum(fast.decades(values), more) for values, more in zip(mixed, beside, strict=True)]
    lift = swift_lift(f, swiftness, sum(map(len, f)))
    swift = [swift_magnitudes(values, swiftness, lift) for values in f]
    median, shift, gain, smooth = smoothing(f, swift, further)
    if not slow:
        shift, gain = _NEVER, 0.0
    cal = Calibration(
        subset, tails, fast, shift, gain, median, fast, fast, math.inf, math.inf, math.inf,
        swiftness, *lift, local=True, ends=ends,
    )  # fmt: skip
    if ends and slow:  # without a gate nothing recovers from it
        m = [adapted(cal, values, None) for values in f]
    else:
        m = [np.maximum(a, shift + gain * b) for a, b in zip(swift, smooth, strict=True)]
    fixed = fit_tail(m, apart=_APART)
    cal = replace(
        cal, final=fixed, fixed=fixed, gate=fixed.quantile(GATE), high=fixed.quantile(HIGH),
        middle=fixed.quantile(math.log10(0.5)),
    )  # fmt: skip
    return cal, f


def with_adaptation(cal: Calibration, fast: list[Floats], how: AdaptationParams) -> Calibration:
    """Return the calibration with its final tail fitted for adaptive tails.

    Parameters
    ----------
    cal, fast
        Result of :func:`fit_fixed`: the calibration, and fast magnitudes, (n_i,) per stream.
    how
        Parameters of the adaptive tail.
    """
    return replace(cal, final=_adaptive_tail(cal, fast, how)) if how.rate else cal


def _adaptive_tail(cal: Calibration, fast: list[Floats], how: AdaptationParams) -> Tail:
    """Fit the tail of long-running streams, from fast magnitudes, (n_i,) per stream.

    The adaptation fluctuates, by itself and with the stream. It takes thousands of readings to
    reach its full fluctuation, more than a small training set has. Each stream is therefore
    replayed repeatedly, and counts only after _BURN_IN readings.
    """
    series, times = replayed(cal, fast, how)
    return fit_tail(series, apart=_APART, repeats=times)


def replayed(
    cal: Calibration, fast: list[Floats], how: AdaptationParams | None
) -> tuple[list[Floats], int]:
    """Return the adapted magnitudes of repeatedly replayed streams, and the number of repeats.

    Parameters
    ----------
    cal
        The calibration.
    fast : (n_i,) per stream
        Fast magnitudes.
    how
        Parameters of the adaptive tail; None: it does not adapt.
    """
    times = max(1, math.ceil(_ENOUGH / sum(map(len, fast))))
    # repeated such that the sequence ends with the stream's last reading
    long = (np.resize(v[::-1], _BURN_IN + times * len(v))[::-1] for v in fast)
    return [adapted(cal, values, how)[_BURN_IN:] for values in long], times


def smoothing(
    fast: list[Floats], swift: list[Floats], further: float = 1.0
) -> tuple[float, float, float, list[Floats]]:
    """Fit the slow magnitude's start value, and the scaling that matches it to the swift one.

    Parameters
    ----------
    fast, swift : (n_i,) magnitudes per stream.
    further : how many times as far later averages reach as these, at the quantile that is matched.

    Returns
    -------
    (median, shift, gain, slow) : ``slow`` are the smoothed magnitudes, (n_i,) per stream.
    """
    start = float(np.mean(np.concatenate(fast)))
    median = start
    for _ in range(2):  # the second time from the median, so that no start-up remains
        slow = [ewma(np.minimum(f, CLIP), median) for f in fast]
        median = float(np.median(np.concatenate([after_start_up(s) for s in slow])))
    middle = float(np.median(np.concatenate(swift)))
    # quantiles of fitted tails: an empirical one of a few hundred correlated readings is too noisy
    reach = fit_tail([after_start_up(s) for s in slow]).quantile(_ANCHOR) - median
    wanted = fit_tail(swift).quantile(_ANCHOR) - middle
    gain = min(max(wanted / max(further * reach, 1e-9), 1.0), _MAX_GAIN)
    return median, middle - gain * median, gain, slow


def spread_of_later(readings: int) -> float:
    """Return how many times as far later averages reach as those of so many readings.

    Neighbouring averages are alike, so a few hundred readings hold few that are independent. A
    later one has Student's distribution about their mean, not a normal one (prediction interval).
    """
    from scipy.stats import norm, t

    independent = max(readings * ALPHA / (2.0 - ALPHA), 2.0)
    high = 1.0 - 10.0**_ANCHOR
    later = t.ppf(high, independent - 1.0) * math.sqrt(1.0 + 1.0 / independent)
    return float(later / norm.ppf(high))


def swift_lift(fast: list[Floats], swiftness: float, readings: int) -> tuple[float, float]:
    """Return shift and gain that give swift averages a tail like that of the magnitudes.

    That one falls by a decade per unit. Below the tail the line lies below the averages, and the
    magnitude itself counts. Where training has too few readings to show how far single ones go at
    criticality medium, the gain is 0: the average's lighter tail is extrapolated more safely, and
    counts alone.

    Parameters
    ----------
    fast : (n_i,) combined magnitudes per stream.
    swiftness : weight of the newest reading.
    readings : number in training.
    """
    if swiftness == 1.0 or readings * BUDGETS["medium"] < _SEEN:
        return 0.0, 0.0
    tail = fit_tail([_swift_average(np.minimum(values, CLIP), swiftness) for values in fast])
    gain = min(max(math.log10(math.e) / tail.beta, 1.0), _MAX_GAIN)
    return -tail.y[-1] - gain * tail.x[-1], gain


def swift_magnitudes(fast: Floats, swiftness: float, lift: tuple[float, float]) -> Floats:
    """Return the swift magnitudes (..., n) of streams.

    Parameters
    ----------
    fast : (..., n) combined magnitudes.
    swiftness : weight of the newest reading.
    lift : shift and gain, see :func:`swift_lift`.
    """
    if swiftness == 1.0:
        return fast
    shift, gain = lift
    average = _swift_average(np.minimum(fast, CLIP), swiftness)
    if not gain:
        return average + swiftness * np.maximum(fast - CLIP, 0.0)
    out: Floats = np.maximum(fast, shift + gain * average)
    return out


def _swift_average(fast: Floats, swiftness: float) -> Floats:
    return ewma(fast, np.median(fast, axis=-1), swiftness)


def after_start_up(values: Floats) -> Floats:
    """Drop the values (n,) of the filter's start-up, if enough remain."""
    skip = int(2 * HALF_LIFE)
    return values[skip:] if len(values) > 2 * skip else values


def ewma(values: Floats, start: float | Floats, weight: float = ALPHA) -> Floats:
    """Return the exponentially weighted mean (..., n).

    Parameters
    ----------
    values : (..., n)
    start : () or (...,)
        Mean before the first value.
    weight
        Weight of the newest value, in (0, 1].
    """
    from scipy.signal import lfilter

    before = np.broadcast_to(np.multiply(1.0 - weight, start), values.shape[:-1])[..., None]
    out: Floats = lfilter([weight], [1.0, weight - 1.0], values, zi=before)[0]
    return out


def adapted(cal: Calibration, fast: Floats, how: AdaptationParams | None) -> Floats:
    """Return the adapted magnitudes (n,) of a stream whose tail is past its start phase.

    Parameters
    ----------
    cal
        Gives median and gate.
    fast : (n,)
        Magnitudes of one stream, in order.
    how
        Parameters of the adaptive tail; None: it does not adapt.
    """
    tail = AdaptiveTail(cal.median, age=how.start if how else 0)
    return tail.follow(fast, cal, how)


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
    tail = AdaptiveTail(cal.median, age=how.start)
    tail.adapt(side_by_side[-_ENOUGH:], cal, how)
    return replace(how, first_stretch=max(1.0, math.exp(tail.numbers["log_stretch"])))


def scores(cal: Calibration, found: OutOfFold, how: AdaptationParams) -> dict[str, Floats]:
    """Return out-of-fold scores (n,): each detector's, and ``final_score``.

    They cover the readings that all of the subset's detectors score.

    Parameters
    ----------
    cal
        Calibration of one subset of detectors.
    found
        Out-of-fold magnitudes.
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
    """Return the combined out-of-fold magnitudes, (n_i,) per stream."""
    beside = _series(cal.detectors, found.raw, found.rare)[1]
    named = zip(_by_name(cal, found), beside, strict=True)
    return [np.maximum(cal.combined(cal.decades(s)), more) for s, more in named]


def _by_name(cal: Calibration, found: OutOfFold) -> list[dict[str, Floats]]:
    stacked, _ = _series(cal.detectors, found.raw)
    return [dict(zip(cal.detectors, s, strict=True)) for s in stacked]


def _scores(log10_p: Floats) -> Floats:
    return np.array([score_of(value) for value in log10_p.tolist()])
