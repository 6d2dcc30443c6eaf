"""Leave a start-up out of training up to where the stream comes to rest.

A stream may begin far from where it comes to rest: a machine that warms up, a process after a
restart. The search for faults leaves out what is far off. The rest of the approach passed for
levels that wander, and limits wide enough for it hid faults. What is left out from the first
reading on is therefore continued along the direction in which its later half is off, until an
average lies where half of the readings after it do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats
from models.fitting.faults.event_heights import averaged
from models.fitting.scaling import shrinkage_of
from models.fitting.trials.distance import fit_rows

_WIDTH: Final = 9  # readings in the moving average; fewer at the beginning are no start-up


def starts_of(streams: Sequence[Floats], faults: Sequence[Bools], max_share: float) -> list[Bools]:
    """Return which first readings of each stream are a start-up, (n_i,).

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in own units, varying features only.
    faults : list of (n_i,)
        Which readings are left out already.
    max_share
        Largest share of all readings to leave out. A stream that would need more does not come to
        rest: only its faults are left out.
    """
    starts = [np.zeros(len(mask), bool) for mask in faults]
    begun = [i for i, mask in enumerate(faults) if mask[:_WIDTH].all() and not mask.all()]
    if not begun:
        return starts
    known = [s[~mask] for s, mask in zip(streams, faults, strict=True) if not mask.all()]
    rows = fit_rows(known)[0](0, shrinkage_of(np.concatenate(known)))
    left = max_share * sum(map(len, streams)) - sum(int(mask.sum()) for mask in faults)
    for i in begun:
        end = _rest(rows(streams[i]), faults[i])
        more = int((~faults[i][:end]).sum())
        if more <= left:
            left -= more
            starts[i][:end] = True
    return starts


def _rest(rows: Floats, mask: Bools) -> int:
    """Return where decorrelated rows (n, d) come to rest that ``mask`` (n,) leaves out at first."""
    end = int(mask.argmin())
    usual = np.median(rows[~mask], axis=0)
    off = rows[end // 2 : end].mean(axis=0) - usual
    beyond = averaged((rows - usual) @ off, _WIDTH) > 0.0
    return end + int(np.append(beyond[end:], False).argmin())
