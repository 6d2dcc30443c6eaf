"""Leave faults that nobody labelled out of training: events far beyond all that is normal there.

History holds faults. Those that stay in widen every scale and tail until their like is not seen
any more. What is judged is the distance of the decorrelated row, averaged over a few readings so
that no heavy tail of single readings counts, and not readings but *events*: stretches above the
80 % quantile. How far normal events go is estimated from the lower three quarters of them: a
generalised Pareto tail, its shape not below 0 and shrunk to it as everywhere. An event is left out
where it is higher than the highest of one in a hundred clean training sets would be. Events that
come at equal intervals are a cycle, not faults; and a feature that rests but for what may be left
out says nothing here: bursts are its way to work.

The search begins without the highest events, as many as may be left out, and lets those in again
that are not too high beside the rest, until nothing changes: a tenth of the readings hides itself
where it has a say in what is normal. Never is more left out than the stated share, the highest
first: what takes up more is a way to operate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.detectors.covariance import winsorised_std
from models.fitting.cleaning import Cleaned
from models.fitting.condition_fit import restate
from models.fitting.distance import fit_distance
from models.fitting.scaling import SHRINKAGE, drift_is_fault, fit_scales
from models.scoring.conditions import Conditions
from models.scoring.garbage import row_ranges
from models.scoring.tail import SHAPE_PRIOR_SD

_WIDTH: Final = 9  # readings averaged over
_ABOVE: Final = 0.8  # quantile above which a stretch is an event
_APART: Final = 5  # readings below it that part two events
_LEAST: Final = 30  # events that show how far normal ones go; half when the highest are out
_CENSORED: Final = 0.75  # quantile of the events above which only their number counts
_CHANCE: Final = 0.01  # of a clean training set to lose anything
_TIMES: Final = 5  # events that can be a cycle
_REGULAR: Final = 0.1  # of the shortest interval that they may be off
_STEADY: Final = 0.25  # of a feature's deviation that is there without what may be left out
#: Of how far normal events go: above it, an event that is too long is left out.
_CORE: Final = 0.25
_ROUNDS: Final = 8


def without_faulty(
    data: Cleaned, max_share: float, conditions: Conditions | None = None
) -> Cleaned:
    """Return the training data without faults that nobody labelled, and a note on what they are.

    All of it for a fleet of short runs: units differ, and events there are units.

    Parameters
    ----------
    data : without garbage, as received.
    max_share : share of the readings that may be left out.
    conditions : of operation; an event is one within its condition. None: there is one normal.
    """
    seen = restate(conditions, data.streams)
    kept = fit_scales(seen, data.names).kept
    if not max_share or not kept or drift_is_fault(data.streams):
        return data
    masks = faulty([s[:, kept] for s in seen], max_share)
    gone = sum(int(mask.sum()) for mask in masks)
    if not gone:
        return data
    total = sum(map(len, masks))
    rows = row_ranges(np.flatnonzero(np.concatenate(masks)) + 1)
    note = (
        f"{gone:,} of {total:,} readings lie in events far beyond all others and were left out as"
        f" faults that nobody labelled (rows {rows} of the readings fitted on; --trim 0 keeps them)"
    )
    left = [i for i, mask in enumerate(masks) if not mask.all()]
    times = data.timestamps
    return replace(
        data,
        streams=[data.streams[i][~masks[i]] for i in left],
        timestamps=None if times is None else [times[i][~masks[i]] for i in left],
        notes=[*data.notes, note],
    )


def faulty(streams: Sequence[Floats], max_share: float) -> list[Bools]:
    """Return which readings (n_i,) of each stream belong to faults that nobody labelled.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in their own units, features that vary only.
    max_share : share of all readings that may.
    """
    found = [np.zeros(len(s), bool) for s in streams]
    whole = np.concatenate(streams).std(axis=0)
    use = np.ones(len(whole), bool)
    line: float | None = -np.inf  # first the highest events, whatever they are
    for _ in range(_ROUNDS if max_share > 0 else 0):
        known = [s[~mask] for s, mask in zip(streams, found, strict=True) if not mask.all()]
        use &= winsorised_std(np.concatenate(known)) >= _STEADY * whole
        if not use.any():
            break
        score, _spread = fit_distance([s[:, use] for s in known], 0, SHRINKAGE)
        again = _beyond([_averaged(score(s[:, use])) for s in streams], found, line, max_share)
        if line is None and all(np.array_equal(a, b) for a, b in zip(again, found, strict=True)):
            break
        found, line = again, None
    return found


def _beyond(
    heights: list[Floats], found: list[Bools], line: float | None, max_share: float
) -> list[Bools]:
    """Return the readings of the events that are higher than ``line``, the highest first.

    Without a line it is that of the events that are not yet ``found``.
    """
    start = float(np.quantile(np.concatenate(heights), _ABOVE))
    events = [(i, a, b) for i, h in enumerate(heights) for a, b in _events(h > start)]
    out = [np.zeros(len(h), bool) for h in heights]
    peaks = np.array([heights[i][a:b].max() - start for i, a, b in events])
    usual = np.array([found[i][a:b].mean() < 0.5 for i, a, b in events], bool)
    if len(events) < _LEAST or usual.sum() < _LEAST // 2:
        return out
    if line is None:
        line = _furthest(peaks[usual])
    left = max_share * sum(map(len, heights))
    high = [at for at in np.argsort(-peaks).tolist() if peaks[at] > line]
    regular = {i for i in range(len(heights)) if _cycle([events[at][1] for at in high
                                                         if events[at][0] == i])}  # fmt: skip
    chosen = [events[at] for at in high if events[at][0] not in regular]
    if np.isfinite(line) and sum(b - a for _, a, b in chosen) > left:  # without their surroundings
        inner = [a + np.flatnonzero(heights[i][a:b] > start + _CORE * line) for i, a, b in chosen]
        chosen = [(e[0], w[0], w[-1] + 1) for e, w in zip(chosen, inner, strict=True)]
    for i, a, b in chosen:
        if b - a <= left:
            left -= b - a
            out[i][a:b] = True
    return out


def _cycle(starts: list[int]) -> bool:
    """Return whether events come at equal intervals, some of which may pass without one.

    That is, whether more intervals are whole multiples of the median one than chance makes so.
    """
    from scipy.stats import binom

    if len(starts) < _TIMES:
        return False
    gaps = np.diff(np.sort(starts))
    times = gaps / np.median(gaps)
    regular = np.abs(times - np.maximum(np.round(times), 1.0)) <= _REGULAR
    # the median one fits itself
    chance = binom.sf(np.count_nonzero(regular) - 2, len(gaps) - 1, 2.0 * _REGULAR)
    return bool(chance <= _CHANCE)


def _furthest(peaks: Floats) -> float:
    """Return the height that the highest of so many normal events exceeds by _CHANCE.

    By a censored likelihood: of the highest quarter only how many they are counts.
    """
    cut = float(np.quantile(peaks, _CENSORED))
    low = peaks[peaks <= cut]
    high = len(peaks) - len(low)
    times = len(peaks) / _CHANCE
    best = (-np.inf, np.inf)
    for shape in np.linspace(0.01, 0.5, 50):
        for scale in float(np.median(peaks)) / np.log(2.0) * np.linspace(0.5, 2.0, 31):
            grown = np.log1p(shape * low / scale).sum() * (1.0 + 1.0 / shape)
            like = -len(low) * np.log(scale) - grown
            like -= high / shape * np.log1p(shape * cut / scale)
            like -= 0.5 * (shape / SHAPE_PRIOR_SD) ** 2
            if like > best[0]:
                best = (like, float(scale / shape * (times**shape - 1.0)))
    return best[1]


def _events(above: Bools) -> list[tuple[int, int]]:
    """Return the stretches of ``above`` (n,), joined where few readings part them."""
    at = np.flatnonzero(above)
    if not len(at):
        return []
    parts = np.split(at, np.flatnonzero(np.diff(at) > _APART) + 1)
    half = _WIDTH // 2
    return [(max(int(p[0]) - half, 0), min(int(p[-1]) + half + 1, len(above))) for p in parts]


def _averaged(values: Floats) -> Floats:
    from scipy.ndimage import uniform_filter1d

    out: Floats = uniform_filter1d(values, _WIDTH, mode="nearest")
    return out
