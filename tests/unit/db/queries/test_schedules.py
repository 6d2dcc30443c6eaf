"""A window's row and the fields that are sent are one mapping, both ways."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from uuid import UUID

import orjson

from db.queries.schedules import WINDOW_COLUMNS, condition_wire, window_fields, window_wire
from serving.requests.suppression_bodies import StreamWindow, window, windows
from serving.requests.wire import convert

START, END = datetime(2026, 1, 3, 6, tzinfo=UTC), datetime(2026, 1, 3, 8, tzinfo=UTC)


def test_a_row_comes_back_from_the_wire() -> None:
    row = asdict(window({"start": START, "end": END, "asset_id": "PUMP_*", "alarms": False}))
    assert row.keys() == {"id", *WINDOW_COLUMNS}
    stored = {**row, "id": UUID(int=1), "created_by": "ANNA"}
    wire = orjson.loads(orjson.dumps(window_wire(stored)))
    assert (wire["id"], wire["start"]) == (str(UUID(int=1)), "2026-01-03T06:00:00+00:00")
    assert "sensor_id" not in wire  # a pattern that is NULL fits all
    (made,) = windows([convert(StreamWindow, wire)])
    assert asdict(made) == {**row, "id": str(UUID(int=1))}
    assert window_fields(stored)["asset_id"] == "PUMP_*"


def test_a_condition_is_sent_with_its_group() -> None:
    row = {
        "group": "g", "feature": "rpm", "operator": "<", "value": 1.0, "hold_s": 0.0,
        "run_up_s": 5.0, "changed_by": "ANNA",
    }  # fmt: skip
    assert condition_wire(row) == {
        "group": "g", "feature": "rpm", "operator": "<", "value": 1.0, "hold_s": 0.0,
        "run_up_s": 5.0,
    }  # fmt: skip
