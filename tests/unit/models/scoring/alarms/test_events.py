"""An event: opened once, ended by silence or by many normal readings, exact when read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.scoring.alarms.events import ANOMALY, MIN_QUIET, QUIET, SENSOR_FAULT, Event, advance

START = datetime(2026, 1, 1, tzinfo=UTC)
SILENCE_S = 600.0
STREAM = ("PUMP", "S1", None)


def run(marks: str, step_s: float = 60.0, stream=STREAM) -> tuple[Any, list[Any]]:
    """Apply readings ``step_s`` apart: ``A`` anomalous, ``F`` a sensor fault, ``.`` normal."""
    event: Event | None = None
    entries: list[Any] = []
    for number, mark in enumerate(marks):
        event, entry = advance(
            event, anomalous=mark != ".", kind=SENSOR_FAULT if mark == "F" else ANOMALY,
            magnitude=float(number), at=START + timedelta(seconds=number * step_s),
            silence_s=SILENCE_S, stream=stream,
        )  # fmt: skip
        entries.append(entry)
    return event, entries


def states(marks: str, step_s: float = 60.0) -> list[str | None]:
    return [entry and entry["state"] for entry in run(marks, step_s)[1]]


def test_normal_readings_alone_are_no_event():
    assert run("...") == (None, [None, None, None])


def test_readings_of_one_alarm_share_one_identity_and_its_peak():
    event, entries = run(".A.A")
    assert [entry["state"] for entry in entries[1:]] == ["opened", "ongoing", "ongoing"]
    assert len({entry["id"] for entry in entries[1:]}) == 1
    assert (event.peak, event.started_at) == (3.0, "2026-01-01T00:01:00+00:00")


def test_the_same_alarm_has_the_same_id_everywhere_and_another_stream_another():
    same, again, other = (run("A", stream=s)[0].id for s in (STREAM, STREAM, ("PUMP", "S2", None)))
    assert same == again != other


@pytest.mark.parametrize(
    ("step_s", "quiet"),
    [(60.0, 11), (3600.0, MIN_QUIET), (1.0, QUIET)],
    ids=["after the silence", "never before so many readings", "after so many readings"],
)
def test_an_event_ends_by_silence_or_by_normal_readings(step_s, quiet):
    found = states("A" + "." * (quiet + 1), step_s)
    assert found == ["opened", *["ongoing"] * (quiet - 1), "cleared", None]


def test_an_anomaly_between_begins_the_silence_again():
    assert states("A" + "." * 8 + "A" + "." * 8)[-1] == "ongoing"


def test_a_slow_stream_alarms_on_after_a_few_normal_readings():
    assert states("A..A", 3600.0) == ["opened", "ongoing", "ongoing", "ongoing"]


def test_a_sensor_fault_is_another_event():
    event, entries = run("AAF")
    assert [entry["state"] for entry in entries] == ["opened", "ongoing", "opened"]
    assert entries[2]["id"] != entries[1]["id"]
    assert event.kind == SENSOR_FAULT


def test_a_late_reading_sets_nothing_back():
    before, _ = run("AA")
    newest = before.last
    event: Any
    event, entry = advance(
        before, anomalous=True, kind=ANOMALY, magnitude=0.0, at=START, silence_s=SILENCE_S,
        stream=STREAM,
    )  # fmt: skip
    assert entry is not None
    assert (event.last, event.peak, entry["state"]) == (newest, 1.0, "ongoing")


def test_what_is_stored_is_read_back_exactly():
    event, _ = run("A..")
    assert Event.from_list(json.loads(json.dumps(event.to_list()))) == event
    assert Event.from_list(event.to_list()[:-1]).quiet == 0  # of a release that did not store it


@pytest.mark.parametrize(
    ("at", "wrong"), [(0, 7), (2, "yesterday"), (3, True), (4, float("nan")), (3, float("inf"))]
)
def test_what_is_no_event_is_refused(at, wrong):
    stored = run("A")[0].to_list()
    stored[at] = wrong
    with pytest.raises(ValueError, match=r"event|Invalid isoformat"):
        Event.from_list(stored)
