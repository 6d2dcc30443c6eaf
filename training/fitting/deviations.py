"""The standard deviation of each feature within a stream: the unit of injected faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datasets import Stream
from models.arrays import Floats
from models.detectors.covariance import median_deviation, winsorised_std
from models.fitting.operation.condition_fit import restate
from models.fitting.reading_times import epoch_seconds
from models.scoring.features.counters import Counters
from models.scoring.features.preprocessing import Preprocessing


def rated(stream: Stream, names: Sequence[str], counters: Counters | None) -> Stream:
    """Return a stream with the rates of its counters instead of their values.

    Parameters
    ----------
    stream : with the features ``names``.
    names : (d,)
    counters : which they are; None: there are none.
    """
    if counters is None:
        return stream
    return replace(stream, values=counters.rates(stream.values, stream.timestamps, names))


def stream_deviation(stream: Stream, names: Sequence[str], pre: Preprocessing) -> Floats:
    """Return the deviations of a stream's features (d,), for counters those of their rates.

    Parameters
    ----------
    stream : with the features ``names``.
    names : (d,)
    pre : names the counters; conditions and seasons are taken out.
    """
    return normal_std(rated(stream, names, pre.counters), names, pre)


def normal_std(stream: Stream, names: Sequence[str], pre: Preprocessing | None = None) -> Floats:
    """Return the robust standard deviation of each feature (d,) over a stream's normal readings.

    It comes from the median absolute deviation; if that is 0, it is the winsorised one.

    Parameters
    ----------
    stream : with the features ``names``.
    names : (d,)
    pre : readings are first restated for its usual operating condition, less what is usual at their
        time.
    """
    values = stream.values
    if pre is not None and (pre.conditions or pre.seasonality):
        columns = [names.index(name) for name in pre.names]
        values = values.copy()
        (own,) = restate(pre.conditions, [values[:, columns]])
        if pre.seasonality is not None:
            own = own - pre.seasonality.offsets(epoch_seconds(stream.timestamps))
        values[:, columns] = own
    if stream.labels is not None and (stream.labels != 1).any():
        values = values[stream.labels != 1]
    out = np.zeros(values.shape[1])
    for j, column in enumerate(values.T):
        here = column[np.isfinite(column)]
        if not len(here):
            continue
        out[j] = median_deviation(here)
        if out[j] == 0.0:
            out[j] = float(winsorised_std(here[:, None])[0])
    return out
