"""Whether a tail has to follow its stream as far as it may, or a little is enough.

Where levels wander a tail that follows its stream keeps the alarms of normal operation down. It
also follows a fault that lasts for hours, and then no longer shows it. So both are tried as they
serve, smoothing, adaptation and calibration, far beyond what was fitted on: on all that comes after
the first two and the first three fifths of each stream, and, read backwards, on all that comes
before the last ones. A little is enough where it holds the budget in half of these trials (one
block out of the ordinary decides nothing) and sees no less of what is injected, for 30 to 1,000
readings, at a threshold that holds the budget there: no less by more than chance. A tail that
alarms all the time has a threshold there that shows nothing, so what wanders further than a little
is followed all the way.
Nor is a little enough where the trials forwards in time together, or both of those backwards, alarm
more by it than chance makes so: what goes on and on goes further than any training shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.calibrate import fit_fixed, with_adaptation
from models.fitting.distance import Scoring, fit_distance
from models.fitting.trials import BUDGET, HOLDS, Fold, Steps, seen
from models.scoring.adaptation import AdaptationParams, AdaptiveTail
from models.scoring.calibration import Calibration

#: Standard errors between alarms that are more and those that chance makes so.
SURE: Final = 2.0
#: log10 of the budget at which a fault is to be seen.
MEDIUM: Final = -3.0
_SHARES: Final = (0.4, 0.6)  # of a stream that is known in a trial
_LEAST: Final = 200  # readings of a stream that show it
_KNOWN: Final = 10_000  # readings calibrated on, of all streams, the nearest
_FRESH: Final = 15_000  # readings tried on, of all streams together
_LEAD_IN: Final = 2_000  # readings gone through first, so that the tail is in its place
_FAULTS: Final = Steps(
    (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), (30, 300, 1_000), count=4, streams=3, part=3
)
_NAME: Final = ("one_class_svm",)  # the distance stands for an unbounded detector

#: Which readings of each injected fault alarm, and the alarms on the n readings without them.
Tried = tuple[list[Bools], int, int]


@dataclass(frozen=True, slots=True)
class Following:
    """What came of following as far as may be, and of following a little.

    Parameters
    ----------
    little : whether a little is enough.
    power : share of the readings of the injected faults that alarm, by far and by little.
    surplus : alarm rate on other readings, in budgets, likewise.
    """

    little: bool
    power: tuple[float, float]
    surplus: tuple[float, float]


def a_little(rate: float) -> AdaptationParams:
    """Return what a tail may follow where levels hold: one decade, at a third of the pace."""
    return AdaptationParams(0.3 * rate, min_stretch=1.0, max_stretch=1.0, max_offset=1.0)


def judge_following(
    streams: Sequence[Floats], horizon: int, shrinkage: float, slow: bool, seed: int = 0
) -> Following | None:
    """Try both on readings far from those fitted on; None where there is too little data.

    Parameters
    ----------
    streams : list of (n_i, d)
        Normal readings in their own units, features that vary only.
    horizon, shrinkage : as decided by :mod:`models.fitting.tolerance`.
    slow : whether the smoothed magnitude has a say, by :mod:`models.fitting.steadiness`.
    """
    folds = far_folds(streams)
    if not folds:
        return None
    rate = AdaptationParams().rate
    both = (AdaptationParams(rate), a_little(rate))
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
    # forwards in time, as it will serve, the trials count together
    goes_on = _more(alarms[::2].sum(axis=0)) or all(map(_more, alarms[1::2]))
    return Following(
        bool(surplus[1] <= HOLDS and not blind and not goes_on),
        (float(power[0]), float(power[1])), (float(surplus[0]), float(surplus[1])),
    )  # fmt: skip


def _more(alarms: Floats) -> bool:
    """Whether a little alarms more often than all the way, (2,) = (far, little), beyond chance."""
    far, little = alarms
    return bool(little - far > SURE * math.sqrt(little + far))


def far_folds(streams: Sequence[Floats]) -> list[Fold]:
    """Cut streams (n_i, d) that are long enough: (known, other), forwards and backwards in time."""
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
    """Return what tries a way to follow on one fold; its readings are scored here, for all ways.

    Parameters
    ----------
    fold
        Readings known, and those to try it on.
    fitted
        What scores them, fitted on the former, and each feature's spread (d,) there.
    slow
        Whether the smoothed magnitude has a say.
    seed
        Of the faults injected.
    budget
        As log10: what alarms are counted by.
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
            [(fault, _go_on(cal, how, states[fault.start], part)) for fault, part in changed]
            for (_, states), changed in zip(runs, faulty, strict=False)
        ]
        return seen([u for u, _ in runs], line, after), count, len(pooled)

    return trial


def _fast(cal: Calibration, raw: Floats) -> list[float]:
    values: list[float] = cal.combined(cal.decades({_NAME[0]: raw})).tolist()
    return values


def _follow(
    cal: Calibration, how: AdaptationParams, before: Floats, raw: Floats, stops: set[int]
) -> tuple[Floats, dict[int, list[float]]]:
    """Magnitudes (n,) of ``raw`` as the tail sees them after ``before``, and its states."""
    tail = AdaptiveTail(cal.median, age=how.start)
    for fast in _fast(cal, before):
        tail.step(fast, cal, how)
    out, states = np.empty(len(raw)), {}
    for i, fast in enumerate(_fast(cal, raw)):
        if i in stops:
            states[i] = tail.to_list()
        out[i] = tail.step(fast, cal, how)[1]
    return out, states


def _go_on(cal: Calibration, how: AdaptationParams, state: list[float], raw: Floats) -> Floats:
    """Magnitudes (n,) of ``raw`` as a tail of this state sees them."""
    tail = AdaptiveTail.from_list(state)
    return np.array([tail.step(fast, cal, how)[1] for fast in _fast(cal, raw)])
