"""Maintenance windows, off conditions and resets over REST, against ``bentoml serve``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from db.queries.schedules import MAX_WINDOWS, add_window, delete_window, windows
from db.session import make_engine, transaction
from errors import Conflict

WINDOW = {
    "start": "2026-01-03T22:00:00+01:00", "end": "2026-01-04T06:00:00+01:00",
    "rrule": "FREQ=WEEKLY;BYDAY=SA", "time_zone": "Europe/Berlin", "asset_id": "PUMP_*",
    "reason": "weekly cleaning",
}  # fmt: skip


def test_a_window_is_planned_listed_changed_and_deleted(http):
    made = http.post("/maintenance-windows", json={**WINDOW, "who": "ANNA"})
    assert made.status_code == 201, made.text
    one = made.json()
    assert (one["rrule"], one["created_by"], one["alarms"]) == (WINDOW["rrule"], "ANNA", True)
    url = f"/maintenance-windows/{one['id']}"
    assert one["id"] in [
        w["id"] for w in http.get("/maintenance-windows").json()["maintenance_windows"]
    ]
    changed = http.patch(
        url, json={"reason": "overhaul"}, headers={"If-Match": made.headers["etag"]}
    )
    assert changed.json()["reason"] == "overhaul"
    assert changed.json()["rrule"] == WINDOW["rrule"]
    late = http.patch(url, json={"alarms": False}, headers={"If-Match": made.headers["etag"]})
    assert (late.status_code, late.json()["error"]["field"]) == (412, "if-match")
    assert http.delete(url).json() == {"id": one["id"], "deleted": True}
    assert http.delete(url).status_code == 404
    assert one["id"] not in http.get("/maintenance-windows").text


def test_a_window_is_added_once_by_its_token(http):
    key = {"Idempotency-Key": "window-1"}
    given = {**WINDOW, "who": "ANNA"}
    first = http.post("/maintenance-windows", json=given, headers=key)
    again = http.post("/maintenance-windows", json=given, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json()) != (409, {})
    other = http.post("/maintenance-windows", json={**given, "reason": "overhaul"}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_used")
    known = f"maintenance window {first.json()['id']} from 20"
    assert known in other.json()["error"]["message"]
    assert "changed since" not in other.json()["error"]["message"]
    changed = http.patch(f"/maintenance-windows/{first.json()['id']}", json={"reason": "overhaul"})
    assert changed.status_code == 200
    late = http.post("/maintenance-windows", json=given, headers=key)
    assert "which was changed since" in late.json()["error"]["message"]
    hers = http.post("/maintenance-windows", json={**given, "who": "BERTA"}, headers=key)
    assert hers.json()["id"] != first.json()["id"]


def test_a_window_that_would_never_be_read_is_refused(database_url):
    fields = dict.fromkeys(("asset_id", "sensor_id", "group", "rrule", "reason"))
    now = datetime.now(UTC)
    fields |= {"start": now, "end": now + timedelta(hours=1), "time_zone": "UTC",
               "alarms": True, "training": True}  # fmt: skip
    engine = make_engine(database_url)
    with transaction(engine) as connection:
        for _ in range(MAX_WINDOWS):
            last = add_window(connection, fields, "ANNA")
        with pytest.raises(Conflict, match="1000 windows"):
            add_window(connection, fields, "ANNA")
        assert delete_window(connection, last["id"], "ANNA")
        assert add_window(connection, fields, "ANNA")
        assert len(windows(connection, now)) == MAX_WINDOWS
    engine.dispose()


def test_old_windows_displace_none_that_still_counts(database_url):
    now = datetime.now(UTC)
    fields = dict.fromkeys(("asset_id", "sensor_id", "group", "rrule", "reason"))
    fields |= {"time_zone": "UTC", "alarms": True, "training": True}
    weekly = {"start": now - timedelta(days=3000), "rrule": "FREQ=WEEKLY"}
    engine = make_engine(database_url)
    with transaction(engine) as connection:
        for at in [now - timedelta(days=2000)] * MAX_WINDOWS + [now]:
            add_window(connection, {**fields, "start": at, "end": at + timedelta(hours=1)}, "ANNA")
        add_window(connection, {**fields, **weekly, "end": now - timedelta(days=2999)}, "ANNA")
        ever = datetime(1, 1, 2, tzinfo=UTC)
        found = windows(connection, ever)
        assert len(found) == MAX_WINDOWS
        assert (found[0]["start"], found[-1]["start"]) == (weekly["start"], now)
        assert len(windows(connection, ever, limit=None)) == MAX_WINDOWS + 2
        connection.rollback()
    engine.dispose()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"end": "2026-01-01T00:00:00Z"}, "end"),
        ({"rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"rrule": "FREQ=DAILY;INTERVAL=0"}, "rrule"),
        ({"rrule": "FREQ=DAILY;COUNT=-5"}, "rrule"),
        ({"time_zone": "Mars"}, "time_zone"),
        ({"start": "soon"}, "start"),
        ({"alarm": True}, "alarm"),
        ({"id": "x"}, "id"),
        ({"alarms": 1}, "alarms"),
        ({"reason": "\u0000"}, "reason"),
    ],
)
def test_a_wrong_window_is_refused_by_name(http, given, field):
    answer = http.post("/maintenance-windows", json={**WINDOW, **given})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


def test_off_conditions_are_replaced_as_a_whole_or_not_at_all(http):
    condition = {"group": "default", "feature": "current", "operator": "<", "value": 1.0}
    kept = http.put("/off-conditions", json={"off_conditions": [condition]}).json()
    assert kept == {"off_conditions": [{**condition, "hold_s": 0.0, "run_up_s": 0.0}]}
    bad = {"off_conditions": [{**condition, "operator": "~"}]}
    answer = http.put("/off-conditions", json=bad)
    assert answer.json()["error"]["field"] == "off_conditions[0].operator"
    assert http.put("/off-conditions", json={"off_conditions": [condition] * 2}).status_code == 422
    assert http.get("/off-conditions").json() == kept
    assert http.put("/off-conditions", json={"off_conditions": []}).json() == {"off_conditions": []}


def test_a_reset_is_asked_for_once_by_its_token(http):
    asked = [
        http.post(
            "/streams/R%2F1/reset", json={"sensor_id": "S1", "reason": "bearing", "who": "ANNA"},
            headers={"Idempotency-Key": "overhaul-R1"},
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [one.status_code for one in asked] == [202, 202]
    assert asked[0].json() == asked[1].json()
    assert (asked[0].json()["asset_id"], asked[0].json()["requested_by"]) == ("R/1", "ANNA")
    token = {"Idempotency-Key": "overhaul-R1"}
    for path, body in (
        ("/streams/R2/reset", {"sensor_id": "S1", "reason": "bearing", "who": "ANNA"}),
        ("/streams/R%2F1/reset", {"sensor_id": "S1", "reason": "shaft", "who": "ANNA"}),
        ("/streams/R%2F1/reset", {"sensor_id": "S1", "reason": "bearing", "who": "BEN"}),
    ):
        other = http.post(path, json=body, headers=token)
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_used")
        assert other.json()["error"]["field"] == "idempotency-key"
        known = "was used for the reset of asset 'R/1', sensor 'S1' by 'ANNA' at 20"
        assert known in other.json()["error"]["message"]
    assert http.post("/streams/R2/reset").status_code == 202
    assert http.post("/streams/R2/reset", json={"sensor": "S"}).json()["error"]["field"] == "sensor"
