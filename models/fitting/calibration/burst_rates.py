"""Fit how often normal readings make bursts of anomalies, and how rare the bursts' peaks are.

Like the final tail, the rates are fitted on out-of-fold magnitudes after long adaptation. A group
with several streams gets a second fit on held-out streams, because future streams will differ; the
stricter of both rates applies. A burst is a cluster of readings beyond the gate. It has ``d``
anomalies at alarm level ``t`` and a peak of at least ``t + g`` if
``min(peak - g, d-th largest) >= t``. Each excess ``g`` therefore has one tail (generalised Pareto,
:mod:`models.scoring.magnitudes.tail`), which gives the rate at every level, even beyond the sample.

The on-delay is the one of a few that opens incidents soonest, at the medium budget, on simulated
faults: stretches of the same readings with their magnitude raised.
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
from models.fitting.calibration.calibrate import adapted, replayed
from models.scoring.alarms.bursts import (
    APART,
    AT_ONCE,
    INCIDENT_BUDGETS,
    LEVELS,
    MIN_LEVEL,
    RATES,
    BurstRates,
    OpeningRule,
)
from models.scoring.magnitudes.adaptation import AdaptationParams
from models.scoring.magnitudes.calibration import Calibration
from models.scoring.magnitudes.tail import Tail, fit_tail
from models.scoring.policy import BUDGETS

#: Candidate on-delays, in anomalies.
DELAYS: Final = (3, 6, 12)
#: Excesses of a burst's peak over the alarm level, in decades.
_EXCESSES: Final = tuple(0.5 * k for k in range(21))
#: Fewest bursts for a tail, and the levels that define bursts: the first with enough is used.
_FEWEST: Final = 30
_LOWER: Final = (MIN_LEVEL, 1.5, 1.0)
#: Simulated faults: decades added to the magnitude, readings per fault, readings between starts.
_LIFTS: Final = (2.0, 3.0, 4.0)
_LASTS: Final = 150
_EVERY: Final = 600
_MAX_SCORES: Final = 20_000  # readings that simulated faults are added to


@dataclass(frozen=True, slots=True)
class Sample:
    """Out-of-fold magnitudes of normal readings.

    Parameters
    ----------
    cal : calibration of the detectors that scored them.
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
    """Fit the rates of normal bursts; they hold on every sample.

    Parameters
    ----------
    samples : the first has the magnitudes of all detectors.
    how : adaptation of the group.
    interval_s : seconds between readings.
    streams : streams per asset.
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
    series, times = replayed(sample.cal, sample.fast, follows)
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
    except TrainingError:  # all bursts are alike, so no tail can be fitted
        return by_p


def _by_p(readings: float, interval_s: float, streams: float) -> BurstRates:
    """Return rates for too few bursts: those of single readings, given by their ``p``."""
    rarities = tuple(-rate for rate in RATES)
    rows = tuple(rarities for _ in LEVELS)
    return BurstRates(rarities, 1, rows, interval_s, streams, -math.log10(readings))


def _tail(cal: Calibration, how: AdaptationParams) -> tuple[Tail, AdaptationParams | None]:
    """Return the tail used live, and its adaptation; None: it does not adapt."""
    return (cal.final, how) if how.rate else (cal.fixed, None)


def _bursts(rarities: Sequence[Floats], level: float) -> Floats:
    """Return the largest rarities in and around each burst, (bursts, max(DELAYS)), descending."""
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
    # a lasting burst is also a burst, so its peak need not be rarer
    rows = tuple(tuple(np.minimum(row, single).tolist()) for row in lasting)
    known = -math.log10(total / times)
    return BurstRates(tuple(single.tolist()), on_delay, rows, interval_s, streams, known)


def _joint(bursts: Floats, on_delay: int, excess: float, times: int) -> Tail:
    """Fit the tail of ``min(peak - excess, on_delay-th largest)`` over the bursts."""
    both = np.minimum(bursts[:, 0] - excess, bursts[:, on_delay - 1])
    return fit_tail([both], apart=0, repeats=times)


def _faults(sample: Sample, how: AdaptationParams) -> list[Floats]:
    """Return ``-log10 p`` (_LASTS,) during each simulated fault."""
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
    """Return the mean delay from fault to incident in readings; _LASTS where none opens."""
    level = -math.log10(BUDGETS["medium"])
    rule = rates.rule(level, INCIDENT_BUDGETS["medium"], AT_ONCE)
    waits = [opening(rarities, level, rule) for rarities in faults]
    return float(np.mean([_LASTS if wait is None else wait for wait in waits]))


def opening(rarities: Floats, level: float, rule: OpeningRule) -> int | None:
    """Return the index of the reading that opens an incident; None if none does.

    Parameters
    ----------
    rarities : (n,)
        ``-log10 p`` of the readings, in order.
    level
        Rarity from which a reading is anomalous.
    rule
        What opens an incident.
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
        hits += rarity >= MIN_LEVEL
        peak = max(peak, rarity)
        if peak >= rule.at_once or (hits >= rule.on_delay and peak >= rule.peak):
            return i
    return None
