"""Turn raw magnitudes into tail probabilities, and these into the common score.

``p`` is the probability, under normal operation, of a magnitude at least as large. The score has
the same scale for every asset, detector and version: ``clip(-0.2 * log10(p) - 0.1, 0, 1)``.

A :class:`Tail` is an empirical body and a generalised Pareto tail (peaks over threshold; Pickands
1975, Coles 2001). The tail is *predictive*: its shape is widened by one over the number of
independent exceedances, so that ``p`` holds on average over training sets and not only for the
fitted parameters (for an exponential tail with k exceedances the predictive law is exactly a
Pareto with shape 1/k; cf. Cox & Barndorff-Nielsen, Inference and Asymptotics, 1994). Where the
fitted tail is bounded, the second half of the way to its end is replaced by a straight line, so
that what lies beyond is still ranked. A few readings far beyond all others, faults that nobody
labelled, have no say in its shape: three of them among 8,640 would leave an alarm rate of a quarter
of the budget.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np

from errors import TrainingError
from models.arrays import Floats
from models.detectors.base import Array
from models.scoring.stored import Stored

#: Lower bound of ``log10`` of a reported ``p``: no sample supports less. ``log10_p`` itself is not
#: bounded, so that far and very far stay distinct.
FLOOR: Final = -12.0
#: The Pareto tail is fitted to so many readings, a share between those below: few readings need a
#: large share to estimate a scale, many allow a small one, which is less biased.
TAIL_READINGS: Final = (70, 170)
MIN_SHARE: Final = 0.02
USUAL_SHARE: Final = 0.05
MAX_SHARE: Final = 0.2
#: If the highest reading is so far off that fewer than CHANCE of all samples would contain such a
#: one, the highest readings, this share of the tail's, are censored: only their number counts.
CENSORED: Final = 0.1
CHANCE: Final = 0.01
#: Exceedances at most this many readings apart belong to one cluster.
APART: Final = 5
_BODY = 64  # points of the empirical distribution below the tail
#: Standard deviation of the shape's normal prior around 0.
SHAPE_PRIOR_SD: Final = 0.1


def score_of(log10_p: float) -> float:
    """Return the common score of a tail probability given as ``log10 p``; rounded to 1e-6."""
    score = -0.2 * log10_p - 0.1
    return 0.0 if score < 0.0 else 1.0 if score > 1.0 else round(score, 6)


@lru_cache(maxsize=64)
def threshold_of(budget: float) -> float:
    """Return the score threshold of a false-alarm budget (probability per reading)."""
    return score_of(math.log10(budget))


def criticality_of(score: float) -> str:
    """Return the severity of a score: critical, high, medium or low."""
    if score < 0.5:
        return "low"
    return "medium" if score < 0.7 else "high" if score < 0.9 else "critical"


@dataclass(frozen=True, slots=True)
class Tail(Stored):
    """Exceedance probability of a magnitude.

    Parameters
    ----------
    x : ascending magnitudes; the last one is where the Pareto tail starts.
    y : ``log10`` of the probability to exceed each of ``x``; descending.
    beta : scale of the tail, in the magnitude's unit; its mean excess when the shape is 0.
    xi : predictive shape of the tail; below 0 it ends somewhere.
    n_eff : effective number of independent readings in the calibration sample.
    """

    KEYS: ClassVar = ("x", "y", "beta", "xi", "n_eff")

    x: tuple[float, ...]
    y: tuple[float, ...]
    beta: float
    xi: float
    n_eff: float
    _xs: Floats = field(init=False, repr=False, compare=False)
    _ys: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # also stored as arrays: creating them for each call would cost more than the scoring
        object.__setattr__(self, "_xs", np.array(self.x, np.float64))
        object.__setattr__(self, "_ys", np.array(self.y, np.float64))

    def log10_p(self, magnitude: float) -> float:
        """Return ``log10`` of the probability of a magnitude at least this large.

        At most 0, unbounded below.
        """
        x = self.x
        if magnitude > x[-1]:
            excess = (magnitude - x[-1]) / self.beta
            if abs(self.xi) <= 1e-9:
                return self.y[-1] - excess * _LOG10_E
            inside = 1.0 + self.xi * excess
            more = max(_END - inside, 0.0) / (_END * self.xi) * _LOG10_E
            return self.y[-1] - math.log10(max(inside, _END)) / self.xi + more
        at = bisect_right(x, magnitude)
        if at == 0:
            return 0.0
        if at == len(x):
            return self.y[-1]
        left, right = x[at - 1], x[at]
        low = self.y[at - 1]
        return low + (self.y[at] - low) * (magnitude - left) / (right - left)

    def log10_ps(self, magnitudes: Array) -> Floats:
        """Return :meth:`log10_p` of an array of any shape."""
        excess = np.maximum(magnitudes - self.x[-1], 0.0) / self.beta
        if abs(self.xi) > 1e-9:
            inside = 1.0 + self.xi * excess
            more = np.maximum(_END - inside, 0.0) / (_END * self.xi) * _LOG10_E
            drop = np.log10(np.maximum(inside, _END)) / self.xi - more
        else:
            drop = excess * _LOG10_E
        body: Floats = np.interp(magnitudes, self._xs, self._ys, left=0.0)
        out: Floats = body - drop
        return out

    def decades(self, magnitudes: Array) -> Floats:
        """Return magnitudes (any shape) in decades: ``-log10 p`` with an exponential tail.

        Beyond the data, decades are linear in the magnitude. Larger magnitudes thus always give
        more decades, and ratios to an event's peak are meaningful. They are not a calibrated
        probability there; :meth:`log10_p` is.
        """
        excess = np.maximum(magnitudes - self.x[-1], 0.0) * (_LOG10_E / self.beta)
        out: Floats = excess - np.interp(magnitudes, self._xs, self._ys, left=0.0)
        return out

    def quantile(self, log10_p: float) -> float:
        """Return the magnitude exceeded with this probability."""
        if log10_p < self.y[-1]:
            drop = self.y[-1] - log10_p
            if abs(self.xi) <= 1e-9:
                return self.x[-1] + self.beta * drop / _LOG10_E
            inside = 10.0 ** (self.xi * drop)
            if inside < _END:
                inside = _END * (1.0 + (self.xi * drop - math.log10(_END)) / _LOG10_E)
            return float(self.x[-1] + self.beta * (inside - 1.0) / self.xi)
        return float(np.interp(-log10_p, [-v for v in self.y], self.x))

    def extrapolated(self, log10_p: float) -> bool:
        """Return whether ``p`` lies more than ten times beyond what the sample supports."""
        return log10_p < -math.log10(self.n_eff) - 1.0

    def stretched(self, ratio: float) -> Tail:
        """Return the tail with all distances above the median multiplied by ``ratio``."""
        middle = self.quantile(math.log10(0.5))
        x = tuple(v if v <= middle else middle + ratio * (v - middle) for v in self.x)
        return replace(self, x=x, beta=self.beta * ratio)


_LOG10_E = math.log10(math.e)
_END = 0.5  # share of the way to a tail's end that is left where it goes on as a straight line


def fit_tail(series: list[Floats], *, apart: int = APART, repeats: int = 1) -> Tail:
    """Fit body and tail to magnitudes of normal readings.

    Parameters
    ----------
    series : list of (n_i,) arrays
        Out-of-fold magnitudes in time order, one array per stream: the order shows how many
        independent exceedances there are.
    apart : int
        Maximum number of readings between exceedances of one cluster.
    repeats : int
        Number of times that the series contain each reading: repetitions add no information.

    Raises
    ------
    TrainingError
        Fewer than 20 magnitudes, or all equal.
    """
    pooled = np.sort(np.concatenate(series)) if series else np.empty(0)
    n = len(pooled)
    if n < 20:
        raise TrainingError(f"calibration needs at least 20 readings, got {n}")
    if not np.isfinite(pooled).all() or pooled[0] == pooled[-1]:
        raise TrainingError("calibration: the detector gives the same magnitude for every reading")
    known = n / repeats
    few, many = (readings / known for readings in TAIL_READINGS)
    share = min(max(few, min(many, USUAL_SHARE), MIN_SHARE), MAX_SHARE)
    share = min(max(share, 10.0 / known), 0.5)
    start = float(np.quantile(pooled, 1.0 - share))
    if start >= pooled[-1]:  # few levels, the highest of them often: it is the tail
        start = float(pooled[pooled < pooled[-1]][-1])
    excess = pooled[pooled > start] - start
    tau = cluster_size(series, start, apart)
    k_eff = max(len(excess) / repeats / tau, 2.0)
    xi, beta = _robust_gpd(excess, k_eff)
    tail_p = len(excess) / n
    # evenly spaced in log10 p, so that the body has enough points near the tail
    y = np.linspace(0.0, math.log10(tail_p), _BODY)[1:-1]
    x = np.quantile(pooled, 1.0 - 10.0**y)
    x = np.concatenate([[pooled[0]], x, [start]])
    y = np.concatenate([[0.0], y, [math.log10(tail_p)]])
    # what many readings have alike is as rare as all of them, not as what lies beyond
    keep = np.concatenate([[True], np.diff(x) > 0])
    if not keep[-1]:
        x[-1], keep[-1] = np.nextafter(start, np.inf), True
    return Tail(
        tuple(map(float, x[keep])), tuple(map(float, y[keep])),
        float(beta), float(xi + 1.0 / k_eff), float(known / tau),
    )  # fmt: skip


def cluster_size(series: list[Floats], start: float, apart: int = APART) -> float:
    """Return the mean number of exceedances in a cluster (the runs estimator).

    Parameters
    ----------
    series : list of (n_i,)
        Magnitudes in time order.
    start
        Threshold of an exceedance.
    apart
        Maximum number of readings between exceedances of one cluster.
    """
    exceed = clusters = 0
    for values in series:
        at = np.flatnonzero(values > start)
        exceed += len(at)
        clusters += int(len(at) > 0) + int(np.count_nonzero(np.diff(at) > apart))
    return max(exceed / max(clusters, 1), 1.0)


def _robust_gpd(excess: Floats, k_eff: float) -> tuple[float, float]:
    """Return shape and scale of the tail above its start, robust against a few outliers.

    A few readings far off, such as unlabelled faults, would otherwise determine the shape and so
    every threshold. The censored fit ignores how far off the highest readings are. It is used if
    the highest reading is improbable under it: fewer than CHANCE of all samples have such a one.
    """
    xi, beta = _fit_gpd(excess, k_eff, CENSORED)
    shape = max(xi + 1.0 / k_eff, 1e-6)
    further = k_eff * (1.0 + shape * float(excess.max()) / beta) ** (-1.0 / shape)
    return (xi, beta) if further < CHANCE else _fit_gpd(excess, k_eff)


def _fit_gpd(excess: Floats, k_eff: float, censored: float = 0.0) -> tuple[float, float]:
    """Fit shape and scale by likelihood on a grid of shapes, shrunk to 0 by a normal prior.

    The likelihood counts as ``k_eff`` independent readings; the scale is profiled out. Of the
    excesses (n,) the highest, a share of ``censored``, only enter by their number.
    """
    cut = float(np.quantile(excess, 1.0 - censored))
    known = excess <= cut
    share = float(known.mean())
    clipped = np.minimum(excess, cut)
    mean = float(clipped.mean()) / share
    best = (-math.inf, 0.0, mean)
    for xi in np.linspace(-0.2, 0.5, 29):
        betas = mean * (1.0 - xi) * np.linspace(0.7, 1.4, 15)
        inside = 1.0 + xi * clipped / betas[:, None]
        within = inside.min(axis=1) > 0.0
        logs = np.log(inside[within])
        densities = logs[:, known].sum(axis=1) / len(excess)
        beyond = logs.mean(axis=1)
        for beta, density, log in zip(betas[within], densities, beyond, strict=True):
            rest = share * mean / beta if abs(xi) < 1e-9 else density + log / xi
            total = -k_eff * (share * math.log(beta) + rest) - 0.5 * (xi / SHAPE_PRIOR_SD) ** 2
            if total > best[0]:
                best = (total, float(xi), float(beta))
    return best[1], best[2]
