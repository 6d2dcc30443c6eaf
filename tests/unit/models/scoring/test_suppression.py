"""Maintenance windows and machine-off conditions: pure, right over changes of the clock."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from dateutil.rrule import rrulestr

from errors import InputError
from models.scoring import suppression
from models.scoring.ensemble import Reading, StreamWork, score
from models.scoring.suppression import (
    MaintenanceWindow,
    OffCondition,
    OffState,
    Suppression,
    Suppressor,
    suppressed_rows,
)
from schemas import parse_timestamp as at
from tests.fixtures.bundle import points

BERLIN = "Europe/Berlin"


def window(start: str, end: str, rrule: str | None = None, **given) -> MaintenanceWindow:
    return MaintenanceWindow("w1", at(start), at(end), rrule, **given)


def test_a_window_takes_its_start_and_not_its_end():
    one = window("2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z")
    times = ["09:59:59", "10:00:00", "11:59:59", "12:00:00"]
    assert [one.covers(at(f"2026-01-01T{t}Z")) for t in times] == [False, True, True, False]


@pytest.mark.parametrize(
    ("night", "begins", "ends"),
    [
        ("winter", "2026-01-10T21:00:00Z", "2026-01-11T05:00:00Z"),
        ("the clock goes forward", "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"),
        ("summer", "2026-07-11T20:00:00Z", "2026-07-12T04:00:00Z"),
        ("the clock goes back", "2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"),
    ],
)
def test_a_night_from_ten_to_six_local_time_is_that_also_when_the_clock_changes(
    night, begins, ends
):
    one = window(
        "2026-01-03T22:00:00+01:00", "2026-01-04T06:00:00+01:00", "FREQ=WEEKLY;BYDAY=SA",
        time_zone=BERLIN,
    )  # fmt: skip
    second = timedelta(seconds=1)
    begin, end = at(begins), at(ends)
    assert [one.covers(t) for t in (begin - second, begin, end - second, end)] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("hour", "inside", "outside"),
    [
        # 02:30 does not exist on 29 March: from 03:00 on; twice on 25 October: from the first on
        ("missing", "2026-03-29T01:00:00Z", "2026-03-29T00:59:59Z"),
        ("twice", "2026-10-25T00:30:00Z", "2026-10-25T00:29:59Z"),
    ],
)
def test_a_start_in_the_hour_that_is_missing_or_comes_twice(hour, inside, outside):
    one = window(
        "2026-01-01T02:30:00+01:00", "2026-01-01T03:30:00+01:00", "FREQ=DAILY", time_zone=BERLIN
    )
    assert one.covers(at(inside))
    assert not one.covers(at(outside))


def test_rules_end_and_count_and_never_begin_before_their_start():
    daily = ("2026-01-05T08:00:00Z", "2026-01-05T09:00:00Z")
    counted = window(*daily, "RRULE:FREQ=DAILY;COUNT=3")
    until = window(*daily, "FREQ=DAILY;UNTIL=20260107T083000Z")
    dated = window(*daily, "FREQ=DAILY;UNTIL=20260107")
    for one in (counted, until, dated):
        days = [day for day in range(1, 15) if one.covers(at(f"2026-01-{day:02d}T08:30:00Z"))]
        assert days == [5, 6, 7]


def test_a_window_longer_than_its_step_covers_all():
    one = window("2026-01-01T00:00:00Z", "2026-01-03T12:00:00Z", "FREQ=DAILY")
    assert all(one.covers(at("2026-02-01T00:00:00Z") + timedelta(hours=h)) for h in range(48))


@pytest.mark.parametrize("more", ["", ";COUNT=3"])
def test_a_rule_that_fits_no_day_ends(more):
    never = "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30" + more
    one = window("2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z", never)
    assert not one.covers(at("2026-02-28T00:30:00Z"))


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY", "FREQ=HOURLY;INTERVAL=7;BYDAY=MO,SA", "FREQ=HOURLY;BYMINUTE=30;BYHOUR=6,7",
        "FREQ=DAILY;INTERVAL=3", "FREQ=DAILY;BYHOUR=6,18", "FREQ=DAILY;INTERVAL=5;COUNT=300",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=SU", "FREQ=WEEKLY;UNTIL=20240301T000000Z",
        "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=MONTHLY;INTERVAL=5", "FREQ=MONTHLY;BYDAY=2TU",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=YEARLY", "FREQ=YEARLY;INTERVAL=3",
        "FREQ=YEARLY;BYWEEKNO=53", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=YEARLY;BYYEARDAY=1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", ["2012-02-29T05:00:00Z", "2015-12-31T23:00:00Z"])
def test_a_rule_is_followed_from_nearby_as_from_its_start(rule, start):
    one = window(start, (at(start) + timedelta(hours=1)).isoformat(), rule)
    since, limit = at("2024-01-15T12:00:00Z"), 12
    begins = rrulestr(rule, dtstart=one.start)
    whole = takewhile(lambda begin: begin < since + timedelta(days=731), begins)
    ahead = [begin for begin in whole if begin + timedelta(hours=1) > since][:limit]
    assert [begin for begin, _ in one.upcoming(since, limit)] == ahead
    assert all(one.covers(begin) for begin in ahead)


@pytest.mark.parametrize("year", [1970, 2026, 2999])
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY", "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=HOURLY;COUNT=10000",
        "FREQ=YEARLY;BYWEEKNO=53;BYDAY=+9MO", "FREQ=DAILY;INTERVAL=7;BYDAY=MO,TU,WE",
        "FREQ=YEARLY;INTERVAL=10000", "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2",
    ],
)  # fmt: skip
def test_no_rule_is_followed_for_long_nor_out_of_the_calendar(rule, year):
    began = time.process_time()
    one = window(f"{year}-12-31T22:00:00Z", f"{year}-12-31T22:30:00Z", rule,
                 time_zone="Pacific/Kiritimati")  # fmt: skip
    for moment in ("0001-01-01T00:00:00Z", "2026-11-26T22:10:00Z", "9999-12-31T23:59:59Z"):
        one.covers(at(moment))
    assert len(one.upcoming(at("2026-11-26T22:10:00Z"), 10)) <= 10
    assert time.process_time() - began < 3  # hours before


def test_the_next_spans_begin_with_what_is_in_force_and_keep_local_time():
    night = window("2026-03-27T21:00+00:00", "2026-03-28T05:00+00:00", "FREQ=DAILY",
                   time_zone="Europe/Berlin")  # fmt: skip
    spans = night.upcoming(datetime(2026, 3, 28, 4, tzinfo=UTC), 3)
    assert [(a.isoformat()[:16], b.isoformat()[:16]) for a, b in spans] == [
        ("2026-03-27T21:00", "2026-03-28T05:00"),
        ("2026-03-28T21:00", "2026-03-29T04:00"),  # the clock is put forward
        ("2026-03-29T20:00", "2026-03-30T04:00"),
    ]
    once = window("2026-03-28T22:00+00:00", "2026-03-29T06:00+00:00")
    assert once.upcoming(once.start, 5) == [(once.start, once.end)]
    assert once.upcoming(once.end, 5) == []
    counted = window("2026-03-01T00:00+00:00", "2026-03-01T01:00+00:00", "FREQ=DAILY;COUNT=3")
    assert len(counted.upcoming(datetime(2026, 3, 2, 12, tzinfo=UTC), 5)) == 1
    never = window("2026-01-01T00:00+00:00", "2026-01-01T01:00+00:00",
                   "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")  # fmt: skip
    assert never.upcoming(never.start, 5) == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"rrule": "FREQ=DAILY;INTERVAL=0"}, "rrule"),
        ({"rrule": "FREQ=DAILY;INTERVAL=-1"}, "rrule"),
        ({"rrule": "FREQ=DAILY;INTERVAL=99999999999999999999"}, "rrule"),
        ({"rrule": "FREQ=DAILY;COUNT=0"}, "rrule"),
        ({"rrule": "FREQ=DAILY;COUNT=-5"}, "rrule"),
        ({"rrule": "FREQ=HOURLY;COUNT=999999999"}, "rrule"),
        ({"rrule": "FREQ=HOURLY;BYMINUTE=0,30"}, "rrule"),
        ({"rrule": "FREQ=DAILY;BYSECOND=0,1,2"}, "rrule"),
        ({"rrule": "FREQ=DAILY;BYEASTER=999999999999"}, "rrule"),
        (
            {
                "start": at("0001-01-01T00:00:00Z"),
                "end": at("0001-01-01T01:00:00Z"),
                "rrule": "FREQ=DAILY",
                "time_zone": "America/New_York",
            },
            "start",
        ),
        (
            {
                "start": at("9999-12-31T00:00:00Z"),
                "end": at("9999-12-31T23:00:00Z"),
                "rrule": "FREQ=DAILY",
            },
            "start",
        ),
        ({"rrule": "every Sunday"}, "rrule"),
        ({"rrule": "FREQ=DAILY\nEXDATE:20260101T000000"}, "rrule"),
        ({"rrule": ""}, "rrule"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=XX"}, "rrule"),
        ({"rrule": "FREQ=DAILY;UNTIL=20269999"}, "rrule"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"end": at("2026-01-01T09:00:00Z")}, "end"),
        ({"end": at("2028-01-01T09:00:00Z"), "rrule": "FREQ=DAILY"}, "end"),
        ({"start": datetime(2026, 1, 1)}, "start"),
    ],
)
def test_what_is_wrong_is_named(given, field):
    usual = {"id": "w", "start": at("2026-01-01T10:00:00Z"), "end": at("2026-01-01T12:00:00Z")}
    with pytest.raises(InputError) as caught:
        MaintenanceWindow(**{**usual, **given})
    assert caught.value.field == field


def test_patterns_say_whom_it_concerns():
    one = window(
        "2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z", asset_id="PUMP_*", group="vibration"
    )
    assert one.concerns("PUMP_1", None, "vibration")
    assert not one.concerns("MOTOR_1", None, "vibration")
    assert not one.concerns("PUMP_1", None, "current")


def letters(
    conditions: list[OffCondition], speeds: list[float | None], step_s: float = 60.0
) -> str:
    """One letter per reading: O off, r run-up, . running."""
    suppressor = Suppressor((), conditions, ("A", None), "default")
    state, out = OffState(), ""
    for i, speed in enumerate(speeds):
        features = {"other": 1.0} if speed is None else {"speed": speed}
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=i * step_s)
        found = suppressor.take(state, now, features)
        state = OffState.from_list(json.loads(json.dumps(state.to_list())))
        out += "." if found is None else "r" if "run_up" in found else "O"
    return out


def test_off_holds_before_it_counts_and_runs_up_after():
    condition = OffCondition("speed", "<", 10.0, hold_s=120, run_up_s=180)
    assert letters([condition], [50, 5, 5, 5, 5, 50, 50, 50, 50]) == "...OOrr.."
    assert letters([condition], [50, 5, 5, 50, 5, 5, 50]) == "......."  # never held for so long


def test_off_without_hold_is_off_at_once_and_a_reading_that_does_not_tell_changes_nothing():
    assert letters([OffCondition("speed", "<=", 0.0)], [5, 0, None, 0, 5, None]) == ".OOO.."
    two = [OffCondition("speed", "==", 0.0), OffCondition("speed", ">", 100.0, run_up_s=60.0)]
    assert letters(two, [0, 5, 101, 5, 5]) == "O.O.."


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"operator": "~"}, "operator"),
        ({"value": float("inf")}, "value"),
        ({"hold_s": -1.0}, "hold_s"),
        ({"run_up_s": float("nan")}, "run_up_s"),
    ],
)
def test_a_wrong_condition_is_named(given, field):
    with pytest.raises(InputError) as caught:
        OffCondition(**{"feature": "speed", "operator": "<", "value": 1.0, **given})
    assert caught.value.field == field


def test_training_asks_the_same_function():
    one = window("2026-01-01T00:02:00Z", "2026-01-01T00:04:00Z")
    suppressor = Suppressor([one], [OffCondition("speed", "<", 1.0)], ("A", "S"), "g")
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=i) for i in range(6)]
    rows = [{"speed": 5.0}] * 5 + [{"speed": 0.0}]
    assert suppressed_rows(suppressor, times, rows) == [False, False, True, True, False, True]


def test_a_row_that_cannot_be_used_costs_no_other_and_is_logged_once(caplog):
    usual = {
        "start": at("2026-01-01T00:02:00Z"), "end": at("2026-01-01T00:04:00Z"),
        "rrule": None, "time_zone": "UTC", "asset_id": "A", "sensor_id": None,
        "group": None, "reason": None, "alarms": True, "training": True,
    }  # fmt: skip
    bad = {**usual, "rrule": "FREQ=NEVER"}
    rows = [{**bad, "id": 1}, {**usual, "id": 2, "time_zone": "Mars"}, {**usual, "id": 3},
            {**bad, "id": 4, "alarms": False}]  # fmt: skip
    off = {"feature": "speed", "operator": "<", "value": 1.0, "hold_s": 0.0, "run_up_s": 0.0,
           "group": "g"}  # fmt: skip
    suppression._log_once.cache_clear()
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            found = Suppression.from_rows(rows, [{**off, "operator": "~"}, off], "alarms")
    assert [one.id for one in found.windows] == ["3"]
    assert [one.name for one in found.conditions] == ["speed < 1"]
    assert [record.message for record in caplog.records] == list(found.refused)
    for warning, what in zip(
        found.refused, ("window 1.*rrule", "window 2.*Mars", "speed.*~"), strict=True
    ):
        assert re.search(what, warning)


# -- in the pure function that scores ----------------------------------------------------------


def scored(model_set, readings, size, **given):
    """Results, cut in batches of ``size``, state and window carried as the bridge does."""
    state: dict | None = None
    kept: list[Reading] = []
    results: list[dict] = []
    for start in range(0, len(readings), size):
        part = readings[start : start + size]
        work = StreamWork("PUMP_001", "S1", None, "medium", state, kept, part, **given)
        (outcome,) = score(model_set, [work])
        for reading, result in zip(part, outcome.results, strict=True):
            mark = result["metadata"]["window"]
            kept = [] if mark == "restarted" else kept
            kept = kept if mark == "left_out" else [*kept, reading]
        kept = kept[-outcome.window_length :]
        state = json.loads(json.dumps(outcome.state))
        results += outcome.results
    return results


def during(readings, first: int, last: int) -> MaintenanceWindow:
    begin, end = readings[first].timestamp, readings[last].timestamp
    return MaintenanceWindow("w1", begin, end, reason="oil")


def opened(results) -> list[int]:
    """Places of the readings at which an incident opens."""
    incidents = [r["metadata"].get("event", {}).get("incident", {}) for r in results]
    return [i for i, one in enumerate(incidents) if "why" in one]


def test_maintenance_is_scored_marked_and_opens_nothing_and_the_cut_changes_nothing(
    model_set, plant
):
    readings = points(plant, 0, 300)
    fault = plant.faults[0]
    first, last = fault.start - 300 - 5, fault.end - 300 + 5
    results = scored(model_set, readings, 1000, maintenance=[during(readings, first, last)])
    marked = [i for i, r in enumerate(results) if "suppressed" in r["metadata"]]
    assert marked == list(range(first, last))
    assert results[first]["metadata"]["suppressed"] == {
        "by": "maintenance", "window": "w1", "reason": "oil",
    }  # fmt: skip
    assert any(r["is_anomaly"] for r in results[first:last]), "scored as ever"
    assert {r["metadata"]["window"] for r in results[first:last]} == {"left_out"}
    assert results[last]["metadata"]["window"] == "restarted"
    assert opened(results) == []
    again = scored(model_set, readings, 23, maintenance=[during(readings, first, last)])
    for one, other in zip(results, again, strict=True):
        assert one["metadata"].get("event") == other["metadata"].get("event")
        assert one["metadata"].get("suppressed") == other["metadata"].get("suppressed")
        assert one["final_score"] == pytest.approx(other["final_score"], abs=1e-6)


def test_a_fault_still_there_at_the_end_opens_one_incident(model_set, plant):
    readings = points(plant, 0, 300)
    fault = plant.faults[0]
    first, last = fault.start - 300 - 5, (fault.start + fault.end) // 2 - 300
    results = scored(model_set, readings, 40, maintenance=[during(readings, first, last)])
    (place,) = opened(results)
    assert last <= place < fault.end - 300


def test_an_incident_open_before_goes_on_and_no_second_one_opens(model_set, plant):
    readings = points(plant, 0, 300)
    fault = plant.faults[0]
    usual = opened(scored(model_set, readings, 1000))
    assert len(usual) == 1
    first = usual[0] + 5
    results = scored(model_set, readings, 40, maintenance=[during(readings, first, first + 10)])
    assert opened(results) == usual
    incident = results[first + 5]["metadata"]["event"]["incident"]
    assert incident["opens"] is True
    assert first + 10 < fault.end - 300


def test_a_machine_that_was_off_settles_instead_of_alarming(model_set, plant):
    readings = points(plant, 0, 0, 600)
    off = [
        Reading(r.timestamp, dict.fromkeys(r.features, 0.0)) if 300 <= i < 400 else r
        for i, r in enumerate(readings)
    ]
    condition = OffCondition("current", "<", 1.0)
    plain = scored(model_set, off, 50)
    results = scored(model_set, off, 50, off_conditions=[condition])
    assert any(r["is_anomaly"] for r in plain[400:440]) or opened(plain)
    assert opened(results) == []
    assert all("suppressed" in r["metadata"] for r in results[300:400])
    assert not any(r["is_anomaly"] for r in results[400:440])


def test_a_group_pattern_asks_the_bundles_group(model_set, readings):
    part = readings[:20]
    for group, marked in (("default", True), ("other", False)):
        one = MaintenanceWindow(
            "w", part[0].timestamp, part[0].timestamp + timedelta(days=1), group=group
        )
        results = scored(model_set, part, 20, maintenance=[one])
        assert ("suppressed" in results[-1]["metadata"]) is marked
