"""The demo's comparison of what was found with what a file is labelled with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console

from datasets import Reading
from deploy.truth import Alarm, Fault, compare, faults_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def reading(asset: str, minute: int, label: int | None) -> Reading:
    return Reading(asset, "S1", at(minute), {"rms": 1.0}, label)


def test_faults_are_runs_of_labelled_readings_of_one_stream() -> None:
    labels = [0, 1, 1, 0, 1]
    rows = [reading(asset, m, label) for m, label in enumerate(labels) for asset in ("B", "A")]
    found = faults_of(rows)
    assert sorted(found, key=lambda f: (f.asset_id, f.begin)) == [
        Fault("A", "S1", at(1), at(2)),
        Fault("A", "S1", at(4), at(4)),
        Fault("B", "S1", at(1), at(2)),
        Fault("B", "S1", at(4), at(4)),
    ]
    assert faults_of([reading("A", 0, None)]) == []


def test_a_fault_is_seen_by_an_alarm_of_its_own_stream_within_it() -> None:
    shift = timedelta(days=30)
    faults = [Fault("A", "S1", at(10), at(20)), Fault("B", "S1", at(10), at(20))]
    alarms = [
        Alarm("A", "S1", at(13) + shift, "one"),
        Alarm("A", "S1", at(14) + shift, "one"),
        Alarm("A", "S1", at(21) + shift, "one"),
        Alarm("B", "S1", at(9) + shift, "false"),
        Alarm("B", "S2", at(12) + shift, "elsewhere"),
    ]
    console = Console(record=True, width=120)
    console.print(compare(faults, alarms, shift))
    text = console.export_text()
    assert "0:03:00 after" in text
    assert "none" in text
    assert "1 of 2 seen; 2 of 3 events lie outside of them all" in text
    within = "of 5 anomalies 2 lie within the faults, 1 just around them (in the same event), 2"
    assert " ".join(text.split()).endswith(f"{within} elsewhere")
