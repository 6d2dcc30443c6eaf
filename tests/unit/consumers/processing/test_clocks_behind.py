"""A stream whose readings stay far behind its newest one is reported, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from consumers.processing.batch import BatchRecord, StreamBatch
from consumers.processing.clocks_behind import MANY, ClocksBehind
from consumers.records.parsing import Reading
from consumers.stream_cache import CachedStream
from tests.fixtures.partitions import FakeRecord, ready

NEWEST = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def batch(many: int, behind: timedelta, asset: str = "P") -> StreamBatch:
    """Scored readings of one stream, so much older than its newest one; 0: in order."""
    assigned = ready()
    made = StreamBatch(assigned, (asset, "S", ""), CachedStream(), state={"last": str(NEWEST)})
    metadata = {"late": True} if behind else {}
    for _ in range(many):
        reading = Reading(asset, "S", None, NEWEST - behind, {"rms": 1.0})
        result = {"metadata": metadata}
        made.sent.append(BatchRecord(assigned, FakeRecord(0, b""), reading, result=result))
    return made


def test_a_clock_that_fell_back_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clocks, year = ClocksBehind(7200), timedelta(days=365)
    clocks.check([batch(MANY - 1, year), batch(1, year, "Q")])
    assert caplog.text == ""
    for _ in range(3):
        clocks.check([batch(MANY, year), batch(1, year, "Q")])
    [record] = caplog.records
    assert "asset P, sensor S: 100 readings in a row" in record.message
    assert "2025-11-29" in record.message
    clocks.check([batch(1, timedelta(0))])  # set right
    clocks.check([batch(MANY, year)])
    assert len(caplog.records) == 2


@pytest.mark.parametrize("behind", [HOUR, 2 * HOUR])
def test_readings_that_still_open_incidents_are_not_told(
    behind: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    ClocksBehind(7200).check([batch(2 * MANY, behind)])
    assert caplog.text == ""


def test_readings_that_are_now_and_then_in_order_are_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clocks = ClocksBehind(7200)
    for _ in range(2 * MANY):
        clocks.check([batch(1, 3 * HOUR), batch(1, timedelta(0))])
    assert caplog.text == ""
