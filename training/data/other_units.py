"""Split off streams whose values of a feature are in another unit than those of the others.

One machine that reports its pressure in mbar among others that report bar widens the feature's
scale a thousandfold, so that no fault of this feature would be seen on any of them. It does so even
if it reports mbar for a part of the time only, as after a change of its controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats
from models.detectors.covariance import median_deviation
from models.scoring.features.garbage import FAR
from training.cli.common import listed
from training.data.checks import far_from
from training.data.comparable_features import comparable_features
from training.data.groups import Grouping
from training.data.own_groups import MAX_NAMED, alike, assets_of, split_off
from training.data.sources import TrainingData

#: Stretches of a stream that are looked at, and the fewest values in each: a shorter change of unit
#: is left out of training as other faults are.
_PARTS: Final = 10
_FEWEST: Final = 10


@dataclass(frozen=True, slots=True)
class OtherUnit:
    """A stream whose feature lies far beyond that of the others, perhaps in another unit.

    Parameters
    ----------
    stream, feature : indices in the data.
    level, usual : the value that it has there, and that of the other streams.
    scatters : its values scatter more, too. Another unit multiplies both; a machine that only runs
        at another set point scatters as the others do.
    share : how much of its time it does, in tenths.
    """

    stream: int
    feature: int
    level: float
    usual: float
    scatters: bool
    share: float

    @property
    def when(self) -> str:
        """When it does: a phrase for a text, empty if always."""
        return "" if self.share == 1.0 else f" in {self.share:.0%} of its readings"


#: Streams with the same features in the same other unit.
Lot = list[OtherUnit]


def other_units(data: TrainingData) -> list[OtherUnit]:
    """Find the streams whose values of a feature seem to be in another unit than most streams'.

    Error codes have no unit, and counters differ by the age of the machines: neither counts.
    """
    out = []
    for j, known in comparable_features(data):
        levels = np.array([np.median(x) for x in known.values()])
        spreads = np.array([median_deviation(x) for x in known.values()])
        usual, spread = float(np.median(levels)), float(np.median(spreads))
        for i, x in known.items():
            parts = _parts(x)
            far = far_from(np.array([np.median(part) for part in parts]), usual, spread)
            if far.any():
                there = [part for part, yes in zip(parts, far, strict=True) if yes]
                wide = bool(np.median([median_deviation(part) for part in there]) > FAR * spread)
                level = float(np.median(np.concatenate(there)))
                out.append(OtherUnit(i, j, level, usual, wide, float(far.mean())))
    return out


def _parts(values: Floats) -> list[Floats]:
    """Return equal stretches of a stream's values (n,), or all of them if they are few."""
    return np.array_split(values, _PARTS) if len(values) >= _PARTS * _FEWEST else [values]


def split_by_units(grouping: Grouping, *, fixed: bool = False, named: bool = False) -> Grouping:
    """Move streams with a feature in another unit to groups of their own, if they are large enough.

    Parameters
    ----------
    grouping : Grouping
    fixed : bool
        The groups must not change (a retraining): such streams are left out instead.
    named : bool
        Somebody named the groups: such streams stay, and a note warns of them.
    """
    harm = "in one group they hide smaller faults of each other"
    return split_off(grouping, _apart, harm, fixed=fixed, named=named)


def _apart(data: TrainingData) -> list[tuple[list[int], str]]:
    """Return lots of streams in another unit, each with what is told of it."""
    return [(sorted({one.stream for one in lot}), _problem(data, lot)) for lot in _lots(data)]


def _lots(data: TrainingData) -> list[Lot]:
    """Put streams together that have the same features in the same other unit."""
    by_stream: dict[int, Lot] = {}
    for one in other_units(data):
        if one.scatters:
            by_stream.setdefault(one.stream, []).append(one)
    lots = alike(list(by_stream.values()), _same)
    return [[one for mine in lot for one in mine] for lot in lots]


def _same(a: Lot, b: Lot) -> bool:
    """Return whether two streams have the same features in the same other unit."""
    if [one.feature for one in a] != [one.feature for one in b]:
        return False
    ratios = [one.level / other.level for one, other in zip(a, b, strict=True)]
    return all(1 / FAR <= ratio <= FAR for ratio in ratios)


def _problem(data: TrainingData, lot: Lot) -> str:
    """Describe a lot: its assets, and both levels of each feature."""
    assets = assets_of([data.streams[one.stream] for one in lot])
    levels: dict[int, list[float]] = {}
    for one in lot:
        levels.setdefault(one.feature, []).append(one.level)
    one_of = {one.feature: one for one in lot}
    texts = [
        f"{data.feature_names[j]} lies at {_range(levels[j])}{one.when}, that of the others at"
        f" {one.usual:.4g}"
        for j, one in one_of.items()
    ]
    return f"{assets}: {listed(texts, MAX_NAMED)} (another unit?)"


def _range(levels: Sequence[float]) -> str:
    low, high = f"{min(levels):.4g}", f"{max(levels):.4g}"
    return low if low == high else f"{low} to {high}"
