"""Maintenance windows recur by rules of local time, right over changes of the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from dateutil.rrule import rrulestr

from errors import InputError
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from schemas import parse_timestamp as at

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


def test_a_window_planned_while_the_clock_is_put_back_lasts_as_long_every_night():
    half = window(  # 02:45 to 02:15, when the hour comes again
        "2026-10-25T00:45:00Z", "2026-10-25T01:15:00Z", "FREQ=DAILY", time_zone=BERLIN
    )
    spans = half.upcoming(half.start, 2)
    assert spans[1] == (at("2026-10-26T01:45:00Z"), at("2026-10-26T02:15:00Z"))
    assert half.covers(at("2026-10-25T01:14:59Z"))
    assert half.covers(at("2026-10-27T02:00:00Z"))


def test_a_window_that_starts_in_the_second_of_two_hours_is_not_said_to_start_in_the_first():
    one = window("2026-10-25T01:10:00Z", "2026-10-25T03:10:00Z", "FREQ=WEEKLY", time_zone=BERLIN)
    assert one.upcoming(at("2026-10-25T00:00:00Z"), 2) == [
        (one.start, one.end), (at("2026-11-01T01:10:00Z"), at("2026-11-01T03:10:00Z")),
    ]  # fmt: skip


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


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=HOURLY;BYSETPOS=5",
        "FREQ=HOURLY;BYHOUR=1,2;BYSETPOS=2", "FREQ=HOURLY;BYWEEKNO=53;BYMONTH=6",
        "FREQ=DAILY;BYSETPOS=-2", "FREQ=DAILY;BYMONTHDAY=31;BYMONTH=4;BYDAY=2MO",
        "FREQ=WEEKLY;BYYEARDAY=366;BYMONTH=3",
    ],
)  # fmt: skip
def test_a_rule_without_any_day_is_found_out_at_once(rule):
    began = time.process_time()
    one = window("2026-12-31T22:00:00Z", "2026-12-31T22:30:00Z", rule)
    assert one.upcoming(one.start, 10) == []
    assert time.process_time() - began < 0.25  # half a second to twelve, in which nobody was served


@pytest.mark.parametrize(
    ("rule", "day"),
    [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", "2032-02-29"),
        ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=29;BYSETPOS=5,-1", "2028-02-29"),
        ("FREQ=DAILY;BYHOUR=20,22;BYSETPOS=2;BYDAY=1MO", "2026-11-30"),
        ("FREQ=WEEKLY;BYWEEKNO=53;BYMONTH=1", "2027-01-01"),
    ],
)
def test_rare_days_of_a_rule_are_found_whatever_year_it_begins(rule, day):
    for year in (1996, 1999, 2000, 2026):
        one = window(f"{year}-01-01T22:00:00Z", f"{year}-01-01T22:30:00Z", rule)
        assert one.covers(at(f"{day}T22:10:00Z")), year


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
