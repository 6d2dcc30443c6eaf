"""Drop an allowance for drift that limits which follow each stream do without.

The allowance is chosen with fixed limits (:mod:`models.fitting.trials.tolerance`). Where none on
the ladder keeps later alarms within the budget, the largest may cost most of what is seen and spare
hardly an alarm, while the tail follows the levels in service anyway. So both are tried as in
service, far from the readings fitted on (:mod:`models.fitting.trials.following`).
"""

from __future__ import annotations

import math

import numpy as np

from models.arrays import Floats
from models.fitting.trials.following import SURE, Following
from models.fitting.trials.ways_of_scoring import BUDGET, HOLDS


def does_without(allowed: Following, bare: Following) -> bool:
    """Return whether an allowance for drift is needless.

    It is if without it the budget holds in half of the trials, significantly more of the injected
    faults is detected, and no more alarms come that exceed the budget: significantly more in the
    trials forwards in time, which resemble service, or in both of those backwards.

    Parameters
    ----------
    allowed, bare
        Results with the allowance and without it, on the same faults.
    """
    more = bare.shares - allowed.shares
    sees_more = more.mean() > SURE * more.std() / math.sqrt(len(more))
    holds = bare.surplus[int(bare.narrow_enough)] <= HOLDS
    return bool(sees_more and holds and not _alarms_more(allowed, bare))


def _alarms_more(allowed: Following, bare: Following) -> bool:
    forwards, backwards = slice(0, None, 2), slice(1, None, 2)
    counts = np.stack([allowed.alarms, bare.alarms, bare.readings])
    ahead: Floats = counts[:, forwards].sum(axis=1)
    return _exceeds(ahead) or all(map(_exceeds, counts[:, backwards].T))


def _exceeds(counts: Floats) -> bool:
    """Return whether the second number of alarms is beyond the budget and the first."""
    before, after, readings = counts
    more = after - before > SURE * math.sqrt(after + before)
    return bool(more and after > BUDGET * readings)
