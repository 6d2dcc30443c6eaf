"""What the demo shows of a topic: counts that end with all that was sent, changes of incidents."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine, text

from db.encoding import encode_headers
from db.incident_recording import record
from db.queries.copy import insert_dead_letters, insert_detections
from db.session import transaction
from deploy.watch import Tally, claimed, summary, watch
from tests.fixtures.incidents import row as incident_row
from tests.fixtures.settings import SETTINGS
from tests.integration.readings import OTHER, TOPIC, row


def store(engine: Engine, rows: list[Any], upto: int, dead: int = 0) -> None:
    """As the bridge does: readings, dead letters and the offset below which all is stored."""
    letters = [
        {"id": uuid.uuid4(), "topic_id": TOPIC, "partition": 0, "source_offset": 900 + n,
         "topic": "in", "reason": "not_json", "message": "no", "key": b"", "value": b"",
         "headers": encode_headers([])}
        for n in range(dead)
    ]  # fmt: skip
    with transaction(engine) as connection:
        insert_detections(connection, rows)
        insert_dead_letters(connection, letters)
        connection.execute(
            text("INSERT INTO source_offsets (topic_id, partition, epoch, next_offset)"
                 " VALUES (:topic, 0, 1, :upto)"
                 " ON CONFLICT (topic_id, partition) DO UPDATE SET next_offset = :upto"),
            {"topic": TOPIC, "upto": upto},
        )  # fmt: skip


def anomaly(offset: int, asset: str, level: str, event: str, **changes: Any) -> Any:
    return row(offset, asset_id=asset, is_anomaly=True, criticality=level, asset_criticality="high",
               metadata={"event": {"id": event}}, **changes)  # fmt: skip


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200, force_terminal=False)


def test_ends_when_all_that_was_sent_is_stored_or_dead(engine: Engine, console: Console) -> None:
    store(engine, [row(0), anomaly(1, "P1", "high", "e1"), anomaly(2, "P1", "high", "e1")], 3)
    store(engine, [row(9, topic_id=OTHER, is_anomaly=True)], 3, dead=1)
    looks: list[int] = []

    def expected() -> int | None:
        looks.append(1)
        if len(looks) == 3:  # all are sent; one is not stored before the next look
            return 5
        if len(looks) == 4:
            store(engine, [anomaly(3, "P2", "low", "e2")], 4)
        return None if len(looks) < 3 else 5

    tally = watch(engine, str(TOPIC), expected, lambda: None, console)
    assert len(looks) == 4
    assert (tally.stored, tally.dead, tally.accounted) == (4, 1, 5)
    assert dict(tally.anomalies) == {("P1", "high"): 2, ("P2", "low"): 1}  # each counted once
    assert [alarm.event for alarm in tally.alarms] == ["e1", "e1", "e2"]
    assert claimed(engine, str(TOPIC)) == 1


def test_changes_of_incidents_are_shown_once_each_as_they_are_stored(
    engine: Engine, console: Console
) -> None:
    why = {"features": [{"feature": "rms", "value": 4.25, "expected": 1.0}]}
    changes = [
        incident_row(0, "medium", state="opened", asset="P1", explanation=why),
        incident_row(60, "critical", asset="P1"),
        incident_row(120, "critical", state="cleared", asset="P1", anomalous=False),
    ]
    with transaction(engine) as connection:
        record(connection, [incident_row(0, state="opened", asset="OLD")], SETTINGS, "bridge")
    store(engine, [row(0)], 1)
    steps = iter([*changes, None])

    def expected() -> int | None:
        change = next(steps)
        if change is None:
            return 1
        with transaction(engine) as connection:
            record(connection, [change], SETTINGS, "bridge")
        return None

    tally = watch(engine, str(TOPIC), expected, lambda: None, console)
    shown = console.export_text()
    assert "OLD" not in shown  # it was there before
    lines = [line.split() for line in shown.splitlines() if "P1" in line]
    assert [line[3] for line in lines] == ["opened", "escalated", "cleared"]
    assert lines[0][4:] == ["medium", "rms", "4.25,", "expected", "1"]
    assert lines[1][4] == "critical"
    assert "rms" not in lines[2]
    assert tally.open_incidents == set()
    assert tally.first_incident is not None


def test_a_part_that_ended_and_a_standstill_are_errors(engine: Engine, console: Console) -> None:
    store(engine, [row(0)], 1)

    def dead() -> None:
        raise RuntimeError("bridge ended")

    with pytest.raises(RuntimeError, match="bridge ended"):
        watch(engine, str(TOPIC), lambda: 1, dead, console)
    with pytest.raises(TimeoutError, match="1 of 2 readings are accounted for"):
        watch(engine, str(TOPIC), lambda: 2, lambda: None, console, patience=0.01)


def test_the_closing_table_counts_by_asset_and_an_event_under_its_worst(
    engine: Engine, console: Console
) -> None:
    store(engine, [], 1, dead=2)
    tally = Tally(stored=8, dead=2)
    for n in range(22):
        tally.anomalies[f"P{n:02}", "low"] = 1
        tally.events[f"P{n:02}", "low"] = {f"e{n}"}
    tally.anomalies["P00", "critical"] = 3
    tally.events["P00", "critical"] = {"e0"}
    tally.criticality["P00"] = "high"
    console.print(summary(engine, str(TOPIC), tally, 10, 2.0))
    text = console.export_text()
    first = next(line for line in text.splitlines() if "P00" in line)
    assert first.split("│")[-2].strip() == "1 critical"
    assert "2 more" in text
    assert "P20" not in text
    assert "1 critical, 21 low" in text
    assert "10 sent = 8 stored + 2 dead letters (2 not_json); 5 readings/s" in text
