"""Find unlabelled faults in training data: events far beyond all normal ones.

Historical data contain faults. Fitting on them widens every scale and tail until similar faults are
no longer detected. The search uses the distance of the decorrelated row. It judges *events*:
stretches above the 80 % quantile. First the distance is averaged over a few readings, so that heavy
tails of single readings do not count; then spikes are looked for, which hardly last, alone or on
top of what does; and last, stretches in which a sensor only scatters more. The height distribution
of normal events is a generalised Pareto tail fitted to their lower three quarters, with a shape of
at least 0, shrunk towards 0: in logarithms, so the heaviest tails are normal. An event is a fault
if it is higher than the highest event in all but one of a hundred clean training sets. Faults that
only break a tight relation of features are looked for again, with correlations that are hardly
weakened. Events at equal intervals are a cycle, not faults, unless they are too high for it; events
that reach the same level each time are an operating mode
(:mod:`models.fitting.operation.recurrence`). A stream that always stands apart from the others, or
always scatters more, is of a kind of its own. A feature that hardly varies apart from the events is
ignored here: bursts are its normal operation. Of few events only those of a single sensor count
(:mod:`models.fitting.faults.few_events`).

Faults of a tenth of the readings would hide themselves if they helped to define normal. The search
therefore starts with the highest events left out, up to the allowed share, and readmits those that
are not too high for the others, until nothing changes. It never leaves out more than the allowed
share, the highest events first: events that take up more are a way to operate. Many short faults
take up more than themselves, by what the average and the joined readings around them add: if
nothing was found, events are searched again without their surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Indices
from models.detectors.covariance import winsorised_std
from models.fitting.faults.event_heights import (
    RARELY,
    apart,
    averaged,
    furthest,
    furthest_spike,
    scattering,
    stretches,
)
from models.fitting.faults.few_events import OneSensor
from models.fitting.operation.recurrence import MOVED, Event, cyclic, recurring
from models.fitting.scaling import LEAST_SHRINKAGE, shrinkage_of
from models.fitting.trials.distance import Scoring, distance, fit_rows
from models.fitting.trials.held_out import own_magnitudes

_WIDTHS: Final = (9, 1)  # readings in the moving average: for events, and for spikes
#: Share of the usual shrinkage with which faults are looked for again: two features that follow one
#: another by a thousandth part still differ by their noise, which a shrinkage of .01 hides.
_TIGHT: Final = 0.01
_DECIMALS: Final = 9  # of heights: equal readings' differ by the computer's rounding errors
_ABOVE: Final = 0.8  # quantile above which a stretch is an event
#: Fewest events to fit the tail, half as many without the highest. Of fewer, only averages of a
#: single sensor count.
_LEAST: Final = 30
_FEWEST: Final = 10
_CHANCE: Final = 0.01  # probability that a clean training set loses anything
_HIGHEST: Final = 700.0  # a threshold beyond it is no number: exp(710) overflows
_NEAREST: Final = 0.2  # share of a stream that tells its own kind: the others may be faults
_PARTS: Final = 10  # of a stream; a feature varies as far as it does ...
_MOST: Final = 0.8  # ... in this share of them, or less
_STEADY: Final = 0.25  # least share of a feature's deviation that must remain without the events
#: If all events take up too much, only their parts above this share of the threshold are left out.
_CORE: Final = 0.25
#: An average over the readings of a step falls to half of its height where the step ends.
_HALF: Final = 0.5
_ROUNDS: Final = 8  # of readmitting events, at most
_DEVIATION: Final = 0.68  # quantile of a magnitude that is one standard deviation, robustly


@dataclass(slots=True)
class Unlabelled:
    """Result of the search.

    Parameters
    ----------
    faults : list of (n_i,)
        Which readings of each stream belong to unlabelled faults.
    modes : the events of each operating mode that recurs, which are no faults.
    kept : number of readings in further events, which would exceed the allowed share.
    """

    faults: list[Bools]
    modes: list[list[Event]]
    kept: int = 0


@dataclass(frozen=True, slots=True)
class _View:
    """By what a search judges readings.

    Parameters
    ----------
    width : readings in the moving average of the distance.
    shrinkage : share by which correlations are weakened.
    chance : probability that clean data lose anything.
    scatter : whether far readings count that lie close together, instead of the average.
    cores : whether events count without their surroundings.
    gone : number of events that searches before have left out.
    """

    width: int
    shrinkage: float
    chance: float
    scatter: bool = False
    cores: bool = False
    gone: int = 0

    def heights(self, magnitudes: Floats) -> Floats:
        """Return the height (n,) at each reading, by their magnitudes (n,)."""
        return scattering(magnitudes) if self.scatter else averaged(magnitudes, self.width)


@dataclass(slots=True)
class _Search:
    """Candidates for faults.

    Parameters
    ----------
    faults : list of (n_i,)
        Which readings lie in them, up to the allowed share.
    events : stream, first reading, end and highest reading of all, whatever they take up.
    kept : number of readings in events that would exceed the allowed share.
    height : threshold of the events' height.
    rows : what decorrelates readings of the features ``use`` (d,).
    """

    faults: list[Bools]
    events: list[tuple[int, int, int, int]]
    kept: int
    height: float
    use: Bools
    rows: Scoring | None


def find_faults(
    streams: Sequence[Floats],
    max_share: float,
    clock: Sequence[Floats] | None = None,
    received: Sequence[Floats] | None = None,
) -> Unlabelled:
    """Find unlabelled faults, and the modes that recur and are none.

    Readings of a mode are set aside, and the search is repeated on the others.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in own units, varying features only.
    max_share : largest share of all readings that faults take up.
    clock : list of (n_i,)
        Times of the readings; None: rows of the same number are simultaneous.
    received : list of (n_i, d)
        The readings as received, if ``streams`` are restated: a machine that is off stands still.
    """
    received = streams if received is None else received
    left = [np.arange(len(s)) for s in streams]
    clock = [rows.astype(np.float64) for rows in left] if clock is None else clock
    limit = max_share * sum(map(len, streams))  # readings that faults may take up
    modes: list[list[Event]] = []
    faults = [np.zeros(len(s), bool) for s in streams]
    kept = 0
    for view in _views(streams):
        if view.cores and (modes or any(mask.any() for mask in faults)):
            continue  # what is too much for a search does not hide all of it
        view = replace(view, gone=sum(len(stretches(mask, view.width)) for mask in faults))
        while True:
            there = [i for i, rows in enumerate(left) if len(rows)]
            rest = [streams[i][left[i]] for i in there]
            share = limit / max(sum(map(len, rest)), 1)
            search = _search(rest, share, view)
            mode = [] if view.scatter else _mode(  # scatter has no level to return to
                search, rest, [received[i][left[i]] for i in there],
                [left[i] for i in there], [clock[i][left[i]] for i in there], view.width,
            )  # fmt: skip
            if not mode:
                break
            for event in mode:
                event.stream = there[event.stream]
                left[event.stream] = np.setdiff1d(left[event.stream], event.rows)
            modes.append(mode)
        for i, mask in zip(there, search.faults, strict=True):
            faults[i][left[i][mask]] = True
            limit -= int(mask.sum())
            left[i] = left[i][~mask]
        kept = max(kept, search.kept)
    return Unlabelled(faults, modes, kept)


def _views(streams: Sequence[Floats]) -> list[_View]:
    shrinkage = shrinkage_of(np.concatenate(streams))
    found = []
    tight = shrinkage <= LEAST_SHRINKAGE  # else readings are too scarce
    for width in _WIDTHS:
        found.append(_View(width, shrinkage, _CHANCE))
        if width > 1:
            found.append(_View(width, shrinkage, RARELY, cores=True))
        if tight:
            found.append(_View(width, _TIGHT * shrinkage, RARELY))
    if tight:
        found.append(_View(_WIDTHS[0], shrinkage, RARELY, scatter=True))
        found.append(_View(_WIDTHS[0], _TIGHT * shrinkage, RARELY, scatter=True))
    return found


def _mode(
    search: _Search,
    streams: Sequence[Floats],
    received: Sequence[Floats],
    rows: Sequence[Indices],
    clock: Sequence[Floats],
    width: int,
) -> list[Event]:
    """Return the candidates that are a recurring mode, if any.

    Parameters
    ----------
    streams, received : list of (n_i, d)
        The readings searched, and the same as received.
    rows, clock : list of (n_i,)
        Their numbers within the whole streams, and times.
    """
    if search.rows is None:
        return []
    known = [s[~mask] for s, mask in zip(streams, search.faults, strict=True)]
    centre = np.median(np.concatenate(known), axis=0)
    spread = winsorised_std(np.concatenate(known))
    events = []
    for i, a, b, top in search.events:
        middle = slice(max(top - width // 2, 0), top + width // 2 + 1)
        there, as_received = streams[i][middle], received[i][middle]
        level = np.median(there, axis=0)
        moved = np.abs(level - centre) > MOVED * spread
        events.append(Event(
            i, rows[i][a:b], rows[i][middle], (float(clock[i][a]), float(clock[i][b - 1])),
            np.median(search.rows(there[:, search.use]), axis=0), moved,
            np.where(moved & (np.ptp(as_received, axis=0) == 0.0), as_received[0], np.nan),
        ))  # fmt: skip
    usual = np.concatenate([_levels(search.rows(s[:, search.use]), width) for s in known])
    scatter = float(np.quantile(np.linalg.norm(usual, axis=1), _DEVIATION))
    least = float(np.sqrt(search.use.sum() * np.expm1(min(search.height, _HIGHEST))))
    return recurring(events, scatter, least, alone=width == 1)


def _levels(rows: Floats, width: int) -> Floats:
    """Return the medians (m, d) of consecutive rows (n, d), as many as are averaged; maybe none."""
    count, d = len(rows) // width, rows.shape[1]
    out: Floats = np.median(rows[: count * width].reshape(count, width, d), axis=1)
    return out


def _search(streams: Sequence[Floats], max_share: float, view: _View) -> _Search:
    """Search for events that are candidates for faults; leave out ``max_share`` of the readings."""
    found = [np.zeros(len(s), bool) for s in streams]
    # rare spikes are not how a feature varies
    whole = winsorised_std(np.concatenate(streams)) if view.width == 1 else _deviation(streams)
    use = np.ones(len(whole), bool)
    nothing = _Search(found, [], 0, np.inf, use, None)
    search = nothing
    line: float | None = -np.inf  # at first, the highest events are left out, however low
    for _ in range(_ROUNDS if max_share > 0 else 0):
        found = search.faults
        known = [s[~mask] for s, mask in zip(streams, found, strict=True) if not mask.all()]
        use = use & (winsorised_std(np.concatenate(known)) >= _STEADY * whole)
        if not use.any():  # the highest events are still those of the first round: unjudged
            return nothing
        rows, magnitudes = _scored([s[:, use] for s in streams], found, view.shrinkage)
        heights = [view.heights(one) for one in magnitudes]
        if len(streams) > 1:
            centre = np.median(np.concatenate(known)[:, use], axis=0)
            mine = [s[:, use] for s in streams]
            heights = _by_own_kind(distance(rows), mine, heights, centre, view)
        heights = [np.round(one, _DECIMALS) for one in heights]
        sensors = OneSensor([s[:, use] for s in streams], rows)
        search = _Search(*_beyond(heights, found, line, max_share, view, sensors), use, rows)
        if line is None and all(map(np.array_equal, search.faults, found)):
            break
        line = None
    return search


def _deviation(streams: Sequence[Floats]) -> Floats:
    """Return how far features (d,) vary, but for what a few long faults add to it."""
    values = np.concatenate(streams)
    centre = np.median(values, axis=0)
    parts = [part for s in streams for part in np.array_split(s, _PARTS) if len(part)]
    squares = [np.mean((part - centre) ** 2, axis=0) for part in parts]
    out: Floats = np.minimum(np.sqrt(np.quantile(squares, _MOST, axis=0)), values.std(axis=0))
    return out


def _scored(
    streams: list[Floats], faults: Sequence[Bools], shrinkage: float
) -> tuple[Scoring, list[Floats]]:
    """Fit on the readings but ``faults``; return their rows, and the magnitudes (n_i,) of all.

    Those fitted on are scored as if they had been held out, like the faults: else whatever is left
    out would stand apart from the others.
    """
    known = [s[~mask] for s, mask in zip(streams, faults, strict=True)]

    def fit(pieces: list[Floats]) -> Scoring:
        return fit_rows(pieces)[0](0, shrinkage)

    rows = fit(known)
    score = distance(rows)
    (own,) = own_magnitudes(known, [score], lambda pieces: [distance(fit(pieces))])
    out = []
    for stream, mask, usual in zip(streams, faults, own, strict=True):
        magnitudes = np.empty(len(stream))
        magnitudes[~mask], magnitudes[mask] = usual, score(stream[mask])
        out.append(magnitudes)
    return rows, out


def _by_own_kind(
    score: Scoring, streams: Sequence[Floats], heights: list[Floats], centre: Floats, view: _View
) -> list[Floats]:
    """Return the heights (n_i,) less what each stream always has: its own level, its own scatter.

    A stream's readings nearest to the group's ``centre`` (d,) show what it always has. The distance
    is taken from their level if it is smaller there. If they lie further off than the nearest
    readings of all streams, the heights are lowered by the difference.
    """
    own = []
    for values, height in zip(streams, heights, strict=True):
        near = height <= np.quantile(height, _NEAREST)
        level = np.median(values[near], axis=0)
        own.append(np.minimum(height, view.heights(score(values - level + centre))))
    usual = np.quantile(np.concatenate(own), _NEAREST)
    return [h - max(float(np.quantile(h, _NEAREST) - usual), 0.0) for h in own]


def _beyond(
    heights: list[Floats],
    found: list[Bools],
    line: float | None,
    max_share: float,
    view: _View,
    sensors: OneSensor,
) -> tuple[list[Bools], list[tuple[int, int, int, int]], int, float]:
    """Return the readings in events higher than the threshold ``line``, up to ``max_share``.

    Also return all these events, the number of readings beyond that share, and the threshold's
    height. If ``line`` is None, the threshold is estimated from the events that are not in
    ``found``. Of few events only those that ``sensors`` explain count.
    """
    start = float(np.quantile(np.concatenate(heights), _ABOVE))
    events = [(i, a, b) for i, h in enumerate(heights) for a, b in stretches(h > start, view.width)]
    out = [np.zeros(len(h), bool) for h in heights]
    peaks = np.array([heights[i][a:b].max() - start for i, a, b in events])
    if view.cores:
        usual = np.array([not found[i][a + heights[i][a:b].argmax()] for i, a, b in events], bool)
    else:
        usual = np.array([found[i][a:b].mean() < 0.5 for i, a, b in events], bool)
    fewest = _LEAST if view.width == 1 or view.scatter else _FEWEST
    if len(events) < fewest or usual.sum() < fewest // 2:
        return out, [], 0, np.inf
    few = len(events) < _LEAST or usual.sum() < _LEAST // 2
    if line is None:
        if view.width > 1:
            line = furthest(peaks[usual], RARELY if few else view.chance)
            line = line if few else min(line, apart(peaks, view.gone))
        else:  # no gap counts: a signal that is on for single readings stands apart, too
            rest = np.concatenate([h[~mask] for h, mask in zip(heights, found, strict=True)])
            line = furthest_spike(rest[rest > start] - start, view.chance)
    left = max_share * sum(map(len, heights))
    high = [at for at in np.argsort(-peaks).tolist() if peaks[at] > line]
    if line > -np.inf:
        high = _outside_cycles(high, events, peaks)
        if few:
            alone = sensors.faults([events[at] for at in high], heights, start)
            high = [at for at, faulty in zip(high, alone, strict=True) if faulty]
    chosen = [events[at] for at in high]
    if view.width == 1:
        chosen = _spikes(chosen, heights, start + line)
    whole = [(i, a, b, a + int(heights[i][a:b].argmax())) for i, a, b in chosen]
    if view.cores:
        chosen = [_core(event, heights[event[0]], start) for event in whole]
    elif np.isfinite(line) and sum(b - a for _, a, b in chosen) > left:
        inner = [a + np.flatnonzero(heights[i][a:b] > start + _CORE * line) for i, a, b in chosen]
        chosen = [(e[0], w[0], w[-1] + 1) for e, w in zip(chosen, inner, strict=True)]
    kept = 0
    for i, a, b in chosen:
        if b - a <= left:
            left -= b - a
            out[i][a:b] = True
        else:
            kept += b - a
    return out, whole, kept, start + line


def _core(event: tuple[int, int, int, int], heights: Floats, start: float) -> tuple[int, int, int]:
    """Return the part of an event that is higher than half of its own height."""
    i, a, b, top = event
    inner = a + np.flatnonzero(heights[a:b] >= start + _HALF * (heights[top] - start))
    return i, int(inner[0]), int(inner[-1]) + 1


def _spikes(
    events: Sequence[tuple[int, int, int]], heights: Sequence[Floats], line: float
) -> list[tuple[int, int, int]]:
    """Return the parts of events that are higher than ``line`` and hardly last.

    What lasts is for the other search.
    """
    return [
        (i, a + first, a + end)
        for i, a, b in events
        for first, end in stretches(heights[i][a:b] > line, 1)
        if end - first < _WIDTHS[0]
    ]


def _outside_cycles(
    high: list[int], events: Sequence[tuple[int, int, int]], peaks: Floats
) -> list[int]:
    """Return which of the ``high`` events are no cycle of their stream, or too high for theirs."""
    regular = np.zeros(len(events), bool)
    in_order = sorted(high, key=events.__getitem__)
    for _, group in groupby(in_order, key=lambda at: events[at][0]):
        mine = list(group)
        regular[mine] = cyclic([events[at][1] for at in mine])
    if not regular.any():
        return high
    usual = apart(peaks[regular])
    return [at for at in high if not regular[at] or peaks[at] > usual]
