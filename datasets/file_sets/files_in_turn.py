"""Point out files that follow one another in time: a logger begins a new one each hour or day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datasets.file_sets.equal_names import copies
from datasets.file_sets.parts import Part, times_of, unnamed
from datasets.types import Dataset, Times


def pieces_hint(parts: Sequence[Part]) -> list[str]:
    """Return a note if each file is an asset of its own by name, yet all may be pieces of one."""
    if len(parts) < 2 or not all(map(unnamed, parts)):
        return []
    if len({stream.asset_id for part in parts for stream in part.data.streams}) == 1:
        return []
    overlap = follow_one_another(parts)
    if overlap is None:
        return []
    same = ", with the same readings where they overlap" if overlap else ""
    return [
        "each file is read as an asset of its own, yet they follow one another in time"
        f"{same}: if they are pieces of one machine's readings, --asset-id NAME joins them"
    ]


def follow_one_another(parts: Sequence[Part]) -> bool | None:
    """Return whether pieces of one series overlap; None if they cannot be pieces of one.

    They can if none overlaps another, or if they hold the same readings where they do.
    """
    spans = [(times.min(), times.max()) for times in (times_of(part.data) for part in parts)]
    latest, *later = sorted(range(len(parts)), key=spans.__getitem__)
    overlap = False
    for at in later:
        begin, end = spans[at][0], min(spans[at][1], spans[latest][1])
        if begin < spans[latest][1]:
            overlap = True
            both = [_between(parts[each].data, begin, end) for each in (latest, at)]
            if not all(len(times_of(each)) for each in both) or not copies(*both):
                return None
        latest = max(latest, at, key=lambda each: spans[each][1])
    return overlap


def _between(data: Dataset, begin: Times, end: Times) -> Dataset:
    """Return the readings of a time from ``begin`` to ``end``."""
    streams = [
        stream.take((stream.timestamps >= begin) & (stream.timestamps <= end))
        for stream in data.streams
    ]
    return replace(data, streams=streams)
