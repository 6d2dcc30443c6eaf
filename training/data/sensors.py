"""Split a group whose streams have different sensors, as machines of different types have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets import Stream
from training.cli.common import listed
from training.data.groups import Grouping, pick
from training.data.own_groups import MAX_NAMED, OwnGroups, assets_of
from training.data.preparation import MAX_MISSING, MIN_ROWS
from training.data.sources import TrainingData

Sensors = frozenset[int]


def sensors_of(stream: Stream) -> Sensors:
    """Return the columns measured in at least half of a stream's readings."""
    if not len(stream.timestamps):
        return frozenset()
    absent = np.isnan(stream.values).mean(axis=0)
    return frozenset(np.flatnonzero(absent <= MAX_MISSING).tolist())


def alike(streams: Sequence[Stream]) -> list[tuple[Sensors, list[int]]]:
    """Group streams by their columns, the group with most readings first.

    A stream with further columns joins such a group too; its further columns are not used.
    """
    have = [sensors_of(stream) for stream in streams]
    rows = [len(stream.timestamps) for stream in streams]
    left = list(range(len(streams)))
    out = []
    while left:
        sizes: dict[Sensors, int] = {}
        for i in left:
            sizes[have[i]] = sizes.get(have[i], 0) + rows[i]
        largest = max(sizes, key=lambda sensors: (bool(sensors), sizes[sensors]))
        lot = [i for i in left if have[i] == largest or (largest and have[i] > largest)]
        out.append((largest, lot))
        left = [i for i in left if i not in lot]
    return out


def split_by_sensors(grouping: Grouping, *, fixed: bool = False) -> Grouping:
    """Move streams that lack sensors to groups of their own, if they have enough readings.

    Parameters
    ----------
    grouping : Grouping
    fixed : bool
        The groups must not change (a retraining): such streams are left out instead.
    """
    made = OwnGroups(grouping)
    for name, data in grouping.groups.items():
        many = [i for i in range(len(data.streams)) if data.feature_of(i) is None]
        lots = alike([data.streams[i] for i in many])
        one = len(lots) < 2 and not _beyond(data, many, lots[0][0]) if lots else True
        if one or len(many) < len(data.streams):
            made.groups[name] = data
            continue
        first, members = lots[0]
        made.groups[name] = _only(data, members, first)
        made.notes += _beyond(data, members, first)
        for sensors, others in lots[1:]:
            part = _only(data, others, sensors)
            assets = assets_of(part.streams)
            problem = f"{assets}: lacks {_features(data, first - sensors)}, which others have"
            if not sensors:
                made.notes.append(f"{assets}: hardly anything measured: left out")
            elif fixed or part.rows < MIN_ROWS:
                why = "" if fixed else f" ({part.rows} readings are too few for a group)"
                made.notes.append(f"{problem}: left out{why}; --features names what all have")
            else:
                made.move(name, part, problem)
    return made.done()


def _only(data: TrainingData, members: Sequence[int], sensors: Sensors) -> TrainingData:
    return pick(data, members).with_features([data.feature_names[j] for j in sorted(sensors)])


def _beyond(data: TrainingData, members: Sequence[int], sensors: Sensors) -> list[str]:
    """Return a note on features that some members have but the group does not use."""
    more = frozenset().union(*(sensors_of(data.streams[i]) for i in members)) - sensors
    if not more:
        return []
    having = [data.streams[i] for i in members if sensors_of(data.streams[i]) & more]
    return [f"{assets_of(having)}: {_features(data, more)} not used, since others lack it"]


def _features(data: TrainingData, indexes: Sensors) -> str:
    return listed([data.feature_names[j] for j in sorted(indexes)], MAX_NAMED)
