"""What readings do to an incident, without a server."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.encoding import JsonObject
from db.incident_activity import Activity
from db.incident_lifecycle import SYSTEM, Incident
from errors import InputError

START = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = str(uuid.UUID(int=1))


def activity(
    second: float,
    severity: str = "medium",
    *,
    state: str = "ongoing",
    anomalous: bool = True,
    p: float | None = 1e-3,
    event: str = EVENT,
    **metadata: Any,
) -> Activity:
    at = (START + timedelta(seconds=second)).isoformat()
    row = {
        "id": uuid.uuid4(), "timestamp": at, "asset_id": "A", "sensor_id": "S", "feature": None,
        "group_name": "g", "bundle_version": "1", "asset_criticality": "high",
        "is_anomaly": anomalous, "criticality": severity, "final_score": 0.5, "p": p,
        "metadata": {
            "event": {"id": event, "kind": "anomaly", "started_at": at, "state": state}, **metadata
        },
    }  # fmt: skip
    found = Activity.of(row)
    assert found is not None
    return found


def opened(severity: str = "medium") -> Incident:
    first = activity(0, severity, state="opened")
    incident = Incident.opened(first)
    incident.take(first, ends=True)
    return incident


def now(incident: Incident, name: str) -> Any:
    """A column as it is by now; mypy takes it for what it was."""
    return incident.row()[name]


def whats(incident: Incident) -> list[str]:
    return [entry.what for entry in incident.log]


def test_a_rise_of_severity_takes_back_what_people_decided() -> None:
    incident = opened()
    incident.change("acknowledged", "ANNA", acknowledged_at=START, acknowledged_by="ANNA")
    incident.change(
        "closed", "ANNA", closed_at=START, closed_by="ANNA", verdict="false_alarm",
        fault_code="F1", note="a draught",
    )  # fmt: skip
    assert incident.take(activity(1, "medium"), ends=True) is False
    assert incident.closed_at == START
    assert incident.take(activity(2, "critical"), ends=True) is True
    assert now(incident, "acknowledged_at") is now(incident, "closed_at") is None
    for name in ("closed_by", "verdict", "fault_code", "note"):
        assert now(incident, name) is None
    entry = incident.log[-1]
    assert entry.before["verdict"] == "false_alarm"
    assert (entry.what, entry.who, entry.before["acknowledged_by"]) == ("escalated", SYSTEM, "ANNA")
    assert incident.take(activity(3, "high"), ends=True) is False


def test_readings_raise_no_version_until_the_state_changes() -> None:
    incident = opened()
    for second in range(1, 50):
        incident.take(activity(second), ends=True)
    assert (incident.version, incident.readings) == (1, 50)
    incident.take(activity(50, anomalous=False, state="cleared"), ends=True)
    assert incident.version == 2
    assert incident.cleared_at == START + timedelta(seconds=50)
    assert incident.last_activity_at == START + timedelta(seconds=49)
    assert whats(incident) == ["opened", "cleared"]


def test_it_has_the_group_and_the_criticality_of_its_newest_reading() -> None:
    incident = opened()
    first = activity(60)
    moved = {"group_name": "h", "bundle_version": "2", "asset_criticality": "critical"}
    later = replace(first, row={**first.row, **moved})
    incident.take(later, ends=False)  # over REST
    assert (incident.group_name, incident.bundle_version) == ("h", "2")
    assert incident.asset_criticality == "high"
    incident.take(later, ends=True)
    assert (incident.asset_criticality, incident.version) == ("critical", 1)


@pytest.mark.parametrize(
    ("gap_s", "interval", "after", "joins"),
    [(0, 1, 599, True), (0, 1, 601, False), (0, 60, 1199, True), (0, 60, 1201, False),
     (30, 60, 29, True), (30, 60, 31, False)],
)  # fmt: skip
def test_a_new_event_joins_within_the_gap(
    gap_s: float, interval: float, after: float, joins: bool
) -> None:
    incident = opened()
    for number in range(1, 10):
        incident.take(activity(number * interval), ends=True)
    end = 10 * interval
    incident.take(activity(end, anomalous=False, state="cleared"), ends=True)
    new = activity(end + after, event=str(uuid.UUID(int=2)), state="opened")
    assert incident.joinable(new, gap_s) is joins
    if joins:
        incident.join(new, gap_s)
        assert incident.cleared_at is None
        assert whats(incident) == ["opened", "cleared", "joined"]
        incident.change("closed", "ANNA", closed_at=START)
        assert not incident.joinable(new, gap_s)


def test_the_peak_is_the_reading_with_the_smallest_p() -> None:
    explanation = {
        "features": [
            {"feature": "rms", "share": 0.7, "value": 9.0, "expected": 1.0},
            {"feature": "heat", "share": 0.3, "value": 5.0, "expected": 5.1, "repeated": 9},
        ],
        "votes": {"isolation_forest": True},
    }
    incident = opened()
    incident.take(activity(1, p=1e-30, explanation=explanation), ends=True)
    assert "seasons" not in incident.peak
    incident.take(activity(2, p=1e-20), ends=True)
    assert incident.peak["log10_p"] == pytest.approx(-30)
    assert incident.peak["timestamp"] == "2026-01-01T00:00:01+00:00"
    assert incident.peak["features"] == [
        {"feature": "rms", "share": 0.7, "actual": 9.0, "expected": 1.0},
        {"feature": "heat", "share": 0.3, "actual": 5.0, "expected": 5.1, "repeated": 9},
    ]
    assert incident.peak["votes"] == {"isolation_forest": True}


def test_the_peak_names_the_seasons_of_its_explanation() -> None:
    incident = opened()
    explanation = {"features": [], "votes": {}, "seasons": ["day"]}
    incident.take(activity(1, p=1e-30, explanation=explanation), ends=True)
    assert incident.peak["seasons"] == ["day"]


def test_an_explanation_is_parsed_only_where_it_is_the_peaks() -> None:
    class Counted(JsonObject):
        parsed = 0

        def value(self) -> Any:
            Counted.parsed += 1
            return super().value()

    explanation = Counted(b'{"features": [], "votes": {"isolation_forest": true}}')
    incident = opened()
    for second, p in enumerate((1e-9, 1e-8, 1e-9, 1e-7, 1e-5)):
        incident.take(activity(second, p=p, explanation=explanation), ends=True)
    assert incident.peak["votes"] == {"isolation_forest": True}
    assert Counted.parsed == 1


def test_an_incident_that_a_late_reading_opens_starts_with_it() -> None:
    late = replace(activity(0, late=True), started_at=START + timedelta(seconds=60))
    incident = Incident.opened(late)
    assert incident.started_at == incident.opened_at == START


def test_what_rest_only_asked_about_ends_nothing() -> None:
    incident = opened()
    incident.take(activity(1, state="cleared", suppressed="window"), ends=False)
    assert incident.cleared_at is None
    assert incident.suppressed_by is None


def test_suppression_begins_and_ends_with_the_readings() -> None:
    incident = opened()
    incident.take(activity(1, suppressed={"by": "maintenance", "window": "w1"}), ends=True)
    assert now(incident, "suppressed_by") == "maintenance w1"
    incident.take(activity(2, suppressed={"by": "maintenance", "window": "w1"}), ends=True)
    incident.take(activity(3), ends=True)
    assert now(incident, "suppressed_by") is None
    assert whats(incident) == ["opened", "suppressed", "unsuppressed"]


def test_a_late_reading_neither_begins_nor_ends_suppression() -> None:
    incident = opened()
    incident.take(activity(1, suppressed={"by": "maintenance"}, late=True), ends=True)
    incident.take(activity(60, suppressed={"by": "off"}), ends=True)
    incident.take(activity(2, late=True), ends=True)
    assert now(incident, "suppressed_by") == "off"
    assert whats(incident) == ["opened", "suppressed"]
    assert len(incident.recent) == 2


def test_an_event_that_goes_on_after_silence_resumes_its_incident() -> None:
    incident = opened()
    incident.end_event(uuid.UUID(EVENT), START + timedelta(hours=2), "silence")
    incident.take(activity(9000, anomalous=False), ends=True)
    assert now(incident, "cleared_at") is not None
    incident.take(activity(9001), ends=True)
    assert now(incident, "cleared_at") is None
    assert whats(incident) == ["opened", "cleared", "resumed"]
    incident.take(activity(9002, anomalous=False, state="cleared"), ends=True)
    assert whats(incident)[-1] == "cleared"


def closed_after_silence(who: str) -> Incident:
    """A minute apart, then silence; somebody acknowledged it, and ``who`` closed it."""
    incident = opened("critical")
    for second in (60, 120, 180):
        incident.take(activity(second, "critical"), ends=True)
    incident.change("acknowledged", "ANNA", acknowledged_at=START, acknowledged_by="ANNA")
    incident.end_event(uuid.UUID(EVENT), START + timedelta(seconds=7380), "silence")
    incident.change("closed", who, closed_at=START, closed_by=who, verdict="confirmed")
    return incident


@pytest.mark.parametrize("who", [SYSTEM, "ANNA"])
def test_a_closed_incident_reopens_if_its_event_comes_back_after_a_silence(who: str) -> None:
    incident = closed_after_silence(who)
    assert not incident.take(activity(90_000, anomalous=False), ends=True)
    assert now(incident, "closed_at") is not None
    assert incident.take(activity(90_060, "critical"), ends=True)
    assert [incident.row()[name] for name in (
        "closed_at", "closed_by", "verdict", "acknowledged_at", "cleared_at"
    )] == [None] * 5  # fmt: skip
    assert (whats(incident)[-1], incident.reopened_by) == ("resumed", "resumed")


def test_a_closed_incident_that_comes_back_worse_is_reopened_by_that() -> None:
    """Its verdict was given on a milder incident, so it is withdrawn; a log of both says why."""
    incident = opened("medium")
    incident.take(activity(60, suppressed={"by": "off"}), ends=True)
    incident.change("closed", "ANNA", closed_at=START, closed_by="ANNA", verdict="false_alarm")
    assert incident.take(activity(3600, "critical"), ends=True)
    assert (incident.reopened_by, incident.lost_verdict) == ("escalated", True)
    names = ("closed_at", "verdict", "suppressed_by", "acknowledged_at")
    assert [now(incident, name) for name in names] == [None] * 4
    assert whats(incident)[-2:] == ["resumed", "escalated"]
    assert not any(entry.why for entry in incident.log[-2:])


def test_a_closed_incident_stays_closed_while_its_event_goes_on() -> None:
    """A bridge that was down makes a silence on the clock of the wall, not in the readings."""
    incident = closed_after_silence("ANNA")
    assert not incident.take(activity(240, "critical"), ends=True)
    assert now(incident, "closed_by") == "ANNA"


def test_a_closed_incident_reopens_if_its_fault_is_still_there_after_maintenance() -> None:
    """Somebody repaired it, closed the incident, and the maintenance window ended."""
    incident, window = opened("critical"), {"by": "maintenance", "window": "w1"}
    incident.take(activity(60, "critical", suppressed=window), ends=True)
    incident.change("closed", "ANNA", closed_at=START, closed_by="ANNA", verdict="confirmed")
    assert not incident.take(activity(120, "critical", suppressed=window), ends=True)
    assert not incident.take(activity(180, anomalous=False), ends=True)  # not yet
    assert incident.closed_by == "ANNA"
    assert incident.take(activity(240, "critical"), ends=True)
    assert [now(incident, name) for name in ("closed_by", "verdict", "suppressed_by")] == [None] * 3
    assert whats(incident) == ["opened", "suppressed", "closed", "resumed"]
    assert incident.reopened_by == "resumed"


def test_a_closed_incident_whose_fault_is_gone_after_maintenance_stays_closed() -> None:
    incident = opened()
    incident.take(activity(60, suppressed={"by": "maintenance"}), ends=True)
    incident.change("closed", "ANNA", closed_at=START, closed_by="ANNA")
    incident.take(activity(120, anomalous=False), ends=True)
    incident.take(activity(180, anomalous=False, state="cleared"), ends=True)
    assert (incident.closed_by, incident.suppressed_by) == ("ANNA", None)
    assert whats(incident) == ["opened", "suppressed", "closed", "cleared"]


def lasting(second: float) -> Activity:
    return replace(activity(second, anomalous=False), persistent=True)


@pytest.mark.parametrize(("who", "reopens"), [(SYSTEM, True), ("ANNA", False)])
def test_a_lasting_event_is_over_for_good_only_if_a_person_closed_it(
    who: str, reopens: bool
) -> None:
    incident = opened()
    incident.take(lasting(60), ends=True)
    incident.end_event(uuid.UUID(EVENT), START + timedelta(hours=2), "silence")
    incident.change("closed", who, closed_at=START, closed_by=who)
    assert incident.take(lasting(900_000), ends=True) == reopens
    assert (incident.closed_at is None) == (incident.cleared_at is None) == reopens


def test_an_event_that_another_bundle_no_longer_knows_as_persistent_alarms_again() -> None:
    incident = opened()
    incident.take(lasting(60), ends=True)
    incident.take(replace(activity(90), late=True), ends=True)
    incident.take(activity(100), ends=False)  # readings of REST
    assert whats(incident) == ["opened", "persistent"]
    incident.take(activity(120), ends=True)
    incident.take(activity(180), ends=True)
    assert not incident.persistent
    incident.take(lasting(240), ends=True)
    assert whats(incident) == ["opened", "persistent", "no longer persistent", "persistent"]


def test_a_lasting_event_closed_just_before_another_bundle_is_open_again_if_it_alarms() -> None:
    """The level was never accepted as normal, and the other bundle does not know it."""
    incident = opened()
    incident.take(lasting(60), ends=True)
    incident.change("closed", "ANNA", closed_at=START, closed_by="ANNA", verdict="expected")
    assert not incident.take(lasting(120), ends=True)
    assert not incident.take(activity(180, anomalous=False), ends=True)
    assert not incident.take(activity(240, suppressed={"by": "off"}), ends=True)
    assert (incident.closed_by, incident.persistent) == ("ANNA", True)
    assert incident.take(activity(300), ends=True)
    assert (now(incident, "closed_at"), now(incident, "persistent")) == (None, False)
    assert whats(incident)[-2:] == ["resumed", "no longer persistent"]
    assert not incident.take(activity(360), ends=True)


def test_an_event_that_a_reset_ends_at_a_late_reading_ends_after_its_last_anomaly() -> None:
    incident = opened()
    incident.take(activity(600), ends=True)
    late = activity(300, anomalous=False, state="cleared", late=True)
    incident.take(late, ends=True)
    assert incident.cleared_at == START + timedelta(seconds=600)


def test_a_persistent_event_that_a_reset_ends_at_a_late_reading_ends_after_its_last_anomaly() -> (
    None
):
    incident = opened()
    incident.take(activity(600), ends=True)
    another = activity(300, event=str(uuid.uuid4()), late=True)
    incident.goes_on_beneath(
        uuid.UUID(EVENT), replace(another, beneath={uuid.UUID(EVENT): "cleared"})
    )
    assert incident.cleared_at == START + timedelta(seconds=600)


def test_an_event_that_cannot_be_read_is_that_rows_fault() -> None:
    with pytest.raises(InputError, match="event") as caught:
        activity(0, event="not-a-uuid")
    assert caught.value.code == "unprocessable"


def test_an_opening_that_feedback_delayed_stays_marked() -> None:
    raised = activity(0, state="opened")
    raised = replace(raised, affected_by_feedback=True)
    incident = Incident.opened(raised)
    incident.take(raised, ends=True)
    incident.take(activity(1, p=1e-9), ends=True)
    assert (incident.peak["log10_p"], incident.peak["affected_by_feedback"]) == (-9, True)
    assert "affected_by_feedback" not in opened().peak


def test_the_mark_is_read_out_of_the_readings_event() -> None:
    one = activity(0)
    event = {**one.row["metadata"]["event"], "incident": {"opens": True, "why": "at_once",
             "affected_by_feedback": True}}  # fmt: skip
    marked = Activity.of({**one.row, "metadata": {"event": event}})
    assert marked is not None
    assert marked.affected_by_feedback
