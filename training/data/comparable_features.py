"""Values of one feature side by side in the streams of a group, where streams can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.counter_rates import counts_up
from models.scoring.features.garbage import learn_garbage
from training.data.sources import TrainingData

#: Streams of a feature that show how most of them are, at least.
STREAMS: Final = 3


def comparable_features(data: TrainingData) -> Iterator[tuple[int, Mapping[int, Floats]]]:
    """Yield features that enough streams measure, each with its values by the index of the stream.

    Error codes are no values, and counters differ by the age of the machines: neither counts.
    """
    if len(data.streams) < STREAMS:
        return
    codes = learn_garbage(np.concatenate([stream.values for stream in data.streams])).codes
    for j, own in enumerate(codes):
        known = _measured(data, j, own)
        if len(known) >= STREAMS and 2 * sum(map(counts_up, known.values())) <= len(known):
            yield j, known


def _measured(data: TrainingData, j: int, codes: Sequence[float]) -> Mapping[int, Floats]:
    """Return the values of a feature, without error codes, by the index of their stream."""
    out = {}
    for i, stream in enumerate(data.streams):
        x = stream.values[:, j]
        x = x[~np.isnan(x) & ~np.isin(x, codes)]
        if len(x) and data.feature_of(i) in (None, data.feature_names[j]):
            out[i] = x
    return out
