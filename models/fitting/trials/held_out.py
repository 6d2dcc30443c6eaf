"""Score the readings that a trial is fitted on as if they had been held out.

What is fitted on readings lies closer to them than to new ones: a covariance of ``d`` features has
some ``d ** 2 / 2`` figures, and where the readings are not many more, a threshold taken from their
own magnitudes makes all later readings alarm, whatever the levels do. A trial would call it drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import BLOCK, scarce
from models.fitting.trials.distance import Scoring

_SETS: Final = 5  # parts, each of which is held out once
#: Fits the ways of a trial on pieces of streams [(n_i, d)], and returns the score of each.
FitWays = Callable[[list[Floats]], Sequence[Scoring]]
_Pieces = list[tuple[int, slice]]


def own_magnitudes(
    streams: Sequence[Floats], scores: Sequence[Scoring], fit: FitWays
) -> list[list[Floats]]:
    """Return the magnitudes of readings by what is fitted on those around them.

    Every fifth block of 50 readings is scored by a fit on the other blocks, which lie on either
    side of it: drift from one part of a stream to another is none of its concern. Where readings
    are not :func:`models.detectors.covariance.scarce`, or with fewer than ten blocks, it is the fit
    on all of them.

    Parameters
    ----------
    streams : list of (n_i, d)
    scores
        Of the ways that are compared, fitted on all of the streams.
    fit
        Fits them on some.

    Returns
    -------
    For each way the magnitudes (n_i,) of each stream.
    """
    if sum(map(len, streams)) < 2 * _SETS * BLOCK or not scarce(np.concatenate(streams)):
        return [[score(s) for s in streams] for score in scores]
    found: list[dict[tuple[int, int], Floats]] = [{} for _ in scores]
    for left_out in range(_SETS):
        fitted, held = _parted(streams, left_out)
        around = fit([streams[i][part] for i, part in fitted])
        for magnitudes, score in zip(found, around, strict=True):
            for i, part in held:
                magnitudes[i, part.start] = score(streams[i][part])
    return [
        [
            np.concatenate([own[i, start] for start in range(0, len(s), BLOCK)] or [np.zeros(0)])
            for i, s in enumerate(streams)
        ]
        for own in found
    ]


def _parted(streams: Sequence[Floats], left_out: int) -> tuple[_Pieces, _Pieces]:
    """Return the pieces to fit on, each as long as it goes on, and the held-out blocks."""
    fitted: _Pieces = []
    held: _Pieces = []
    for i, stream in enumerate(streams):
        for out, blocks in _runs(-(-len(stream) // BLOCK), left_out):
            part = slice(blocks.start * BLOCK, min(blocks.stop * BLOCK, len(stream)))
            (held if out else fitted).append((i, part))
    return fitted, held


def _runs(blocks: int, left_out: int) -> Iterator[tuple[bool, range]]:
    """Return runs of blocks, and whether each is held out."""
    start = 0
    for block in range(left_out, blocks, _SETS):
        if block > start:
            yield False, range(start, block)
        yield True, range(block, block + 1)
        start = block + 1
    if blocks > start:
        yield False, range(start, blocks)
