"""Fit how often normal readings make bursts of anomalies, and how rare their peaks are.

Fitted on what long-running adaptive streams make of the out-of-fold magnitudes, as the final tail
is; where the group has several streams once more on streams that no detector saw, for those that
are still to come: of both, the larger rarity is asked for. A burst is a cluster of readings beyond
the gate. That it has ``d`` anomalies at alarm level ``t`` and a peak of at least ``t + g`` is one
condition on ``min(peak - g, d-th largest) >= t``, so each excess ``g`` has one tail (generalised
Pareto, :mod:`models.scoring.tail`), which gives the rate at every level, also at levels that the
sample does not reach.

The on-delay is chosen, of a few, by what it costs: the one that opens soonest, at the medium
budget, on faults made by lifting the magnitude of stretches of the same readings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np

from errors import TrainingError
from models.arrays import Floats
from models.fitting.calibrate import adapted, gone_through
from models.scoring.adaptation import AdaptationParams
from models.scoring.bursts import (
    APART,
    AT_ONCE,
    INCIDENT_BUDGETS,
    LEAST_LEVEL,
    LEVELS,
    RATES,
    BurstRates,
    OpeningRule,
)
from models.scoring.calibration import Calibration
from models.scoring.policy import BUDGETS
from models.scoring.tail import Tail, fit_tail

#: On-delays to choose from, in anomalies.
DELAYS: Final = (3, 6, 12)
_EXCESSES: Final = tuple(0.5 * k for k in range(21))
#: Bursts that a tail needs; with fewer beyond the gate, readings count that are less rare.
_FEWEST: Final = 30
_LOWER: Final = (LEAST_LEVEL, 1.5, 1.0)
#: Faults that the on-delay is chosen on: decades by which the magnitude is lifted, readings that
#: it lasts, and readings from one to the next.
_LIFTS: Final = (2.0, 3.0, 4.0)
_LASTS: Final = 150
_EVERY: Final = 600
_MAX_SCORES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Magnitudes of normal readings that the detectors had not seen.

    Parameters
    ----------
    cal : calibration of the detectors that gave them.
    fast : combined magnitudes in decades, (n_i,) per stream, in time order.
    """

    cal: Calibration
    fast: list[Floats]


def fit_bursts(
    samples: Sequence[Sample],
    how: AdaptationParams,
    interval_s: float,
    streams: float = 1.0,
) -> BurstRates:
    """Fit the rates of normal bursts, such that they hold on each of the samples.

    Parameters
    ----------
    samples : the first holds the magnitudes of all detectors.
    how : adaptation of the group.
    interval_s : seconds between readings.
    streams : of one asset.
    """
    found = [_by_delay(sample, how, interval_s, streams) for sample in samples]
    both: list[BurstRates] = [
        reduce(BurstRates.stricter, rates) for rates in zip(*found, strict=True)
    ]
    faults = _faults(samples[0], how)
    return min(both, key=lambda rates: _cost(rates, faults))


def _by_delay(
    sample: Sample, how: AdaptationParams, interval_s: float, streams: float
) -> list[BurstRates]:
    """Return the rates of one sample for each of DELAYS."""
    tail, follows = _tail(sample.cal, how)
    series, times = gone_through(sample.cal, sample.fast, follows)
    rarities = [-tail.log10_ps(values) for values in series]
    total = sum(map(len, rarities))
    by_p = [_by_p(total / times, interval_s, streams)] * len(DELAYS)
    for level in _LOWER:
        bursts = _bursts(rarities, level)
        if len(bursts) >= _FEWEST * times:
            break
    else:
        return by_p
    try:
        return [_rates(bursts, d, total, times, interval_s, streams) for d in DELAYS]
    except TrainingError:  # bursts all alike: nothing distinguishes peaks
        return by_p


def _by_p(readings: float, interval_s: float, streams: float) -> BurstRates:
    """Rates where bursts are too few to judge: no rarer than single readings, by their ``p``."""
    rarities = tuple(-rate for rate in RATES)
    rows = tuple(rarities for _ in LEVELS)
    return BurstRates(rarities, 1, rows, interval_s, streams, -math.log10(readings))


def _tail(cal: Calibration, how: AdaptationParams) -> tuple[Tail, AdaptationParams | None]:
    """Return the tail in force, and how it follows its stream; None: it stays."""
    return (cal.final, how) if how.rate else (cal.fixed, None)


def _bursts(rarities: Sequence[Floats], level: float) -> Floats:
    """Return the largest rarities in and around each burst, (bursts, max of DELAYS), falling."""
    longest = max(DELAYS)
    rows = []
    for values in rarities:
        at = np.flatnonzero(values >= level)
        if not len(at):
            continue
        for part in np.split(at, np.flatnonzero(np.diff(at) > APART + 1) + 1):
            near = values[max(0, part[0] - APART) : part[-1] + APART + 1]
            top = np.zeros(longest)
            largest = np.sort(near)[::-1][:longest]
            top[: len(largest)] = largest
            rows.append(top)
    return np.array(rows) if rows else np.empty((0, longest))


def _rates(
    bursts: Floats, on_delay: int, total: int, times: int, interval_s: float, streams: float
) -> BurstRates:
    base = math.log10(len(bursts) / total)
    rates = np.array(RATES)
    peaks = fit_tail([bursts[:, 0]], apart=0, repeats=times)
    single = np.array([peaks.quantile(min(rate - base, 0.0)) for rate in RATES])
    excess = np.array(_EXCESSES)
    tails = [_joint(bursts, on_delay, g, times) for g in _EXCESSES]
    lasting = []
    for level in LEVELS:
        log10_rate = base + np.array([tail.log10_p(level) for tail in tails])
        log10_rate = np.minimum.accumulate(log10_rate)
        lasting.append(level + np.interp(-rates, -log10_rate, excess))
    # a lasting burst is a burst: no rarer peak is asked of it
    rows = tuple(tuple(np.minimum(row, single).tolist()) for row in lasting)
    known = -math.log10(total / times)
    return BurstRates(tuple(single.tolist()), on_delay, rows, interval_s, streams, known)


def _joint(bursts: Floats, on_delay: int, excess: float, times: int) -> Tail:
    """Tail of ``min(peak - excess, on_delay-th largest)`` over the bursts."""
    both = np.minimum(bursts[:, 0] - excess, bursts[:, on_delay - 1])
    return fit_tail([both], apart=0, repeats=times)


def _faults(sample: Sample, how: AdaptationParams) -> list[Floats]:
    """Return ``-log10 p`` (_LASTS,) of each fault that the on-delay is chosen on."""
    values = np.concatenate(sample.fast)[:_MAX_SCORES]
    values = np.resize(values, max(len(values), 5 * _EVERY))
    starts = range(_EVERY, len(values) - _LASTS, _EVERY)
    tail, follows = _tail(sample.cal, how)
    faults = []
    for lift in _LIFTS:
        lifted = values.copy()
        for start in starts:
            lifted[start : start + _LASTS] += lift
        rarities = -tail.log10_ps(adapted(sample.cal, lifted, follows))
        faults += [rarities[start : start + _LASTS] for start in starts]
    return faults


def _cost(rates: BurstRates, faults: Sequence[Floats]) -> float:
    """Mean readings from a fault's beginning to its incident, none counting as all of it."""
    level = -math.log10(BUDGETS["medium"])
    rule = rates.rule(level, INCIDENT_BUDGETS["medium"], AT_ONCE)
    waits = [opening(rarities, level, rule) for rarities in faults]
    return float(np.mean([_LASTS if wait is None else wait for wait in waits]))


def opening(rarities: Floats, level: float, rule: OpeningRule) -> int | None:
    """Return the index at which an incident opens in ``-log10 p`` (n,); None where none does.

    Parameters
    ----------
    rarities : (n,)
        ``-log10 p`` of the readings, in order.
    level
        From which on a reading is anomalous.
    rule
        How many of them, or how rare a one, open an incident.
    """
    hits = quiet = 0
    peak = 0.0
    for i, rarity in enumerate(rarities.tolist()):
        if rarity < level:
            quiet += 1
            continue
        if quiet > APART:
            hits, peak = 0, 0.0
        quiet = 0
        hits += rarity >= LEAST_LEVEL
        peak = max(peak, rarity)
        if peak >= rule.at_once or (hits >= rule.on_delay and peak >= rule.peak):
            return i
    return None
