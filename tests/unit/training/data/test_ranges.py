"""What a model set was fitted on, and which readings are newer."""

from __future__ import annotations

import numpy as np
import pytest

from datasets import Stream
from training.data import ranges

START = np.datetime64("2026-01-01", "us")


def stream(asset: str, first: int, n: int) -> Stream:
    times = START + np.arange(first, first + n) * np.timedelta64(1, "h")
    return Stream(asset, None, times, np.zeros((n, 1)))


def test_each_streams_newest_reading_counts_for_it() -> None:
    found = ranges.range_of([stream("A", 0, 10), stream("B", 5, 10)], timed=True)
    assert (found["readings"], found["start"]) == (20, "2026-01-01T00:00:00.000000")
    assert found["end"] == "2026-01-01T14:00:00.000000"
    assert ranges.newer_from(stream("A", 0, 24), [found]) == 10
    assert ranges.newer_from(stream("B", 0, 24), [found]) == 15
    # one that it does not know has to be newer than all of it
    assert ranges.newer_from(stream("C", 0, 24), [found]) == 15


def test_it_must_be_newer_than_all_ranges() -> None:
    old = ranges.range_of([stream("A", 0, 10)], timed=True)
    new = ranges.range_of([stream("A", 0, 20)], timed=True)
    assert ranges.newer_from(stream("A", 0, 24), [old, new]) == 20
    assert ranges.newer_from(stream("A", 0, 15), [old, new]) == 15  # none


def test_times_that_were_made_up_tell_nothing() -> None:
    matrix = ranges.range_of([stream("A", 0, 10)], timed=False)
    assert matrix == {"readings": 10, "start": None, "end": None, "streams": {}}
    assert ranges.newer_from(stream("A", 0, 24), [matrix]) is None
    assert ranges.newer_from(stream("A", 0, 24), [{}]) is None


def test_of_very_many_streams_the_newest_of_all_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "MAX_STREAMS", 1)
    found = ranges.range_of([stream("A", 0, 10), stream("B", 5, 10)], timed=True)
    assert found["streams"] == {}
    assert ranges.newer_from(stream("A", 0, 24), [found]) == 15
