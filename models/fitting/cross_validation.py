"""Score every reading by detectors that never saw its block, for raw magnitudes out of fold.

Neighbouring readings are alike, so what is held out is a block of time (or, for a fleet of short
runs, whole runs), never single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from models.arrays import Floats
from models.detectors.base import Array, Detector
from models.scoring.baseline import first_level
from models.scoring.preprocessing import Preprocessing

#: Streams from which on some are held out whole: of fewer, what is left to fit on says more about
#: having too few than of the streams to come.
FEWEST_STREAMS: Final = 5
_STREAM_FOLDS: Final = 3


@dataclass(frozen=True, slots=True)
class Part:
    """Readings ``start`` to ``end - 1`` of stream ``stream``."""

    stream: int
    start: int
    end: int


#: What a fold found: each part's magnitudes by detector, and those of its stream's first readings
#: scored without a baseline.
FoldResult = list[tuple[Part, dict[str, Floats], dict[str, Floats]]]

#: Fits preprocessing and detectors on the given stretches of readings in their own units.
Fit = Callable[[Sequence[tuple[int, Floats]]], tuple[Preprocessing, dict[str, Detector]]]


def make_folds(lengths: Sequence[int], folds: int, by_stream: bool) -> list[list[Part]]:
    """Choose what each fold holds out: blocks of time, or whole streams dealt out in turn.

    Parameters
    ----------
    lengths
        Readings of each stream.
    folds
        How many.
    by_stream
        Hold out whole streams instead of blocks of each.
    """
    out: list[list[Part]] = [[] for _ in range(folds)]
    for i, n in enumerate(lengths):
        if by_stream:
            out[i % folds].append(Part(i, 0, n))
            continue
        edges = np.linspace(0, n, folds + 1).astype(int)
        for b in range(folds):
            if edges[b + 1] > edges[b]:
                out[(b + i) % folds].append(Part(i, int(edges[b]), int(edges[b + 1])))
    return [fold for fold in out if fold]


def stream_folds(lengths: Sequence[int]) -> list[list[Part]]:
    """Choose what is held out to meet streams never fitted on; nothing of too few streams."""
    return make_folds(lengths, _STREAM_FOLDS, True) if len(lengths) >= FEWEST_STREAMS else []


def training_parts(lengths: Sequence[int], held: Sequence[Part]) -> list[Part]:
    """Return the continuous stretches that are not held out."""
    parts = []
    for i, n in enumerate(lengths):
        free = 0
        for part in sorted((p for p in held if p.stream == i), key=lambda p: p.start):
            if part.start > free:
                parts.append(Part(i, free, part.start))
            free = part.end
        if n > free:
            parts.append(Part(i, free, n))
    return parts


def raw_magnitudes(
    detectors: dict[str, Detector], rows: Array, start: int, end: int
) -> dict[str, Floats]:
    """Return each detector's magnitude of ``rows[start:end]``; NaN where no window fits.

    Parameters
    ----------
    rows : (n, d)
        Scaled readings of one stream.
    start, end
        Those to score; a window may reach back before ``start``.
    """
    out: dict[str, Floats] = {}
    for name, detector in detectors.items():
        w = detector.window
        raw = np.full(end - start, np.nan)
        if w == 1:
            raw[:] = detector.score(rows[start:end])
        else:
            first = max(start, w - 1)
            if first < end:
                view = sliding_window_view(rows[first - w + 1 : end], w, axis=0)
                raw[first - start :] = detector.score(view.transpose(0, 2, 1))
        out[name] = raw
    return out


@dataclass(slots=True)
class OutOfFold:
    """Raw magnitudes by detector, one array per stream.

    ``warm`` are those of the first readings of each stream, scored without a baseline of its own
    (empty where there are no baselines); ``moved`` the decades (n_i,) by which what stood still
    moved, empty where nothing did.
    """

    raw: list[dict[str, Floats]]
    warm: list[dict[str, Floats]]
    moved: list[Floats] = field(default_factory=list)


def out_of_fold(streams: Sequence[Floats], found: Sequence[FoldResult]) -> OutOfFold:
    """Join the findings of the folds: every reading by the fold that left its block out."""
    raw: list[dict[str, Floats]] = [{} for _ in streams]
    warm: list[dict[str, Floats]] = [{} for _ in streams]
    for part, magnitudes, first in (one for fold in found for one in fold):
        if first:
            warm[part.stream] = first
        for name, values in magnitudes.items():
            whole = np.full(len(streams[part.stream]), np.nan)
            raw[part.stream].setdefault(name, whole)[part.start : part.end] = values
    return OutOfFold(raw, [w for w in warm if w])


def held_out(streams: Sequence[Floats], held: Sequence[Part], fit: Fit) -> FoldResult:
    """Carry out one fold: fit on all but ``held``, then score ``held``.

    Parameters
    ----------
    streams : list of (n_i, d)
    held
        Parts that are left out of the fit, and scored.
    fit
        Fits on parts; returns preprocessing and detectors.
    """
    lengths = [len(s) for s in streams]
    training = [
        (p.stream, streams[p.stream][p.start : p.end]) for p in training_parts(lengths, held)
    ]
    pre, detectors = fit(training)
    out: FoldResult = []
    for part in held:
        rows = pre.scaled(streams[part.stream])
        warm: dict[str, Floats] = {}
        if pre.baseline:
            if part.start == 0:
                warm = raw_magnitudes(detectors, rows, 0, min(pre.baseline, len(rows)))
            rows = rows - pre.scaled(first_level(streams[part.stream], pre)[None])
        found = raw_magnitudes(detectors, rows, part.start, part.end)
        if pre.baseline and part.start == 0:
            for magnitudes in found.values():
                magnitudes[: pre.baseline] = np.nan
        out.append((part, found, warm))
    return out
