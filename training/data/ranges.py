"""Record the time range a model set was fitted on, and find newer readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from datasets import Stream
from training.data.sources import key_text

#: Maximum number of streams whose newest times are recorded one by one; beyond, only the range of
#: all together is.
MAX_STREAMS: Final = 10_000


def range_of(streams: Sequence[Stream], timed: bool) -> dict[str, Any]:
    """Return the time range and number of readings, in the form that a bundle records.

    Returns
    -------
    dict
        ``readings``, ``start`` and ``end`` (None if times are artificial), and ``streams``: each
        stream's newest time.
    """
    parts = [s for s in streams if len(s.timestamps)]
    found: dict[str, Any] = {
        "readings": sum(len(s.timestamps) for s in parts), "start": None, "end": None,
        "streams": {},
    }  # fmt: skip
    if timed and parts:
        found["start"] = _text(min(s.timestamps[0] for s in parts))
        found["end"] = _text(max(s.timestamps[-1] for s in parts))
        if len(parts) <= MAX_STREAMS:
            for stream in parts:
                key = key_text(stream)
                newest = _text(stream.timestamps[-1])
                found["streams"][key] = max(found["streams"].get(key, newest), newest)
    return found


def newer_from(stream: Stream, ranges: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the index of a stream's first reading that is newer than all ranges.

    None if unknown: a range is not recorded, or its times are artificial. For a stream that is not
    in a range, the range's overall end counts.
    """
    past = 0
    for one in ranges:
        end = one.get("streams", {}).get(key_text(stream), one.get("end"))
        if end is None:
            return None
        after = np.searchsorted(stream.timestamps, np.datetime64(end, "us"), side="right")
        past = max(past, int(after))
    return past


def _text(time: np.datetime64) -> str:
    return str(time.astype("datetime64[us]"))
