"""Join the streams of several files or sheets, whose exports may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from datasets.reader import without_repetitions
from datasets.types import Dataset, Flags, Stream, StreamKey, key_of, named


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
            pieces.setdefault(key_of(stream), []).append(whole)
    out: list[Stream] = []
    repeated = 0
    other: dict[str, int] = {}
    for key, found in pieces.items():
        joined, source = _one(found)
        keep, unlike = _compared(joined, source)
        stream = without_repetitions(joined if keep.all() else joined.take(keep))
        if (unlike := min(unlike, _ties(stream) - sum(map(_ties, found)))) > 0:
            other[named(key)] = unlike
        repeated += len(joined.timestamps) - len(stream.timestamps)
        out.append(stream)
    notes = []
    if repeated:
        notes.append(
            f"{repeated:,} readings occur in more than one {what} (time and values): counted once"
        )
    if other:
        shown = ", ".join(f"{key}: {unlike:,}" for key, unlike in other.items())
        notes.append(
            f"readings of one time have other values in another {what} ({shown[:200]}): all count;"
            f" if they are the same, exported again, leave one of the {what}s out; if they are of"
            f" other runs, make each {what} an asset of its own (no --asset-id, or --exclude the"
            " column of assets)"
        )
    return out, notes


def _ties(stream: Stream) -> int:
    """Return the number of readings with the time of the one before."""
    return int(np.sum(stream.timestamps[1:] == stream.timestamps[:-1]))


def _compared(stream: Stream, source: npt.NDArray[np.intp]) -> tuple[Flags, int]:
    """Return which readings (n,) to keep, and how many have other values in another part.

    Not kept are those of which another part has all values at that time, and more: one of two
    overlapping exports lacks a column.

    Parameters
    ----------
    stream : readings of all parts, in order of time.
    source : the part of each (n,).
    """
    ties = stream.timestamps[1:] == stream.timestamps[:-1]
    at = np.flatnonzero(ties & (source[1:] != source[:-1]))
    first, second = stream.values[at], stream.values[at + 1]
    lacks, has_no = np.isnan(first), np.isnan(second)
    same = (first == second) | (lacks & has_no)
    less = (same | lacks).all(axis=1) & ~same.all(axis=1)
    more = (same | has_no).all(axis=1) & ~same.all(axis=1)
    unlike = int((~same & ~lacks & ~has_no).any(axis=1).sum())
    gone = np.concatenate([at[less], at[more] + 1])
    if stream.labels is not None:
        gone = gone[stream.labels[gone] < 0]  # a label is not lost
    keep = np.ones(len(stream.timestamps), bool)
    keep[gone] = False
    return keep, unlike


def _aligned(stream: Stream, have: list[str], names: list[str]) -> Stream:
    if have == names:
        return stream
    values = np.full((len(stream.timestamps), len(names)), np.nan)
    values[:, [names.index(name) for name in have]] = stream.values
    return replace(stream, values=values)


def _one(found: list[Stream]) -> tuple[Stream, npt.NDArray[np.intp]]:
    """Return the pieces of a stream in order of time, and the piece of each reading (n,)."""
    source = np.repeat(np.arange(len(found)), [len(s.timestamps) for s in found])
    if len(found) == 1:
        return found[0], source
    times = np.concatenate([s.timestamps for s in found])
    labels = None
    if any(s.labels is not None for s in found):
        labels = np.concatenate(
            [np.full(len(s.timestamps), -1, np.int8) if s.labels is None else s.labels
             for s in found]
        )  # fmt: skip
    values = np.concatenate([s.values for s in found])
    whole = Stream(found[0].asset_id, found[0].sensor_id, times, values, labels)
    order = np.argsort(times, kind="stable")
    return whole.take(order), source[order]
