"""Try ways of scoring on held-out readings, with and without injected steps.

A way has two figures. Its *surplus* is its alarm rate there, in multiples of the budget, at the
threshold of the fitted readings. Its *power* is the share of steps detected at a threshold that
holds the budget THERE, so a way cannot gain power by alarming more. A reading counts as detected
if it alarms with the step and would not alarm without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.trials.distance import Scoring
from models.fitting.trials.injection import Fault, inject

#: False alarms per reading in trials: rarer alarms could not be counted in a block.
BUDGET: Final = 1e-2
#: Largest surplus, in budgets, at which a way holds the budget: blocks differ by chance.
HOLDS: Final = 3.0
#: Loss of power against the best way, as a share of all steps, that is still acceptable.
BEHIND: Final = 0.1
#: Readings within which a fault is to be detected.
WITHIN: Final = 30
_BLOCKS: Final = 5
_LEAST: Final = 40  # fewest readings in a block ...
_LARGEST: Final = 5_000  # ... and used, at most
_A_FEATURE: Final = 10  # fewest readings per feature to fit on

#: (streams to fit on, held-out streams)
Fold = tuple[list[Floats], list[Floats]]
#: Faults in a stream, each with its changed readings (k, d) or their magnitudes (..., k).
Changed = Sequence[tuple[Fault, Floats]]
#: Turns magnitudes (..., n) in order into smoothed ones (ways, ..., n), by each way.
Smoothing = Callable[[Floats], Floats]


def later_blocks(streams: Sequence[Floats]) -> list[Fold]:
    """Cut long streams (n_i, d) into blocks: (earlier, next block) for each block but the first.

    Blocks with too few readings before them to decorrelate the features are left out: what is
    fitted there differs from what will serve, and alarms on later readings whatever their levels.
    So are blocks before which nothing has moved yet: there is nothing to fit.
    """
    out = []
    long = [s for s in streams if len(s) >= _BLOCKS * _LEAST]
    for b in range(1, _BLOCKS):
        earlier, later = [], []
        for stream in long:
            edges = np.linspace(0, len(stream), _BLOCKS + 1).astype(int)
            earlier.append(stream[: edges[b]])
            later.append(stream[edges[b] : edges[b + 1]][:_LARGEST])
        enough = later and sum(map(len, earlier)) >= _A_FEATURE * later[0].shape[1]
        if enough and any((part != earlier[0][0]).any() for part in earlier):
            out.append((earlier, later))
    return out


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps to inject, at random times in 1 to 3 features.

    Parameters
    ----------
    sizes : in standard deviations.
    lengths : in readings.
    count : steps of each size and length per stream.
    streams : maximum number of streams to inject steps into.
    part : a step covers at most 1 / ``part`` of a stream.
    """

    sizes: tuple[float, ...]
    lengths: tuple[int, ...]
    count: int
    streams: int
    part: int = 1

    def inject(
        self, streams: Sequence[Floats], spread: Floats, rng: np.random.Generator
    ) -> list[Changed]:
        """Return random steps for each of the first streams, with their changed readings (k, d).

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
    """Return a fault's readings with the fault in them, (length, d)."""
    return inject(stream[fault.start : fault.end], replace(fault, start=0), spread, rng)


def try_smoothings(
    score: Scoring,
    smoothing: Smoothing,
    memory: int,
    fold: Fold,
    faulty: Sequence[Changed],
    own: Sequence[Floats] | None = None,
) -> tuple[list[Bools], Floats]:
    """Try ways to smooth a score on one fold.

    Parameters
    ----------
    score
        Maps readings (n, d) to magnitudes (n,).
    smoothing
        The ways to smooth them.
    memory
        Readings before a step that influence the smoothed magnitudes.
    fold
        Readings that the score was fitted on, and held-out readings.
    faulty
        Steps in the held-out readings, by :meth:`Steps.inject`.
    own
        Magnitudes of the readings fitted on, by
        :func:`models.fitting.trials.held_out.own_magnitudes`; None: those of ``score``.

    Returns
    -------
    (seen, surplus) : result of :func:`seen`, (ways, length) per step, and alarm rates in budgets,
        (ways,).
    """
    own = [score(s) for s in fold[0]] if own is None else own
    usual = np.concatenate([smoothing(values) for values in own], axis=1)
    raw = [score(s) for s in fold[1]]
    calm = [smoothing(values) for values in raw]
    other = np.concatenate(calm, axis=1)
    known, line = (np.quantile(v, 1.0 - BUDGET, axis=1)[:, None] for v in (usual, other))
    after = [
        _smoothed(
            smoothing,
            [
                (fault, np.concatenate([own[: fault.start][-memory:], score(part)]))
                for fault, part in changed
            ],
        )
        for own, changed in zip(raw, faulty, strict=False)
    ]
    return seen(calm, line, after), (other > known).mean(axis=1) / BUDGET


def _smoothed(smoothing: Smoothing, changed: Changed) -> list[tuple[Fault, Floats]]:
    """Smooth the magnitudes (k,) around each fault, all of one length at once: (ways, k)."""
    alike: dict[int, list[int]] = {}
    for i, (_, values) in enumerate(changed):
        alike.setdefault(len(values), []).append(i)
    out: dict[int, Floats] = {}
    for members in alike.values():
        smooth = smoothing(np.stack([changed[i][1] for i in members]))
        out.update((i, smooth[:, k]) for k, i in enumerate(members))
    return [(fault, out[i]) for i, (fault, _) in enumerate(changed)]


def seen(calm: Sequence[Floats], line: Floats | float, after: Sequence[Changed]) -> list[Bools]:
    """Return, for each fault, which of its readings (..., length) alarm because of the fault.

    Parameters
    ----------
    calm : (..., n_i) magnitudes of each stream without faults.
    line
        Threshold.
    after
        Magnitudes with each fault, (..., k), ending with those of the fault's own readings.
    """
    return [
        values[..., -fault.length :] > np.maximum(before[..., fault.start : fault.end], line)
        for before, faults in zip(calm, after, strict=False)
        for fault, values in faults
    ]
