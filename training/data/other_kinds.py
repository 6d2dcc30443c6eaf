"""Split off streams of another kind of machine than most streams of their group.

A compressor among thirty pumps, or one machine whose load swings among those of a constant load,
makes a few of all readings lie far beyond the others, for good. They set the limits of the group,
so that no fault of any of the others would be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Bools, Floats
from models.detectors.covariance import median_deviation
from models.fitting.operation.condition_fit import FOLLOW
from models.scoring.features.garbage import FAR
from training.cli.common import listed
from training.data.comparable_features import STREAMS, comparable_features
from training.data.groups import Grouping
from training.data.own_groups import MAX_NAMED, alike, assets_of, split_off
from training.data.sources import TrainingData

#: Share of the streams that is most of them.
_MOST: Final = 0.75
#: As far as readings of a stream usually go.
_REACH: Final = 0.99


def split_by_kind(grouping: Grouping, *, fixed: bool = False, named: bool = False) -> Grouping:
    """Move streams of another kind of machine to groups of their own, if they are large enough.

    Parameters
    ----------
    grouping : Grouping
    fixed : bool
        The groups must not change (a retraining): such streams are left out instead.
    named : bool
        Somebody named the groups: such streams stay, and a note warns of them.
    """
    return split_off(grouping, _apart, "in one group they hide faults", fixed=fixed, named=named)


def _apart(data: TrainingData) -> list[tuple[list[int], str]]:
    """Return lots of streams of another kind, each with what is told of it."""
    return [(members, _problem(data, members, found)) for members, found in other_kinds(data)]


def other_kinds(data: TrainingData) -> list[tuple[list[int], list[int]]]:
    """Find lots of like streams that are of another kind than most; with the features that tell.

    A feature tells if the stream's usual readings lie ten times as far from the usual value as
    most streams ever go; or further, and they scatter ten times as much. A kind shows in as many
    features as an operating condition does. Counters do not count: they differ by age. Neither do
    features at which most streams rest: a machine on duty differs from those on standby.
    """
    measures = _Measures(data)
    apart = measures.apart()
    enough = apart.sum(axis=1) >= 1.0 + FOLLOW * (measures.known.sum(axis=1) - 1)
    lots = alike(np.flatnonzero(enough & apart.any(axis=1)).tolist(), measures.alike)
    return [(lot, np.flatnonzero(apart[lot].any(axis=0)).tolist()) for lot in lots]


class _Measures:
    """Level, scatter and reach of each feature in each stream, (streams, features); NaN: none.

    ``usual`` is the value (features,) that readings are away from by ``off``, and by ``reach``.

    Parameters
    ----------
    data : the streams of a group.
    """

    def __init__(self, data: TrainingData) -> None:
        shape = (len(data.streams), len(data.feature_names))
        self.level, self.scatter, self.off, self.reach = (np.full(shape, np.nan) for _ in range(4))
        self.usual = np.full(shape[1], np.nan)
        for j, columns in comparable_features(data):
            self.usual[j] = np.median([np.median(x) for x in columns.values()])
            for i, x in columns.items():
                away = np.abs(x - self.usual[j])
                self.level[i, j], self.scatter[i, j] = np.median(x), median_deviation(x)
                self.off[i, j], self.reach[i, j] = np.median(away), np.quantile(away, _REACH)
        self.known: NDArray[np.bool_] = ~np.isnan(self.level)

    def apart(self) -> Bools:
        """Return where a stream is not like most of the others."""
        reach, scatter = _of_most(self.reach), _of_most(self.scatter)
        wide = (self.off > reach) & (self.scatter > FAR * scatter) & (scatter > 0)
        far = (self.off > FAR * reach) & (reach > 0)
        # one machine on duty while the others stand by is of their kind: it is soon another's turn
        out: Bools = (wide | far) & (np.abs(self.usual) > reach)
        return out

    def alike(self, i: int, other: int) -> bool:
        """Return whether two streams of another kind are of the same."""
        gap = np.abs(self.level[i] - self.level[other])
        wide, narrow = (f(self.scatter[i], self.scatter[other]) for f in (np.maximum, np.minimum))
        return not bool(np.any((wide > FAR * narrow) | (gap > FAR * self.reach[other])))


def _of_most(measure: Floats) -> Floats:
    """Return what most streams do not exceed (features,), besides one that may be odd."""
    out = np.full(measure.shape[1], np.nan)
    for j, column in enumerate(measure.T):
        known = np.sort(column[~np.isnan(column)])
        if len(known) >= STREAMS:
            out[j] = known[int(np.ceil(_MOST * (len(known) - 2)))]
    return out


def _problem(data: TrainingData, members: Sequence[int], features: Sequence[int]) -> str:
    """Describe a lot: its assets, and the features that tell."""
    names = listed([data.feature_names[j] for j in features], MAX_NAMED)
    return (
        f"{assets_of([data.streams[i] for i in members])}: {names} usually lie far beyond all that"
        " most other streams do (another kind of machine?)"
    )
