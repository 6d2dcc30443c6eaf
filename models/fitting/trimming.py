"""Leave unlabelled faults out of training: events far beyond all normal ones.

Historical data contain faults. Fitting on them widens every scale and tail until similar faults are
no longer detected. The search uses the distance of the decorrelated row, averaged over a few
readings so that heavy tails of single readings do not count. It judges *events*: stretches above
the 80 % quantile. The height distribution of normal events is a generalised Pareto tail fitted to
their lower three quarters, with a shape of at least 0, shrunk towards 0. An event is left out if it
is higher than the highest event in all but one of a hundred clean training sets. Events at equal
intervals are a cycle, not faults. A stream that always stands apart from the others, or always
scatters more, is of a kind of its own. A feature that hardly varies apart from the events is
ignored here: bursts are its normal operation.

Faults of a tenth of the readings would hide themselves if they helped to define normal. The search
therefore starts with the highest events left out, up to the allowed share, and readmits those that
are not too high for the others, until nothing changes. It never leaves out more than the allowed
share, the highest events first: events that take up more are a way to operate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.detectors.covariance import winsorised_std
from models.fitting.cleaning import Cleaned
from models.fitting.distance import Scoring, fit_distance
from models.fitting.scaling import SHRINKAGE, drift_is_fault, fit_scales
from models.scoring.garbage import row_ranges
from models.scoring.tail import SHAPE_PRIOR_SD

_WIDTH: Final = 9  # readings in the moving average
_ABOVE: Final = 0.8  # quantile above which a stretch is an event
_APART: Final = 5  # most readings below it within one event
_LEAST: Final = 30  # fewest events to fit the tail; half as many without the highest
_CENSORED: Final = 0.75  # quantile of the heights above which events are censored
_CHANCE: Final = 0.01  # probability that a clean training set loses anything
_TIMES: Final = 5  # fewest events in a cycle
_REGULAR: Final = 0.1  # tolerance of equal intervals, as a share of the median one
_NEAREST: Final = 0.2  # share of a stream that tells its own kind: the others may be faults
_STEADY: Final = 0.25  # least share of a feature's deviation that must remain without the events
#: If all events take up too much, only their parts above this share of the threshold are left out.
_CORE: Final = 0.25
_ROUNDS: Final = 8


def without_faulty(
    data: Cleaned, max_share: float, restated: Sequence[Floats] | None = None
) -> Cleaned:
    """Return the training data without unlabelled faults, with a note that names their rows.

    A fleet of short runs is returned unchanged: its units differ, so an event may be a unit.

    Parameters
    ----------
    data : training data without garbage, as received.
    max_share : largest share of the readings to leave out.
    restated : its readings less what is usual in their operating condition and at their time, by
        which events are judged; None: as received.
    """
    seen = data.streams if restated is None else list(restated)
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
    """Return which readings (n_i,) of each stream belong to unlabelled faults.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in own units, varying features only.
    max_share : largest share of all readings.
    """
    found = [np.zeros(len(s), bool) for s in streams]
    whole = np.concatenate(streams).std(axis=0)
    use = np.ones(len(whole), bool)
    line: float | None = -np.inf  # at first, the highest events are left out, however low
    for _ in range(_ROUNDS if max_share > 0 else 0):
        known = [s[~mask] for s, mask in zip(streams, found, strict=True) if not mask.all()]
        use &= winsorised_std(np.concatenate(known)) >= _STEADY * whole
        if not use.any():  # the highest events are still those of the first round: unjudged
            return [np.zeros(len(s), bool) for s in streams]
        score, _spread = fit_distance([s[:, use] for s in known], 0, SHRINKAGE)
        heights = [_averaged(score(s[:, use])) for s in streams]
        if len(streams) > 1:
            centre = np.median(np.concatenate(known)[:, use], axis=0)
            heights = _by_own_kind(score, [s[:, use] for s in streams], heights, centre)
        again = _beyond(heights, found, line, max_share)
        if line is None and all(np.array_equal(a, b) for a, b in zip(again, found, strict=True)):
            break
        found, line = again, None
    return found


def _by_own_kind(
    score: Scoring, streams: Sequence[Floats], heights: list[Floats], centre: Floats
) -> list[Floats]:
    """Return the heights (n_i,) less what each stream always has: its own level, its own scatter.

    What a stream always has is told by its readings nearest to the group's ``centre`` (d,). From
    their level the distance is taken if it is smaller; and if they lie further off than the nearest
    of all streams, by so much the heights are lowered.
    """
    own = []
    for values, height in zip(streams, heights, strict=True):
        near = height <= np.quantile(height, _NEAREST)
        level = np.median(values[near], axis=0)
        own.append(np.minimum(height, _averaged(score(values - level + centre))))
    usual = np.quantile(np.concatenate(own), _NEAREST)
    return [h - max(float(np.quantile(h, _NEAREST) - usual), 0.0) for h in own]


def _beyond(
    heights: list[Floats], found: list[Bools], line: float | None, max_share: float
) -> list[Bools]:
    """Return the readings in events higher than the threshold ``line``, up to ``max_share``.

    If ``line`` is None, the threshold is estimated from the events that are not in ``found``.
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
    """Return whether events form a cycle, possibly with some events missing.

    They do if more intervals are whole multiples of the median interval than chance explains.
    """
    from scipy.stats import binom

    if len(starts) < _TIMES:
        return False
    gaps = np.diff(np.sort(starts))
    times = gaps / np.median(gaps)
    regular = np.abs(times - np.maximum(np.round(times), 1.0)) <= _REGULAR
    # the median interval always matches itself, so it does not count
    chance = binom.sf(np.count_nonzero(regular) - 2, len(gaps) - 1, 2.0 * _REGULAR)
    return bool(chance <= _CHANCE)


def _furthest(peaks: Floats) -> float:
    """Return the height that the highest of these normal events exceeds with probability _CHANCE.

    Maximum likelihood, censored: of the highest quarter only the number counts.
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
    """Return the stretches of ``above`` (n,), joined where few readings separate them."""
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
