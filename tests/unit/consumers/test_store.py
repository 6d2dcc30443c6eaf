"""The bridge's gateway to the database: claims, commits, streams, what is to be published."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from consumers import store as module
from consumers.store import BatchCommit, BridgeStore, FencedError
from db.queries import offsets, outbox
from db.queries.copy import insert_detections
from db.queries.offsets import OffsetAdvance
from db.queries.outbox import INCIDENT_SOURCE, OutboxMessage
from db.queries.schedules import add_window, request_reset
from db.queries.stream_states import StoredState
from db.session import transaction
from tests.fixtures.dead_letters import letter
from tests.fixtures.settings import SETTINGS, given
from tests.integration.readings import OTHER, START, row
from tests.integration.readings import TOPIC as STORED

TOPIC = UUID(int=1)


def test_claim_fences_every_earlier_epoch(engine):
    old, new = BridgeStore(engine, "old", SETTINGS), BridgeStore(engine, "new", SETTINGS)
    first = old.claim(TOPIC, 0, "in")
    second = new.claim(TOPIC, 0, "in")
    assert (first.next_offset, second.epoch) == (None, first.epoch + 1)
    with pytest.raises(FencedError):
        old.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, first.epoch, None, 5)]))
    new.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, second.epoch, None, 5)]))
    with pytest.raises(FencedError):
        new.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, second.epoch, None, 7)]))
    new.commit(BatchCommit(moves=[OffsetAdvance(TOPIC, 0, second.epoch, 5, 7)]))
    claim = new.run(offsets.read_claim, TOPIC, 0)
    assert claim is not None
    assert claim.next_offset == 7


def test_lost_claim_of_one_partition_stores_nothing_of_the_batch(engine):
    store = BridgeStore(engine, "one", SETTINGS)
    mine = store.claim(TOPIC, 0, "in")
    batch = BatchCommit(
        moves=[OffsetAdvance(TOPIC, 0, mine.epoch, None, 1), OffsetAdvance(TOPIC, 1, 9, None, 1)],
        dead_letters=[letter(0)],
    )
    with pytest.raises(FencedError):
        store.commit(batch)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one() == 0


def test_a_topic_recreated_under_its_name_is_known(engine):
    store = BridgeStore(engine, "one", SETTINGS)
    store.claim(TOPIC, 0, "in")
    assert not store.run(offsets.has_earlier_account, TOPIC, "in")
    assert store.run(offsets.has_earlier_account, UUID(int=2), "in")
    assert not store.run(offsets.has_earlier_account, UUID(int=2), "other")


def waiting(store: BridgeStore, number: int) -> None:
    rows = [
        {"topic_id": TOPIC, "partition": 0, "target_topic": "out", "value": b"%d" % n}
        for n in range(number)
    ]
    store.commit(BatchCommit(outbox=rows))


def test_orphans_of_a_recreated_topic_are_found_and_locked(engine):
    store = BridgeStore(engine, "one", SETTINGS)
    store.claim(TOPIC, 0, "in")
    waiting(store, 2)
    assert store.run(outbox.orphaned_sources, "in", UUID(int=2), 3600) == [(TOPIC, 0)]
    assert store.run(outbox.orphaned_sources, "in", TOPIC, 3600) == []
    inside = threading.Event()
    seen: list[OutboxMessage] = []

    def slowly(messages):
        inside.set()
        seen.extend(store.publish_orphans([(TOPIC, 0)], "out", 0, 10, lambda found: []))
        return [message.id for message in messages]

    assert len(store.publish_orphans([(TOPIC, 0)], "out", 0, 10, slowly)) == 2
    assert inside.is_set()
    assert seen == []
    assert store.run(outbox.outbox_size) == 0


def test_while_one_bridge_publishes_incidents_no_other_does_not_even_the_next_ones(engine):
    store, topic_id = BridgeStore(engine, "one", SETTINGS), INCIDENT_SOURCE[0]
    rows = [
        {"topic_id": topic_id, "partition": 0, "target_topic": "out", "value": value}
        for value in (b"older", b"newer")
    ]
    store.commit(BatchCommit(outbox=rows))
    overtaking: list[OutboxMessage] = []

    def meanwhile(messages):
        overtaking.extend(store.publish_orphans([INCIDENT_SOURCE], "out", 0, 1, lambda _: []))
        return [message.id for message in messages]

    assert len(store.publish_orphans([INCIDENT_SOURCE], "out", 0, 1, meanwhile)) == 1
    assert overtaking == []
    assert store.run(outbox.outbox_size) == 1


def test_messages_of_a_topic_that_is_gone_are_anyones_once_nothing_has_moved_for_long(engine):
    """Its name was changed in the settings, or it was deleted: no bridge owns it any more."""
    store = BridgeStore(engine, "one", SETTINGS)
    store.claim(TOPIC, 0, "another")
    waiting(store, 2)
    for current in (UUID(int=2), None):
        assert store.run(outbox.orphaned_sources, "in", current, 3600) == []
    aged = "UPDATE {} SET {} = now() - interval '2 hours'"
    with engine.begin() as connection:
        connection.execute(text(aged.format("outbox", "created_at")))
    assert store.run(outbox.orphaned_sources, "in", None, 3600) == []  # its account still moves
    with engine.begin() as connection:
        connection.execute(text(aged.format("source_offsets", "updated_at")))
    for current in (UUID(int=2), None):
        assert store.run(outbox.orphaned_sources, "in", current, 3600) == [(TOPIC, 0)]
    assert (
        store.run(outbox.orphaned_sources, "in", TOPIC, 3600) == []
    )  # it is ours: drained as every partition of ours


def test_criticalities_of_more_assets_than_are_kept(engine):
    store = BridgeStore(engine, "one", SETTINGS)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO assets VALUES ('A7', 'critical'), ('A99999', 'low')"))
    for first in (0, 40_000, 80_000, 0):  # known ones and new ones, past the bound and again
        wanted = {f"A{number}" for number in range(first, first + 60_000)}
        found = store.criticalities(wanted)
        assert found.keys() == wanted
        assert found.get("A7", "critical") == "critical"
        assert found.get("A99999", "low") == "low"


def test_criticalities_are_asked_for_again_once_they_are_old(engine, monkeypatch):
    store = BridgeStore(engine, "one", SETTINGS)
    assert store.criticalities(["A"]) == {"A": "medium"}
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO assets VALUES ('A', 'critical')"))
    assert store.criticalities(["A"]) == {"A": "medium"}
    monkeypatch.setattr(module, "CRITICALITY_SECONDS", -1.0)
    forgetful = BridgeStore(engine, "two", SETTINGS)
    assert forgetful.criticalities(["A"]) == {"A": "critical"}
    with engine.begin() as connection:
        connection.execute(text("UPDATE assets SET criticality = 'low'"))
    assert forgetful.criticalities(["A"]) == {"A": "low"}


def saved(store: BridgeStore, key: tuple[str, str, str], topic: UUID, minute: int) -> None:
    at = START + timedelta(minutes=minute)
    state = StoredState(key, topic, 0, {"n": minute}, at, 2, "1", at - timedelta(minutes=2))
    store.commit(BatchCommit(states={(topic, 0): [state]}))


def test_a_stream_is_loaded_with_its_state_and_window_or_takes_over_what_lies_before_it(engine):
    store, key, new, ahead = (
        BridgeStore(engine, "one", SETTINGS),
        *(("A", s, "") for s in ("S", "N", "F")),
    )
    store.commit(BatchCommit(detections=[row(n, metadata={}) for n in range(3)]))
    saved(store, key, STORED, 2)
    saved(store, new, OTHER, 1)
    saved(store, ahead, OTHER, 9)
    first = START + timedelta(minutes=5)
    keys = [key, new, ahead, ("B", "", "")]
    found = store.load_streams(STORED, 0, dict.fromkeys(keys, first))
    own, taken_over, later, unknown = (found[one] for one in keys)
    assert (own.state, len(own.window), own.last) == (b'{"n":2}', 2, START + timedelta(minutes=2))
    assert (taken_over.state, taken_over.window_length) == (b'{"n":1}', 2)
    assert (later.state, later.elsewhere) == (None, START + timedelta(minutes=9))
    assert (unknown.state, unknown.elsewhere) == (None, None)


def test_what_people_plan_is_read_again_after_a_while_and_resets_are_added_up(engine, monkeypatch):
    store, now = BridgeStore(engine, "one", SETTINGS), datetime.now(UTC)
    window: dict[str, Any] = {
        "start": now, "end": now + timedelta(hours=1), "rrule": None, "time_zone": "UTC",
        "asset_id": "A*", "sensor_id": None, "group": None, "reason": None,
        "alarms": True, "training": True,
    }  # fmt: skip
    assert store.schedules().windows == []
    monkeypatch.setattr(store, "_schedules_until", float("inf"))  # the while is not over yet
    with transaction(engine) as connection:
        add_window(connection, window, "ANNA")
        add_window(connection, {**window, "alarms": False}, "ANNA")
        first = request_reset(connection, "A", None, "ANNA")
    assert store.schedules().windows == []
    monkeypatch.setattr(store, "_schedules_until", 0.0)
    [planned] = store.schedules().windows  # the other one mutes no alarm
    assert planned["asset_id"] == "A*"
    with transaction(engine) as connection:
        second = request_reset(connection, "A", "S", "ANNA")
    monkeypatch.setattr(store, "_schedules_until", 0.0)
    schedules = store.schedules()
    assert schedules.reset(("A", "", "")) == first["id"]
    assert schedules.reset(("A", "S", "")) == second["id"]


def test_a_reset_after_the_clock_of_the_database_was_set_back_is_read(engine, monkeypatch):
    store = BridgeStore(engine, "one", SETTINGS)
    with transaction(engine) as connection:
        request_reset(connection, "A", None, "ANNA")
        ahead = "UPDATE stream_resets SET requested_at = now() + interval '1 hour'"
        connection.exec_driver_sql(ahead)
    assert store.schedules().reset(("A", "", "")) > 0
    with transaction(engine) as connection:
        second = request_reset(connection, "B", None, "ANNA")
    monkeypatch.setattr(store, "_schedules_until", 0.0)
    assert store.schedules().reset(("B", "", "")) == second["id"]
    monkeypatch.setattr(store, "_schedules_until", 0.0)
    with transaction(engine) as connection:
        third = request_reset(connection, "C", None, "ANNA")
    assert store.schedules().reset(("C", "", "")) == third["id"]


def test_an_event_is_as_severe_as_its_worst_stored_anomaly(engine):
    store = BridgeStore(engine, "one", given(event_silence_s=3600))
    event = {"id": "e", "started_at": START.isoformat()}
    found = [
        {**row(n, is_anomaly=True, criticality=level), "event_id": "e"}
        for n, level in ((0, "low"), (1, "high"))
    ]
    with transaction(engine) as connection:
        insert_detections(connection, found)
    assert store.event_level("A", "S", event) == 2
    assert store.event_level("A", "S", {**event, "id": "another"}) == -1
    for minutes, level in ((50, 2), (70, -1)):  # late anomalies lie an hour back at most
        late = {"id": "e", "started_at": (START + timedelta(minutes=minutes)).isoformat()}
        assert store.event_level("A", "S", late) == level
    first = {"id": "e", "started_at": "0001-01-01T00:00:00+00:00"}  # .NET's default time
    assert store.event_level("A", "S", first) == 2


def test_of_the_readings_to_publish_only_those_that_change_an_incident_are(engine):
    store = BridgeStore(engine, "one", SETTINGS)
    event = {"id": str(uuid4()), "kind": "anomaly", "started_at": START.isoformat()}
    opening, same, worse = (
        row(n, is_anomaly=True, criticality=level, metadata={"event": {**event, "state": state}})
        for n, (level, state) in enumerate(
            (("medium", "opened"), ("medium", "ongoing"), ("high", "ongoing"))
        )
    )
    news = {
        one["id"]: {"topic_id": TOPIC, "partition": 0, "target_topic": "out", "value": value}
        for one, value in ((opening, b"opened"), (same, b"same"), (worse, b"escalated"))
    }
    store.commit(BatchCommit(detections=[opening, same, worse], news=news))
    found = store.waiting([(TOPIC, 0)], "out", 0, 10)
    assert [message.value for message in found] == [b"opened", b"escalated"]


def test_what_is_stored_is_committed_only_after_the_last_word(engine):
    """What is called before the COMMIT may still call it off."""
    store = BridgeStore(engine, "one", SETTINGS)

    def called_off() -> None:
        raise FencedError("revoked meanwhile")

    with pytest.raises(FencedError):
        store.commit(BatchCommit(dead_letters=[letter(0)]), before_commit=called_off)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one() == 0
