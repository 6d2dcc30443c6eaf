"""Recognise zeros that are sent where nothing was measured: a pressure of 1,125 that is 0 at times.

Loggers and gateways write 0 for a value that did not arrive, in single readings or for some
minutes. They widen the feature's scale until no fault of it is seen. But 0 is also what a machine
that is off sends, and where a valve rests, so zeros count as not measured only if

* they come back (in two runs or more), on the same side of all other values, and further from
  nearly all of these than they are wide; ten times as far, if they last more than some five
  readings: a motor may be off for long;
* no other feature tells when they come (:mod:`models.fitting.garbage.witnesses`), their own zeros
  among them: a machine that is off shows in these;
* they are few: more are a way to operate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.garbage.runs import is_brief, starts
from models.fitting.garbage.witnesses import told
from models.scoring.features.garbage import FAR, RARE

#: Fewest runs of zeros, of all streams.
_AGAIN: Final = 2
#: Largest share of a stream's readings; more are a way to operate, as with unlabelled faults.
_FEW: Final = 0.15
#: Fewest other values, and fewest different ones: they tell how far is far.
OTHERS: Final = 100
DISTINCT: Final = 20


def dropped_zeros(streams: Sequence[Floats]) -> list[int]:
    """Return the features whose zeros were not measured.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in order of time, in own units; NaN in place of garbage.
    """
    streams = [stream for stream in streams if len(stream)]
    if not streams:
        return []
    share = np.max([(stream == 0).mean(axis=0) for stream in streams], axis=0)
    few = np.flatnonzero((share > 0) & (share <= _FEW)).tolist()
    suspects = [j for j in few if _apart([stream[:, j] for stream in streams])]
    if not suspects:
        return []
    spared = told({j: {0.0} for j in suspects}, streams, streams)
    pooled = np.concatenate(streams)
    return [j for j in suspects if j not in spared and _others_vary(pooled, j)]


def _apart(parts: Sequence[Floats]) -> bool:
    """Return whether zeros come back in streams' values (n_i,), apart from all others."""
    zeros = [values == 0 for values in parts]
    if sum(len(starts(one)) for one in zeros) < _AGAIN:
        return False
    values = np.concatenate(parts)
    others = values[~np.isnan(values) & (values != 0)]
    if len(others) < OTHERS or len(np.unique(others)) < DISTINCT:
        return False
    if others.min() < 0 < others.max():
        return False
    low, high = np.quantile(np.abs(others), (RARE, 1 - RARE))
    return bool(low > (high - low) * (1.0 if is_brief(zeros) else FAR))


def _others_vary(pooled: Floats, feature: int) -> bool:
    others = np.delete(pooled, feature, axis=1)
    return any(len(np.unique(column[~np.isnan(column)])) > 1 for column in others.T)
