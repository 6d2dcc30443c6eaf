"""Put the files of a stream one after another if their readings are only counted.

The times of such readings are made up, and begin anew in each file. Joined by these times, the
first readings of all files would come first, then all second ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from datasets.file_sets.equal_names import copies
from datasets.times.time_parsing import MADE_UP_STEP
from datasets.types import Dataset, Stream, StreamKey, key_of, named

_SHOWN: Final = 100  # characters of the names in a note, at most


def in_turn(
    parts: Sequence[Dataset], names: Sequence[str], what: str
) -> tuple[list[Dataset], list[str]]:
    """Return the parts, the counted ones of a stream one after another, and a note on each stream.

    They stay as they are if their counts begin differently, since they go on then, and if they hold
    different features. A copy of the one before begins with it.

    Parameters
    ----------
    parts
        What was read.
    names
        The name of each part. Files are put in the order of their names, with 2 before 10.
    what
        What a part is called in notes: a file, or a sheet, which keeps its place.
    """
    of_stream: dict[StreamKey, list[int]] = {}
    for number, part in enumerate(parts):
        for stream in part.streams if part.counted else ():
            if len(stream.timestamps):
                of_stream.setdefault(key_of(stream), []).append(number)
    out = list(parts)
    notes = []
    for key, numbers in of_stream.items():
        if what == "file":
            numbers.sort(key=lambda number: _natural(names[number]))
        pieces = [_only(parts[number], key) for number in numbers]
        if not _begin_anew(pieces):
            continue
        shown = []
        start = end = pieces[0].streams[0].timestamps[0]
        for number, before, piece in zip(numbers, [None, *pieces], pieces, strict=False):
            if before is None or not copies(before, piece):
                start = end
                shown.append(names[number])
            out[number] = _beginning(out[number], key, start)
            times = piece.streams[0].timestamps
            end = max(end, start + (times[-1] - times[0]) + MADE_UP_STEP)
        if len(shown) > 1:
            order = ", ".join(shown)
            more = " ..." if len(order) > _SHOWN else ""
            notes.append(
                f"{named(key)}: no times tell the order of its {len(shown)} {what}s, which follow"
                f" one another as {order[:_SHOWN]}{more}"
            )
    return out, notes


def _begin_anew(pieces: Sequence[Dataset]) -> bool:
    """Return whether each piece of a stream counts its readings from the same number."""
    first, *others = pieces
    begin = first.streams[0].timestamps[0]
    return all(piece.streams[0].timestamps[0] == begin for piece in others) and all(
        {*first.feature_names} & {*piece.feature_names} for piece in others
    )


def _only(part: Dataset, key: StreamKey) -> Dataset:
    """Return a part with one of its streams."""
    return replace(part, streams=[stream for stream in part.streams if key_of(stream) == key])


def _beginning(part: Dataset, key: StreamKey, start: np.datetime64) -> Dataset:
    """Return a part whose stream begins at a time."""

    def moved(stream: Stream) -> Stream:
        return replace(stream, timestamps=stream.timestamps + (start - stream.timestamps[0]))

    streams = [moved(stream) if key_of(stream) == key else stream for stream in part.streams]
    return replace(part, streams=streams)


def _natural(name: str) -> list[tuple[str, int]]:
    """Return a key that sorts names, and equal ones by their numbers: a_2, a_10, b_1."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]
