"""Alarms are suppressed in maintenance windows and while the machine is off."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta

import pytest

from errors import InputError
from models.scoring.ensemble import score
from models.scoring.maintenance import suppression
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.maintenance.suppression import (
    OffCondition,
    OffState,
    Suppression,
    Suppressor,
    suppressed_rows,
)
from models.scoring.stream_work import Reading, StreamWork
from schemas import parse_timestamp as at
from tests.fixtures.bundle import points


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


def test_the_longer_run_up_counts_whatever_the_order_of_two_groups_conditions():
    """As those of the groups ``*`` and ``mot*``, which both fit a motor."""
    two = [OffCondition("speed", "<", 10.0, run_up_s=180), OffCondition("speed", "<", 10.0)]
    for conditions in (two, two[::-1]):
        assert letters(conditions, [5, 50, 50, 50, 50]) == "Orr.."


def test_conditions_that_differ_in_the_seventh_digit_are_two():
    two = [
        OffCondition("speed", ">", 1_000_000.0, hold_s=60),
        OffCondition("speed", ">", 1_000_001.0),
    ]
    assert letters(two, [1_000_000.5] * 3) == ".OO"


def test_a_run_up_does_not_reach_back_to_late_readings_nor_ahead_of_a_clock_set_back():
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    suppressor = Suppressor(
        (), [OffCondition("speed", "<", 10.0, run_up_s=600)], ("A", None), "default"
    )

    def suppressed(minutes: float, speed: float, late: bool = False) -> bool:
        at = noon + timedelta(minutes=minutes)
        return suppressor.take(state, at, {"speed": speed}, late) is not None

    state = OffState()
    assert suppressed(0, 5)
    assert not suppressed(-60, 50, late=True)  # it ran an hour before
    assert suppressed(-1, 5, late=True)
    assert suppressed(9, 50)
    state = OffState()
    assert suppressed(60, 5)  # its clock runs ahead, and is set back
    assert not suppressed(0, 50)
    state = OffState()
    assert suppressed(60, 5)
    assert suppressed(0, 5)
    assert suppressed(9, 50)
    assert not suppressed(10, 50)


def test_what_holds_since_a_clock_ran_ahead_counts_from_where_it_is_set_back():
    suppressor = Suppressor((), [OffCondition("speed", "<", 10.0, hold_s=120)], ("A", None), "g")
    state, noon = OffState(), datetime(2026, 1, 1, 12, tzinfo=UTC)
    off = [
        suppressor.take(state, noon + timedelta(minutes=m), {"speed": 5.0}) is not None
        for m in (60, 0, 1, 2)
    ]
    assert off == [False, False, False, True]


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
    one = MaintenanceWindow("w1", at("2026-01-01T00:02:00Z"), at("2026-01-01T00:04:00Z"))
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
