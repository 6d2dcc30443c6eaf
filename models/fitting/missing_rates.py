"""Learn how long features lacked values (see :mod:`models.scoring.features.missing_runs`).

A run as long as one of training's is normal. The probability that one of the ``n`` training
readings ends a longer one is estimated as ``(1/2) / (n + 1)``, and each further reading is as
probable as the longer runs went on, at least one half: the rule of repeated values
(:mod:`models.fitting.garbage.repeat_rates`). It is multiplied by the number of features, since any
of them may fail. A feature that a stream of training never had may be lacking in others of its
kind, so it is not watched for that; what no sensor measured shows a failed sensor there, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.arrays import Bools, Floats
from models.detectors.base import Array
from models.fitting.faults.event_heights import stretches
from models.fitting.garbage.repeat_rates import HALF, goes_on
from models.scoring.features.missing_runs import NOT_WATCHED, MissingRuns
from models.scoring.features.preprocessing import Preprocessing


def fit_missing_runs(
    pre: Preprocessing, streams: Sequence[Array], names: Sequence[str]
) -> MissingRuns:
    """Return the rarity of runs of readings without a value, for the features used.

    Parameters
    ----------
    pre
        Preprocessing of the group; says which values mean "not measured".
    streams : list of (n_i, d)
        Training readings as received, in own units; NaN where a value is missing.
    names : (d,)
        Their features.
    """
    columns = [list(names).index(name) for name in pre.names]
    lacking = [_lacking(pre, np.asarray(stream, np.float64)[:, columns]) for stream in streams]
    watched = ~np.any([one.all(axis=0) for one in lacking], axis=0)
    readings = sum(map(len, lacking))
    first = np.log10(2.0 * (readings + 1.0)) - np.log10(max(int(watched.sum()), 1))
    runs = [
        np.sort([b - a for one in lacking for a, b in stretches(one[:, j], 1)])
        for j in range(len(columns))
    ]
    longest = np.array([max(one, default=0) for one in runs], np.float64)
    further = [-np.log10(goes_on(one) if len(one) else HALF) for one in runs]
    longest[~watched] = NOT_WATCHED
    rarity = np.stack([np.full(len(columns), first), further])
    return MissingRuns(longest, *np.maximum(rarity, 0.0).round(4))


def _lacking(pre: Preprocessing, values: Floats) -> Bools:
    """Return which values (n, d) of the features used are missing."""
    out = np.isnan(values)
    for j, name in enumerate(pre.names):
        low, high = pre.beyond.get(name, (-np.inf, np.inf))
        out[:, j] |= (values[:, j] < low) | (values[:, j] > high)
        out[:, j] |= np.isin(values[:, j], pre.nulls.get(name, ()))
    return out
