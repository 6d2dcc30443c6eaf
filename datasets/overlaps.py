"""Join the streams of several files or sheets, whose exports may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datasets.reader import without_repetitions
from datasets.types import Dataset, Stream, StreamKey, named


def joined_streams(
    parts: Sequence[Dataset], names: list[str], what: str
) -> tuple[list[Stream], list[str]]:
    """Return each stream once, and notes on readings that occur in several parts.

    Parameters
    ----------
    parts, names
        The parts, and the features of all of them.
    what
        What a part is called in notes.
    """
    pieces: dict[StreamKey, list[Stream]] = {}
    for part in parts:
        for stream in part.streams:
            whole = _aligned(stream, part.feature_names, names)
            pieces.setdefault((stream.asset_id, stream.sensor_id), []).append(whole)
    out: list[Stream] = []
    repeated, other = 0, {}
    for key, found in pieces.items():
        joined = _one(found)
        stream = without_repetitions(joined)
        if len(found) > 1:
            stream = _without_less_complete(stream)
            if more := _ties(stream) - sum(map(_ties, found)):
                other[named(key)] = more
        repeated += len(joined.timestamps) - len(stream.timestamps)
        out.append(stream)
    notes = []
    if repeated:
        notes.append(
            f"{repeated:,} readings occur in more than one {what} (time and values): counted once"
        )
    if any(more > 0 for more in other.values()):
        shown = ", ".join(f"{key}: {more:,}" for key, more in other.items() if more > 0)
        notes.append(
            f"readings of one time have other values in another {what} ({shown[:200]}): all count;"
            f" if they are the same, exported again, leave one of the {what}s out"
        )
    return out, notes


def _ties(stream: Stream) -> int:
    """Return the number of readings with the time of the one before."""
    return int(np.sum(stream.timestamps[1:] == stream.timestamps[:-1]))


def _without_less_complete(stream: Stream) -> Stream:
    """Return the stream without readings of which another of that time has all values, and more.

    One of two overlapping exports lacks a column.
    """
    at = np.flatnonzero(stream.timestamps[1:] == stream.timestamps[:-1])
    first, second = stream.values[at], stream.values[at + 1]
    same = first == second
    less = (same | np.isnan(first)).all(axis=1)
    more = ~less & (same | np.isnan(second)).all(axis=1)
    gone = np.concatenate([at[less], at[more] + 1])
    if stream.labels is not None:
        gone = gone[stream.labels[gone] < 0]  # a label is not lost
    keep = np.ones(len(stream.timestamps), bool)
    keep[gone] = False
    return stream if keep.all() else stream.take(keep)


def _aligned(stream: Stream, have: list[str], names: list[str]) -> Stream:
    if have == names:
        return stream
    values = np.full((len(stream.timestamps), len(names)), np.nan)
    values[:, [names.index(name) for name in have]] = stream.values
    return replace(stream, values=values)


def _one(found: list[Stream]) -> Stream:
    if len(found) == 1:
        return found[0]
    times = np.concatenate([s.timestamps for s in found])
    labels = None
    if any(s.labels is not None for s in found):
        labels = np.concatenate(
            [np.full(len(s.timestamps), -1, np.int8) if s.labels is None else s.labels
             for s in found]
        )  # fmt: skip
    values = np.concatenate([s.values for s in found])
    whole = Stream(found[0].asset_id, found[0].sensor_id, times, values, labels)
    return whole.take(np.argsort(times, kind="stable"))
