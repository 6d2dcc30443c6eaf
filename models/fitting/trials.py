"""Try ways of scoring on readings that they were not fitted on, as they are and with steps in them.

A way is judged by two figures. Its *surplus* is how much more it alarms there than its budget says,
at the threshold of the readings fitted on. What it *sees* is judged at a threshold that holds the
budget THERE, so that no way sees more by alarming more: a reading of an injected step shows it
where it alarms and the same reading without the step would not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.distance import Scoring
from models.fitting.injection import Fault, inject

#: Alarms per reading that are judged by: rarer ones could not be counted in a block.
BUDGET: Final = 1e-2
#: Surplus, in budgets, that is as good as none: blocks differ.
HOLDS: Final = 3.0
#: Share of the steps seen that a way may fall behind the best and still be taken.
BEHIND: Final = 0.1
#: Readings within which a fault is to be seen.
WITHIN: Final = 30
_BLOCKS: Final = 5
_LEAST: Final = 40  # readings a block needs
_LARGEST: Final = 5_000  # ... and is cut down to

#: (streams to fit on, streams to try it on)
Fold = tuple[list[Floats], list[Floats]]
#: Faults in a stream, each with what becomes of its readings: (k, d) of them, or scores (..., k).
Changed = Sequence[tuple[Fault, Floats]]
#: What turns the magnitudes (n,) of one stream into those (ways, n) of each way to smooth them.
Smoothing = Callable[[Floats], Floats]


def later_blocks(streams: Sequence[Floats]) -> list[Fold]:
    """Cut long streams into blocks: (earlier, next block) for each block but the first."""
    out = []
    long = [s for s in streams if len(s) >= _BLOCKS * _LEAST]
    for b in range(1, _BLOCKS):
        earlier, later = [], []
        for stream in long:
            edges = np.linspace(0, len(stream), _BLOCKS + 1).astype(int)
            earlier.append(stream[: edges[b]])
            later.append(stream[edges[b] : edges[b + 1]][:_LARGEST])
        if later:
            out.append((earlier, later))
    return out


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps to inject, at random times in 1 to 3 features.

    Parameters
    ----------
    sizes : in standard deviations.
    lengths : readings that they last.
    count : steps of each size and length in each stream.
    streams : that steps are injected into, at most.
    part : a step lasts for no more than this part of a stream; 1: for all of it.
    """

    sizes: tuple[float, ...]
    lengths: tuple[int, ...]
    count: int
    streams: int
    part: int = 1

    def inject(
        self, streams: Sequence[Floats], spread: Floats, rng: np.random.Generator
    ) -> list[Changed]:
        """Return the steps in each of the first streams, and the readings (k, d) they change.

        Parameters
        ----------
        streams : list of (n_i, d)
        spread : (d,)
            Standard deviations, in the unit of the streams.
        rng
            Draws times, features and signs.
        """
        return [
            [(fault, _changed(stream, fault, spread, rng)) for fault in self._drawn(stream, rng)]
            for stream in streams[: self.streams]
        ]

    def _drawn(self, stream: Floats, rng: np.random.Generator) -> Iterable[Fault]:
        n, d = stream.shape
        for length in (min(length, n // self.part) for length in self.lengths):
            for size in (size for size in self.sizes for _ in range(self.count)):
                start = int(rng.integers(0, max(n - length, 1)))
                width = int(rng.integers(1, min(3, d) + 1))
                columns = tuple(int(c) for c in rng.choice(d, width, replace=False))
                signs = tuple(int(s) for s in rng.choice((-1, 1), width))
                yield Fault("step", start, length, columns, size, signs)


def _changed(stream: Floats, fault: Fault, spread: Floats, rng: np.random.Generator) -> Floats:
    """Return what becomes of a fault's readings, (length, d)."""
    return inject(stream[fault.start : fault.end], replace(fault, start=0), spread, rng)


def try_smoothings(
    score: Scoring, smoothing: Smoothing, memory: int, fold: Fold, faulty: Sequence[Changed]
) -> tuple[list[Bools], Floats]:
    """Try ways to smooth a score on one fold.

    Parameters
    ----------
    score
        Of readings (n, d), (n,).
    smoothing
        Its ways.
    memory
        Readings before a step that they remember.
    fold
        Readings that they were fitted on, and those to try them on.
    faulty
        Steps in the latter, by :meth:`Steps.inject`.

    Returns
    -------
    (seen, surplus) : as of :func:`seen`, (ways, length) each; alarm rates in budgets, (ways,).
    """
    usual = np.concatenate([smoothing(score(s)) for s in fold[0]], axis=1)
    raw = [score(s) for s in fold[1]]
    calm = [smoothing(values) for values in raw]
    other = np.concatenate(calm, axis=1)
    known, line = (np.quantile(v, 1.0 - BUDGET, axis=1)[:, None] for v in (usual, other))
    after = [
        [
            (fault, smoothing(np.concatenate([own[: fault.start][-memory:], score(part)])))
            for fault, part in changed
        ]
        for own, changed in zip(raw, faulty, strict=False)
    ]
    return seen(calm, line, after), (other > known).mean(axis=1) / BUDGET


def seen(calm: Sequence[Floats], line: Floats | float, after: Sequence[Changed]) -> list[Bools]:
    """Return, for each fault, which of its readings alarm that would not without it.

    Parameters
    ----------
    calm : (..., n_i) of each stream, its magnitudes without a fault.
    line
        Threshold.
    after
        Magnitudes with each fault, (..., k), those of its own readings last.
    """
    return [
        values[..., -fault.length :] > np.maximum(before[..., fault.start : fault.end], line)
        for before, faults in zip(calm, after, strict=False)
        for fault, values in faults
    ]
