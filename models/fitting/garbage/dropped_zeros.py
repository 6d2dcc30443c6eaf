"""Recognise zeros that are sent where nothing was measured: a pressure of 1,125 that is 0 at times.

Loggers and gateways write 0 for a value that did not arrive, in single readings or for some
minutes. They widen the feature's scale until no fault of it is seen. But 0 is also what a machine
that is off sends, so zeros count as not measured only if

* they come back (in two runs or more), on the same side of all other values, and further from
  nearly all of these than they are wide;
* no other feature tells when they come (:mod:`models.fitting.garbage.witnesses`), their own zeros
  among them: a machine that is off shows in these;
* they are few: more are a way to operate. Up to half of the readings count as few if they come by
  chance, one by one (test of runs, for moments; Moran's test, for regular distances), which nothing
  does that is switched; or if the other features know the value, since they explain half of its
  variance on readings not fitted on, and so would show that it is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.garbage.chance import regularity, turns
from models.fitting.garbage.witnesses import told
from models.scoring.features.garbage import RARE

#: Fewest runs of zeros, of all streams.
_AGAIN: Final = 2
#: Largest share of a stream's readings: more are a way to operate, as with unlabelled faults ...
_FEW: Final = 0.15
#: ... and where it can be none, since more than half are its normal operation, whatever they are.
_MOST: Final = 0.5
#: Fewest other values, and fewest different ones: they tell how far is far.
_OTHERS: Final = 100
_DISTINCT: Final = 20
#: Deviations from chance that count as a cause.
_CLEAR: Final = 4.0
#: Share of the variance that the other features explain if they know a value.
_KNOWN: Final = 0.5


def dropped_zeros(streams: Sequence[Floats]) -> list[int]:
    """Return the features whose zeros were not measured.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order of time, in own units; NaN in place of garbage.
    """
    pooled = np.concatenate(streams)
    share = np.max([(stream == 0).mean(axis=0) for stream in streams if len(stream)], axis=0)
    runs = sum((_begins(stream == 0).sum(axis=0) for stream in streams), np.zeros(len(share)))
    suspects = [
        j
        for j in range(len(share))
        if runs[j] >= _AGAIN and share[j] <= _MOST and _apart(pooled[:, j])
    ]
    spared = told({j: {0.0} for j in suspects}, streams, streams)
    return [
        j
        for j in suspects
        if j not in spared
        and _others_vary(pooled, j)
        and (share[j] <= _FEW or _by_chance([one[:, j] for one in streams]) or _known(streams, j))
    ]


def _begins(zeros: Bools) -> Bools:
    """Return where runs of zeros (n, d) begin."""
    before = np.concatenate([np.zeros((1, zeros.shape[1]), bool), zeros[:-1]])
    out: Bools = zeros & ~before
    return out


def _apart(column: Floats) -> bool:
    """Return whether values (n,) hold zeros apart from all others."""
    zeros = column == 0
    others = column[~zeros & ~np.isnan(column)]
    if len(others) < _OTHERS or len(np.unique(others)) < _DISTINCT:
        return False
    if others.min() < 0 < others.max():
        return False
    low, high = np.quantile(np.abs(others), (RARE, 1 - RARE))
    return bool(low > high - low)


def _others_vary(pooled: Floats, feature: int) -> bool:
    others = np.delete(pooled, feature, axis=1)
    return any(len(np.unique(column[~np.isnan(column)])) > 1 for column in others.T)


def _by_chance(parts: Sequence[Floats]) -> bool:
    """Return whether the zeros of each stream's values (n_i,) come one by one, by chance."""
    for values in parts:
        zeros: Bools = values[~np.isnan(values)] == 0
        if max(abs(turns(zeros)), abs(regularity(zeros))) > _CLEAR:
            return False
    return True


def _known(streams: Sequence[Floats], feature: int) -> bool:
    """Return whether the other features explain a feature's values where it is not 0.

    By a linear regression on either half of each stream's readings, judged on the other half.
    """
    halves: tuple[list[Floats], list[Floats]] = ([], [])
    for stream in streams:
        rows = stream[~np.isnan(stream).any(axis=1) & (stream[:, feature] != 0)]
        rows = rows - np.median(rows, axis=0) if len(rows) else rows
        middle = len(rows) // 2
        halves[0].append(rows[:middle])
        halves[1].append(rows[middle:])
    first, second = (np.concatenate(half) for half in halves)
    if min(len(first), len(second)) < _OTHERS:
        return False
    return min(_explained(first, second, feature), _explained(second, first, feature)) >= _KNOWN


def _explained(fitted: Floats, judged: Floats, feature: int) -> float:
    """Return the share of the variance in ``judged`` (n, d) that a fit on ``fitted`` explains."""
    x, new = (
        np.c_[np.delete(half, feature, axis=1), np.ones(len(half))] for half in (fitted, judged)
    )
    weights = np.linalg.lstsq(x, fitted[:, feature], rcond=None)[0]
    left = judged[:, feature] - new @ weights
    variance = float(judged[:, feature].var())
    return 1.0 - float(np.mean(left**2)) / variance if variance > 0 else 0.0
