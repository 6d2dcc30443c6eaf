"""Maintenance windows, off conditions and resets as they come in."""

from __future__ import annotations

import orjson
import pytest

from errors import InputError
from serving.requests.suppression_bodies import (
    NewWindow,
    OffConditions,
    StreamWindow,
    WindowChange,
    off_conditions,
    window,
    windows,
)
from serving.requests.wire import convert, decode, present_fields

SPAN = {"start": "2026-01-03T06:00:00+00:00", "end": "2026-01-03T08:00:00+00:00"}


def test_what_is_left_out_is_the_usual_and_what_is_null_too() -> None:
    body = decode(NewWindow, orjson.dumps({**SPAN, "asset_id": None, "alarms": False}))
    made = window(present_fields(body, "who"))
    assert (made.asset_id, made.alarms, made.training, made.time_zone) == (None, False, True, "UTC")
    assert made.start.isoformat() == SPAN["start"]


def test_a_change_has_only_what_was_sent() -> None:
    body = decode(WindowChange, b'{"rrule":null,"who":"ANNA"}')
    assert present_fields(body, "who") == {"rrule": None}


def test_of_several_windows_the_wrong_one_is_named() -> None:
    good = {**SPAN, "id": "1"}
    bodies = convert(list[StreamWindow], [good, {**good, "end": SPAN["start"]}])
    with pytest.raises(InputError, match=r"maintenance_windows\[1\]\.end") as caught:
        windows(bodies)
    assert caught.value.field == "maintenance_windows[1].end"
    assert [one.id for one in windows(bodies[:1])] == ["1"]


def test_conditions_are_checked_each() -> None:
    one = {"feature": "rpm", "operator": "<", "value": 10, "group": "default"}
    body = decode(OffConditions, orjson.dumps({"off_conditions": [one]}))
    (made,) = off_conditions(body.off_conditions)
    assert (made.feature, made.operator, made.hold_s) == ("rpm", "<", 0.0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"operator": "=<"}, "off_conditions[0].operator"),
        ({"value": None}, "off_conditions[0].value"),
        ({"hold_s": -1}, "off_conditions[0].hold_s"),
        ({"feature": ""}, "off_conditions[0].feature"),
        ({"features": "rpm"}, "off_conditions[0].features"),
    ],
)
def test_a_wrong_condition_names_its_field(change: dict[str, object], field: str) -> None:
    one = {"feature": "rpm", "operator": "<", "value": 10, **change}
    with pytest.raises(InputError) as caught:
        decode(OffConditions, orjson.dumps({"off_conditions": [one]}))
    assert caught.value.field == field
