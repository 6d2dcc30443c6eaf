"""Point out files that follow one another in time: a logger begins a new one each hour or day."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from datasets.parts import Part, times_of, unnamed


def pieces_hint(parts: Sequence[Part]) -> list[str]:
    """Return a note if each file is an asset of its own by name, yet none overlaps another."""
    if len(parts) < 2 or not all(map(unnamed, parts)):
        return []
    assets = {stream.asset_id for part in parts for stream in part.data.streams}
    times = [times_of(part.data) for part in parts]
    spans = sorted((each.min(), each.max()) for each in times)
    if len(assets) == 1 or any(end > start for (_, end), (start, _) in pairwise(spans)):
        return []
    return [
        "each file is read as an asset of its own, yet they follow one another in time: if they are"
        " pieces of one machine's readings, --asset-id NAME joins them"
    ]
