"""Find events in a magnitude, and how high normal ones get.

The heights of normal events have a generalised Pareto tail with a shape of at least 0, shrunk
towards 0. It is fitted to their lower three quarters: the others may be faults. Whatever the tail,
a gap between successive heights that a heavy one hardly ever has sets events apart. Of a Pareto
tail the ratio of two successive heights exceeds ``g`` with probability ``g ** (-k / shape)``, if
``k`` events are higher (Renyi 1953): several events need a smaller gap than a single one.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.scoring.magnitudes.tail import SHAPE_PRIOR_SD

RARELY: Final = 0.0025  # probability that clean data lose anything by a further search
_APART: Final = 5  # maximum number of other readings within one event
_CENSORED: Final = 0.75  # quantile of the heights above which events are censored
_CENSORED_SPIKES: Final = 0.9  # the same of single readings above their median height
#: Lower heights, three quarters of 30, that tell the scale of their tail well enough. With fewer,
#: ``m``, its shape grows as ``1 / m``, that of the predictive tail of ``m`` exponential heights.
_ENOUGH: Final = 22
#: Ratio of two successive heights that a tail of two prior deviations' shape has so rarely above
#: one event ...
_GAP: Final = RARELY ** (-2.0 * SHAPE_PRIOR_SD)
#: ... and, rounded up, above two or more. Tails of such a shape are no pure Pareto tails, so that
#: smaller gaps above more events are more frequent than by the law.
_SEVERAL: Final = 2.0
#: Of more events than this share of all, a smaller gap tells another way to operate.
_FEW: Final = 0.05
#: A sensor that scatters more makes so many of so many readings far, with usual ones between.
_FAR: Final = 3
_AMONG: Final = 30


def furthest(peaks: Floats, chance: float) -> float:
    """Return the height that the highest of normal events exceeds with probability ``chance``.

    Maximum likelihood, censored: of the highest quarter only the number counts.

    Parameters
    ----------
    peaks : (n,)
        Heights of the events, which need not all be normal.
    """
    return _furthest(peaks, chance, _CENSORED)


def furthest_spike(heights: Floats, chance: float) -> float:
    """Return the same for single readings, by their heights above the median (n,).

    Spikes are rarer among readings than faults among events: of the highest tenth of these only the
    number counts.
    """
    median = float(np.median(heights)) if len(heights) else np.inf
    above = heights[heights > median] - median
    return median + _furthest(above, chance, _CENSORED_SPIKES) if len(above) else np.inf


def _furthest(peaks: Floats, chance: float, censored: float) -> float:
    cut = float(np.quantile(peaks, censored))
    low = peaks[peaks <= cut]
    high = len(peaks) - len(low)
    times = len(peaks) / chance
    unsure = max(1.0 / max(len(low), 1) - 1.0 / _ENOUGH, 0.0)
    best = (-np.inf, np.inf)
    for shape in np.linspace(0.01, 0.5, 50):
        for scale in float(np.median(peaks)) / np.log(2.0) * np.linspace(0.5, 2.0, 31):
            grown = np.log1p(shape * low / scale).sum() * (1.0 + 1.0 / shape)
            like = -len(low) * np.log(scale) - grown
            like -= high / shape * np.log1p(shape * cut / scale)
            like -= 0.5 * (shape / SHAPE_PRIOR_SD) ** 2
            if like > best[0]:
                wide = shape + unsure
                best = (like, float(scale / wide * (times**wide - 1.0)))
    return best[1]


def apart(peaks: Floats, gone: int = 0) -> float:
    """Return the height above which events lie beyond a gap that hardly any normal ones have.

    The gap is looked for in the highest quarter.

    Parameters
    ----------
    peaks : (n,)
        Heights of the events.
    gone
        Number of events that were left out before: they lie above the gap, too.
    """
    high = np.sort(peaks)[::-1][: int(len(peaks) * (1.0 - _CENSORED)) + 1]
    above = gone + np.arange(1, len(high))
    few = (above > 1) & (above <= _FEW * len(peaks))
    gap = np.where(few, _SEVERAL, _GAP)
    at = np.flatnonzero(high[:-1] > gap * high[1:])
    return float(gap[at[-1]] * high[at[-1] + 1]) if len(at) else np.inf


def stretches(above: Bools, width: int) -> list[tuple[int, int]]:
    """Return start and end of each stretch of ``above`` (n,), an average over ``width`` readings.

    Stretches that few readings separate are joined.
    """
    at = np.flatnonzero(above)
    if not len(at):
        return []
    parts = np.split(at, np.flatnonzero(np.diff(at) > min(_APART, width)) + 1)
    half = width // 2
    return [(max(int(p[0]) - half, 0), min(int(p[-1]) + half + 1, len(above))) for p in parts]


def averaged(values: Floats, width: int) -> Floats:
    """Return the centred moving average (n,) over ``width`` readings."""
    from scipy.ndimage import uniform_filter1d

    out: Floats = uniform_filter1d(values, width, mode="nearest")
    return out


def scattering(values: Floats) -> Floats:
    """Return the third highest of the 30 values around each (n,), each less its lower neighbour.

    A sensor that only scatters more makes some readings far, but leaves others between them as
    usual: these hide it in an average. A level that moves and comes back stands out from a
    neighbour twice only, at its ends; averages judge it. Beyond the first and the last value
    nothing counts.
    """
    from scipy.ndimage import rank_filter

    if len(values) < _FAR:
        return np.zeros(len(values))
    padded = np.pad(values, 1, mode="edge")
    above = values - np.minimum(padded[:-2], padded[2:])
    out: Floats = rank_filter(above, -_FAR, size=min(_AMONG, len(values)), mode="constant")
    return out
