"""Times without an offset that go back by an hour are reported, once; others are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from consumers.processing.batch import BatchRecord, StreamBatch
from consumers.processing.local_time import RepeatedHour
from consumers.records.parsing import Reading, parse
from consumers.stream_cache import CachedStream
from tests.fixtures.partitions import FakeRecord, ready
from tests.fixtures.records import reading

#: The first time that is two o'clock, on the day when three o'clock becomes two o'clock.
TWO = datetime(2026, 10, 25, 2, tzinfo=UTC)


def batch(*minutes: float, last: float | None = None, local: bool = True) -> StreamBatch:
    """Readings of one stream, so many minutes after two o'clock."""
    assigned = ready()
    known = None if last is None else TWO + timedelta(minutes=last)
    made = StreamBatch(assigned, ("P", "S", ""), CachedStream(last=known))
    for minute in minutes:
        at = TWO + timedelta(minutes=minute)
        one = Reading("P", "S", None, at, {"rms": 1.0}, local=local)
        made.items.append(BatchRecord(assigned, FakeRecord(0, b""), reading=one))
    return made


@pytest.mark.parametrize(
    "streams",
    [
        batch(0, 1, last=59),
        batch(57, 58, 59, 0, 1),
        batch(50, 0, 10, last=40),  # a reading every ten minutes
        batch(0, last=29),  # half an hour, as on Lord Howe Island
    ],
)
def test_an_hour_that_comes_twice_is_told_once(
    streams: StreamBatch, caplog: pytest.LogCaptureFixture
) -> None:
    repeated = RepeatedHour()
    repeated.check([batch(1, 2, last=0), streams, streams])
    repeated.check([streams])
    assert caplog.text.count("daylight saving ends") == 1
    assert "'P'" in caplog.text


@pytest.mark.parametrize(
    "streams",
    [
        batch(0, 1, last=59, local=False),  # declared as of that time: late, and no more
        batch(0, 1),
        batch(60, 61, last=59),
        batch(58, 59, 60, last=59),  # out of order
        batch(0, last=600),  # old readings sent again
    ],
)
def test_nothing_else_is_told(streams: StreamBatch, caplog: pytest.LogCaptureFixture) -> None:
    RepeatedHour().check([streams])
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("stamp", "local"),
    [
        ("2026-01-01T00:00:00", True),
        ("2026-01-01 00:00:00.5", True),
        ("20260101T000000", True),
        ("2026-01-01T00:00:00Z", False),
        ("2026-01-01T00:00:00+00:00", False),
        ("2026-01-01T00:00:00-05:00", False),
        ("20260101T000000+0100", False),
    ],
)
def test_a_time_without_an_offset_is_known_as_such(stamp: str, local: bool) -> None:
    parsed = parse(FakeRecord(0, reading("A", 1, timestamp=stamp)), 3600)
    assert isinstance(parsed, Reading)
    assert parsed.local is local
