"""Compute out-of-fold magnitudes: every reading is scored by detectors that never saw its block.

Neighbouring readings are alike. Folds therefore hold out blocks of time (or, for a fleet of short
runs, whole runs), never single rows.

A fold's magnitudes stand for those of the detectors fitted on all data, whose level may differ:
:mod:`models.fitting.calibration.levels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from models.arrays import Floats
from models.detectors.base import Array, Detector
from models.scoring.features.baseline import first_level
from models.scoring.features.preprocessing import Preprocessing

#: Fewest streams for holding out whole streams: with fewer, the error reflects the small training
#: set rather than how future streams differ.
FEWEST_STREAMS: Final = 5
_STREAM_FOLDS: Final = 3  # folds that hold out whole streams
#: Readings that the levels of magnitudes are compared on.
_KNOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Part:
    """Readings ``start`` to ``end - 1`` of stream ``stream``."""

    stream: int
    start: int
    end: int


#: Stretches of readings in own units: (stream, (n, d)).
Stretches = Sequence[tuple[int, Floats]]

#: Fits preprocessing and detectors.
Fit = Callable[[Stretches], tuple[Preprocessing, dict[str, Detector]]]

#: Turns readings (n, d) of a stream, given by its number, into the detectors' rows.
Rows = Callable[[Preprocessing, int, Floats], Floats]


@dataclass(frozen=True, slots=True)
class FoldResult:
    """Result of one fold.

    Attributes
    ----------
    parts : each held-out part with its magnitudes by detector, and those of its stream's first
        readings scored without a baseline.
    known : some of the readings that the fold was fitted on.
    levels : their magnitudes (n,) by detector.
    """

    parts: list[tuple[Part, dict[str, Floats], dict[str, Floats]]]
    known: Stretches
    levels: dict[str, Floats]


def make_folds(lengths: Sequence[int], folds: int, by_stream: bool) -> list[list[Part]]:
    """Choose the parts that each fold holds out: blocks of time, or whole streams in turn.

    Parameters
    ----------
    lengths
        Number of readings of each stream.
    folds
        Number of folds.
    by_stream
        Hold out whole streams instead of blocks.
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
    """Choose folds of whole streams, to test on streams never fitted on; none if too few."""
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
        Range to score; a window may reach back before ``start``.
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
    """Out-of-fold results, one entry per stream.

    Attributes
    ----------
    raw : raw magnitudes (n_i,) by detector.
    warm : those of the first readings, scored without a baseline; empty without baselines.
    rare : rarity (n_i,) in decades of movements of constant features; empty without such features.
    """

    raw: list[dict[str, Floats]]
    warm: list[dict[str, Floats]]
    rare: list[Floats] = field(default_factory=list)


def out_of_fold(streams: Sequence[Floats], found: Sequence[FoldResult]) -> OutOfFold:
    """Join the folds: take each reading's magnitude from the fold that held it out.

    ``streams`` is a list of (n_i, d), of which only the lengths matter.
    """
    raw: list[dict[str, Floats]] = [{} for _ in streams]
    warm: list[dict[str, Floats]] = [{} for _ in streams]
    for part, magnitudes, first in (one for fold in found for one in fold.parts):
        if first:
            warm[part.stream] = first
        for name, values in magnitudes.items():
            whole = np.full(len(streams[part.stream]), np.nan)
            raw[part.stream].setdefault(name, whole)[part.start : part.end] = values
    return OutOfFold(raw, [w for w in warm if w])


def held_out(streams: Sequence[Floats], held: Sequence[Part], fit: Fit, rows: Rows) -> FoldResult:
    """Run one fold: fit on all but ``held``, then score ``held``.

    Parameters
    ----------
    streams : list of (n_i, d)
    held
        Parts to hold out and score.
    fit
        Fits on parts; returns preprocessing and detectors.
    rows
        Makes the detectors' rows of readings that were fitted on.
    """
    lengths = [len(s) for s in streams]
    training = [
        (p.stream, streams[p.stream][p.start : p.end]) for p in training_parts(lengths, held)
    ]
    pre, detectors = fit(training)
    out = []
    for part in held:
        scaled = pre.scaled(streams[part.stream])
        warm: dict[str, Floats] = {}
        if pre.baseline:
            if part.start == 0:
                warm = raw_magnitudes(detectors, scaled, 0, min(pre.baseline, len(scaled)))
            scaled = scaled - pre.scaled(first_level(streams[part.stream], pre)[None])
        found = raw_magnitudes(detectors, scaled, part.start, part.end)
        if pre.baseline and part.start == 0:
            for magnitudes in found.values():
                magnitudes[: pre.baseline] = np.nan
        out.append((part, found, warm))
    every = -(-sum(len(values) for _, values in training) // _KNOWN)
    known = [(i, values[::every]) for i, values in training]
    return FoldResult(out, known, point_magnitudes(pre, detectors, known, rows))


def point_magnitudes(
    pre: Preprocessing, detectors: Mapping[str, Detector], known: Stretches, rows: Rows
) -> dict[str, Floats]:
    """Return the magnitudes (n,) of readings by detector; window detectors are left out.

    A network's errors on readings that it was trained on say little about others.

    Parameters
    ----------
    pre, detectors
        Fitted on all of ``known``.
    known
        The readings.
    rows
        Makes the detectors' rows of them.
    """
    scaled = np.concatenate([rows(pre, i, values) for i, values in known])
    return {name: one.score(scaled) for name, one in detectors.items() if one.window == 1}
