"""What people planned, as it goes into requests: what concerns them, without what was refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from consumers.schedule_cache import Schedules

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def window(number: int, start: datetime, end: datetime, **more: Any) -> dict[str, Any]:
    return {"id": number, "start": start, "end": end, **more}


def reset(number: int, asset: str, sensor: str | None = None) -> dict[str, Any]:
    at = NOON + number * HOUR
    return {"id": number, "asset_id": asset, "sensor_id": sensor, "requested_at": at}


def test_only_windows_that_touch_the_readings_are_sent():
    before, during, after = (window(i, NOON + i * HOUR, NOON + (i + 1) * HOUR) for i in (-2, 0, 2))
    weekly = window(9, NOON - 900 * HOUR, NOON - 899 * HOUR, rrule="FREQ=WEEKLY")
    schedules = Schedules(windows=[before, during, after, weekly])
    assert schedules.concerning(NOON, NOON + HOUR) == {"maintenance_windows": [during, weekly]}
    assert Schedules().concerning(NOON, NOON) == {}


def test_the_newest_reset_of_a_sensor_or_of_its_whole_asset_counts():
    first = Schedules().renewed([], [], [reset(1, "A"), reset(2, "A", "S1")], {}, {})
    assert [first.reset(key) for key in (("A", "S1", ""), ("A", "S2", ""), ("B", "", ""))] == [
        2, 1, 0,
    ]  # fmt: skip
    assert first.newest_reset == (2, NOON + 2 * HOUR)
    later = first.renewed([], [], [reset(3, "A")], {}, {})
    assert later.reset(("A", "S1", "")) == 3
    assert later.newest_reset == (3, NOON + 3 * HOUR)


def test_a_window_that_the_service_refuses_is_left_out_and_logged_once(
    caplog: pytest.LogCaptureFixture,
):
    bad, good = window(1, NOON, NOON + HOUR, rrule="nonsense"), window(2, NOON, NOON + HOUR)
    schedules = Schedules(windows=[bad, good])
    body = orjson.dumps(schedules.concerning(NOON, NOON))
    for _ in range(2):
        assert schedules.leave_out(body, "maintenance_windows[0].rrule", "no rule")
    assert schedules.concerning(NOON, NOON) == {"maintenance_windows": [good]}
    assert len(caplog.records) == 1
    # mended in the table: it is another one then, and what was refused is forgotten
    renewed = schedules.renewed([{**bad, "rrule": "FREQ=DAILY"}, good], [], [], {}, {})
    assert len(renewed.concerning(NOON, NOON)["maintenance_windows"]) == 2
    assert not renewed.refused


@pytest.mark.parametrize(
    "field", [None, "streams[0].readings", "maintenance_windows[5]", "off_conditions[0]"]
)
def test_what_is_wrong_otherwise_is_no_window_of_ours(field):
    schedules = Schedules(windows=[window(1, NOON, NOON + HOUR)])
    body = orjson.dumps(schedules.concerning(NOON, NOON))
    assert not schedules.leave_out(body, field, "wrong")
    assert not schedules.refused
