"""Choose between narrow and wide limits of the tail's adaptation.

An adaptive tail keeps false alarms down where levels wander. But it also adapts to a fault that
lasts for hours, and then no longer shows it. Narrow and wide limits are therefore tried as in
service, with smoothing, adaptation and calibration, far beyond the fitted readings: on everything
after the first two fifths and the first three fifths of each stream and, read backwards in time, on
everything before the last two and three fifths. Narrow limits are enough if they

- hold the budget in half of these four trials, so that one unusual block does not decide;
- detect no less of injected faults of 30 to 1,000 readings than wide limits, within the standard
  error, at a threshold that holds the budget in the trial (limits that are too narrow for a stream
  alarm constantly, which raises this threshold until nothing is detected);
- do not alarm significantly more than wide limits in the forward trials together, nor in both
  backward trials: a level that keeps moving will go further than any training data show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.calibration.calibrate import fit_fixed, with_adaptation
from models.fitting.trials.distance import Scoring, fit_distance
from models.fitting.trials.ways_of_scoring import BUDGET, HOLDS, Fold, Steps, seen
from models.scoring.magnitudes.adaptation import AdaptationParams, AdaptiveTail
from models.scoring.magnitudes.calibration import Calibration

#: Standard errors that make a difference significant.
SURE: Final = 2.0
#: log10 of the budget at criticality medium.
MEDIUM: Final = -3.0
_SHARES: Final = (0.4, 0.6)  # share of a stream that is fitted on, by trial
_LEAST: Final = 200  # fewest readings of a usable stream
_KNOWN: Final = 10_000  # readings of all streams to calibrate on, at most: those nearest the trial
_FRESH: Final = 15_000  # readings per stream to try on, at most; also limits the number of streams
_LEAD_IN: Final = 2_000  # readings replayed first, so that the tail has adapted
_FAULTS: Final = Steps(
    (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), (30, 300, 1_000), count=4, streams=3, part=3
)
_NAME: Final = ("one_class_svm",)  # the distance stands for an unbounded detector

#: Detected readings of each injected fault, and the number of alarms on n fault-free readings.
Tried = tuple[list[Bools], int, int]


@dataclass(frozen=True, slots=True)
class Following:
    """Results of wide and of narrow limits.

    Parameters
    ----------
    narrow_enough : whether narrow limits are enough.
    power : detected share of the injected faults' readings, with wide and with narrow limits.
    surplus : alarm rate on fault-free readings in budgets, with wide and with narrow limits.
    shares : (faults,) detected share of each fault's readings, with the limits that are enough.
    alarms : (trials,) alarms on fault-free readings with these limits; forwards, backwards, ...
    readings : (trials,) fault-free readings.
    """

    narrow_enough: bool
    power: tuple[float, float]
    surplus: tuple[float, float]
    shares: Floats
    alarms: Floats
    readings: Floats


def narrow_limits(rate: float) -> AdaptationParams:
    """Return the narrow limits: an offset of at most one decade, at a third of the pace."""
    return AdaptationParams(0.3 * rate, min_stretch=1.0, max_stretch=1.0, max_offset=1.0)


def judge_following(
    streams: Sequence[Floats], horizon: int, shrinkage: float, slow: bool, seed: int = 0
) -> Following | None:
    """Try both limits on readings far from the fitted ones; None if there is too little data.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in own units, varying features only.
    horizon, shrinkage : chosen by :mod:`models.fitting.trials.tolerance`.
    slow : whether the slow magnitude is used, chosen by :mod:`models.fitting.trials.steadiness`.
    """
    folds = far_folds(streams)
    if not folds:
        return None
    rate = AdaptationParams().rate
    both = (AdaptationParams(rate), narrow_limits(rate))
    trials = []
    for k, fold in enumerate(folds):
        trial = far_trial(fold, fit_distance(fold[0], horizon, shrinkage), slow, [seed, 5, k])
        trials.append([trial(how) for how in both])
    shares = np.concatenate(
        [[[one.mean() for one in faults] for faults, _, _ in ways] for ways in trials], axis=1
    )
    power = shares.mean(axis=1)
    less = shares[0] - shares[1]
    blind = less.mean() > SURE * less.std() / math.sqrt(len(less))
    alarms = np.array([[count for _, count, _ in ways] for ways in trials], np.float64)
    readings = np.array([[n for _, _, n in ways] for ways in trials])
    surplus = np.sort(alarms / readings / BUDGET, axis=0)[(len(folds) - 1) // 2]
    # the forward trials, which resemble service, are pooled
    goes_on = _more(alarms[::2].sum(axis=0)) or all(map(_more, alarms[1::2]))
    enough = bool(surplus[1] <= HOLDS and not blind and not goes_on)
    return Following(
        enough, (float(power[0]), float(power[1])), (float(surplus[0]), float(surplus[1])),
        shares[int(enough)], alarms[:, int(enough)], readings[:, 0].astype(np.float64),
    )  # fmt: skip


def _more(alarms: Floats) -> bool:
    """Return whether narrow limits alarm significantly more; ``alarms`` is (wide, narrow)."""
    wide, narrow = alarms
    return bool(narrow - wide > SURE * math.sqrt(narrow + wide))


def far_folds(streams: Sequence[Floats]) -> list[Fold]:
    """Cut long streams (n_i, d) into (known, other), forwards and backwards in time."""
    streams = [s for s in streams if len(s) >= _LEAST]
    out: list[Fold] = []
    for share in _SHARES if streams else ():
        for way in (1, -1):
            ahead = [s[::way] for s in streams]
            cut = [int(share * len(s)) for s in streams]
            known = [s[:k] for s, k in zip(ahead, cut, strict=True)]
            out.append((known, [s[k:][:_FRESH] for s, k in zip(ahead, cut, strict=True)]))
    return out


def far_trial(
    fold: Fold,
    fitted: tuple[Scoring, Floats],
    slow: bool,
    seed: list[int],
    budget: float = math.log10(BUDGET),
) -> Callable[[AdaptationParams], Tried]:
    """Return a function that tries adaptation parameters on one fold.

    The fold's readings are scored once, for all parameters.

    Parameters
    ----------
    fold
        Fitted readings, and readings to try on.
    fitted
        Score fitted on the former, and the features' spread (d,) there.
    slow
        Whether the slow magnitude is used.
    seed
        Seed of the injected faults.
    budget
        log10 of the budget at which alarms are counted.
    """
    (known, other), (score, spread) = fold, fitted
    share = _KNOWN // len(known)
    near = [score(s[-share:]) for s in known]
    many = max(_FAULTS.streams, _FRESH // max(map(len, other)))
    calm = [score(s) for s in other[:many]]
    faulty = [
        [(fault, score(part)) for fault, part in changed]
        for changed in _FAULTS.inject(other, spread, np.random.default_rng(seed))
    ]
    fixed, fast = fit_fixed(_NAME, [s[None] for s in near], [np.zeros(len(s)) for s in near],
                            slow, 1.0)  # fmt: skip
    stops = [{fault.start for fault, _ in changed} for changed in faulty]
    stops += [set()] * (len(calm) - len(stops))

    def trial(how: AdaptationParams) -> Tried:
        cal = with_adaptation(fixed, fast, how)
        runs = [
            _follow(cal, how, before[-_LEAD_IN:], after, here)
            for before, after, here in zip(near, calm, stops, strict=False)
        ]
        pooled = np.concatenate([u for u, _ in runs])
        count = int(np.count_nonzero(pooled > cal.final.quantile(budget)))
        line = max(cal.final.quantile(MEDIUM), float(np.quantile(pooled, 1.0 - BUDGET)))
        after = [
            [(fault, _go_on(cal, how, tails[fault.start], part)) for fault, part in changed]
            for (_, tails), changed in zip(runs, faulty, strict=False)
        ]
        return seen([u for u, _ in runs], line, after), count, len(pooled)

    return trial


def _fast(cal: Calibration, raw: Floats) -> Floats:
    return cal.combined(cal.decades({_NAME[0]: raw}))


def _follow(
    cal: Calibration, how: AdaptationParams, before: Floats, raw: Floats, stops: set[int]
) -> tuple[Floats, dict[int, AdaptiveTail]]:
    """Return adapted magnitudes (n,) of ``raw`` after ``before``, and the tails at ``stops``."""
    tail = AdaptiveTail(cal.median, age=how.start)
    tail.follow(_fast(cal, before), cal, how)
    cuts = sorted({0, *stops})
    out, tails = [], {}
    for cut, part in zip(cuts, np.split(_fast(cal, raw), cuts[1:]), strict=True):
        tails[cut] = tail.copy()
        out.append(tail.follow(part, cal, how))
    return np.concatenate(out), tails


def _go_on(cal: Calibration, how: AdaptationParams, tail: AdaptiveTail, raw: Floats) -> Floats:
    """Return adapted magnitudes (n,) of ``raw``, by a tail like ``tail``."""
    return tail.copy().follow(_fast(cal, raw), cal, how)
