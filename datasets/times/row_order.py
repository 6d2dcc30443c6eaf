"""Tell whether a file's rows stand in order of time; exports often begin with the newest."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from datasets.types import Reading, StreamKey

#: Note on readings that are not sent in the order of a file's rows.
SORTED: Final = "the rows are not in order of time: they are read in that order"
#: First rows that show the order.
LOOKED_AT: Final = 1000
#: Rows older than the one before in their stream, one in so many, that are no mere latecomers.
_BACK: Final = 10


def goes_back(readings: Iterable[Reading]) -> bool:
    """Return whether many readings are older than the one before in their stream."""
    last: dict[StreamKey, datetime] = {}
    steps = back = 0
    for one in readings:
        key = one.asset_id, one.sensor_id
        if key in last:
            steps += 1
            back += one.timestamp < last[key]
        last[key] = one.timestamp
    return back > 0 and _BACK * back >= steps
