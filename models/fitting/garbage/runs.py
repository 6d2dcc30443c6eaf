"""Find runs of readings that have something in common: where they begin, and how long they last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Indices

#: Most readings in succession, on average: where a machine rests at one value, it does for longer.
_BRIEFLY: Final = 5


def starts(there: Bools) -> Indices:
    """Return the indices at which runs of a stream's readings ``there`` (n,) begin."""
    return np.flatnonzero(there & ~np.append(False, there[:-1]))


def lengths(there: Bools) -> Indices:
    """Return how many readings each run of ``there`` (n,) lasts, in order."""
    ends = np.flatnonzero(there & ~np.append(there[1:], False))
    out: Indices = ends - starts(there) + 1
    return out


def is_brief(there: Sequence[Bools]) -> bool:
    """Return whether what is there, in streams (n_i,), is soon gone each time."""
    return sum(int(one.sum()) for one in there) <= _BRIEFLY * sum(len(starts(one)) for one in there)
