"""Put the files of a stream one after another if their readings are only counted.

The times of such readings are made up, and begin anew in each file. Joined by these times, the
first readings of all files would come first, then all second ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from datasets.equal_names import copies
from datasets.times import MADE_UP_STEP
from datasets.types import Dataset, Stream, StreamKey, named

_SHOWN: Final = 100  # characters of the names in a note, at most


def in_turn(
    parts: Sequence[Dataset], names: Sequence[str], what: str
) -> tuple[list[Dataset], list[str]]:
    """Return the parts, the counted ones of a stream one after another, and a note on each stream.

    They stay as they are if their counts begin differently, since they go on then, if they hold
    different features, and if they are copies.

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
                of_stream.setdefault((stream.asset_id, stream.sensor_id), []).append(number)
    out = list(parts)
    notes = []
    for key, numbers in of_stream.items():
        if what == "file":
            numbers.sort(key=lambda number: _natural(names[number]))
        if len(numbers) < 2 or not _begin_anew([_only(out[n], key) for n in numbers]):
            continue
        for before, after in pairwise(numbers):
            (last,) = _only(out[before], key).streams
            out[after] = _following(out[after], key, last)
        shown = ", ".join(names[number] for number in numbers)
        more = " ..." if len(shown) > _SHOWN else ""
        notes.append(
            f"{named(key)}: no times tell the order of its {len(numbers)} {what}s, which follow"
            f" one another as {shown[:_SHOWN]}{more}"
        )
    return out, notes


def _begin_anew(pieces: Sequence[Dataset]) -> bool:
    """Return whether each piece of a stream counts its readings from the same number."""
    first, *others = pieces
    begin = first.streams[0].timestamps[0]
    return (
        all(piece.streams[0].timestamps[0] == begin for piece in others)
        and all({*first.feature_names} & {*piece.feature_names} for piece in others)
        and not any(copies(*pair) for pair in pairwise(pieces))
    )


def _only(part: Dataset, key: StreamKey) -> Dataset:
    """Return a part with one of its streams."""
    return replace(part, streams=[stream for stream in part.streams if _key(stream) == key])


def _following(part: Dataset, key: StreamKey, last: Stream) -> Dataset:
    """Return a part whose stream begins a step after the end of another."""

    def moved(stream: Stream) -> Stream:
        shift = last.timestamps[-1] + MADE_UP_STEP - stream.timestamps[0]
        return replace(stream, timestamps=stream.timestamps + shift)

    streams = [moved(stream) if _key(stream) == key else stream for stream in part.streams]
    return replace(part, streams=streams)


def _key(stream: Stream) -> StreamKey:
    return (stream.asset_id, stream.sensor_id)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names by the numbers in them: acc_2 before acc_10."""
    return [(int(number or 0), text) for text, number in re.findall(r"(\D*)(\d*)", name)]
