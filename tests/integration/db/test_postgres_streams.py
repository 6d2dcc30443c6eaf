"""States, windows, duplicates and export of streams, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from db.queries import copy, detections, stored_windows, stream_states
from db.queries import readings as readings_queries
from schemas import StreamKey, stream_key
from tests.integration.readings import OTHER, START, TOPIC, result, row


def state(key: StreamKey, minute: int, *, topic: UUID = TOPIC, **more: Any) -> Any:
    return stream_states.StoredState(
        key=key,
        topic_id=topic,
        partition=more.get("partition", 0),
        state=more.get("state", {"n": minute}),
        last_timestamp=START + timedelta(minutes=minute),
        window_length=29,
        bundle_version="v1",
    )


def test_states_are_upserted_and_loaded_by_key(connection: Connection) -> None:
    keys = [
        stream_key("A", None),
        stream_key("A", "S"),
        stream_key("A", "S", "f"),
    ]
    stream_states.save_states(connection, [state(key, 1) for key in keys])
    stream_states.save_states(
        connection, [state(keys[1], 2, state={"bad": float("nan"), "s": "\x00"})]
    )
    stream_states.save_states(connection, [])
    loaded = stream_states.load_states(connection, TOPIC, 0, [*keys, ("B", "", "")])
    assert set(loaded) == set(keys)
    assert loaded[keys[0]] == state(keys[0], 1)
    assert loaded[keys[1]].state == {"bad": None, "s": "\ufffd"}
    assert stream_states.load_states(connection, TOPIC, 1, keys) == {}


def test_keys_that_join_to_the_same_text_stay_apart(connection: Connection) -> None:
    keys = [("ab", "c", ""), ("a", "bc", ""), ("a", "b", "c"), ("abc", "", ""), ("1:ab", "", "c")]
    stream_states.save_states(connection, [state(key, i) for i, key in enumerate(keys)])
    loaded = stream_states.load_states(connection, TOPIC, 0, keys)
    assert [loaded[key].state["n"] for key in keys] == list(range(len(keys)))


def test_a_new_stream_takes_over_the_newest_state_before_its_reading(
    connection: Connection,
) -> None:
    key = stream_key("A", "S")
    stream_states.save_states(connection, [state(key, 5)])
    stream_states.save_states(connection, [state(key, 9, topic=OTHER)])
    stream_states.save_states(connection, [state(key, 7, topic=OTHER, partition=1)])

    def taken(minute: int, topic: UUID, partition: int) -> Any:
        before = {key: START + timedelta(minutes=minute), ("Z", "", ""): START}
        found = stream_states.newest_state_elsewhere(connection, topic, partition, before)
        return found[key].state["n"] if key in found else None

    assert taken(60, uuid4(), 0) == 9
    assert taken(9, uuid4(), 0) == 7
    assert taken(60, OTHER, 0) == 7
    assert taken(5, uuid4(), 0) is None
    assert stream_states.newest_states(connection, [key])[key].state["n"] == 9


def test_window_is_by_offset_without_left_out_back_to_the_restart(connection: Connection) -> None:
    rows = [
        row(1, mark="added"),
        row(2, mark="restarted"),
        row(3, mark="added"),
        row(4, minute=0, mark="left_out"),
        row(5, mark="added"),
        row(6, sensor_id=None),
        row(7, feature="rms"),
        row(1, partition=1, minute=8),
        row(1, topic_id=OTHER, minute=9),
    ]
    copy.insert_detections(connection, rows)
    key = stream_key("A", "S")

    def minutes(found: list[stored_windows.Reading]) -> list[float]:
        return [(at - START).total_seconds() / 60 for at, _ in found]

    def windows(length: int, *keys: StreamKey) -> Any:
        states = {one: replace(state(one, 60), window_length=length) for one in keys}
        return stored_windows.stored_windows(connection, states)

    found = windows(29, key, ("A", "", ""), ("A", "S", "rms"), ("B", "", ""))
    assert minutes(found[key]) == [2, 3, 5]
    assert found[key][0][1] == {"rms": 1.25, "kurtosis": 1e22}
    assert minutes(found["A", "", ""]) == [6]
    assert minutes(found["A", "S", "rms"]) == [7]
    assert found["B", "", ""] == []
    assert minutes(windows(2, key)[key]) == [3, 5]
    later = replace(state(key, 60), window_start=START + timedelta(minutes=3))
    assert minutes(stored_windows.stored_windows(connection, {key: later})[key]) == [3, 5]


def test_duplicates_are_found_in_any_partition_but_not_from_rest(connection: Connection) -> None:
    copy.insert_detections(connection, [row(1), row(2, feature="rms")])
    copy.insert_detections(connection, [detections.detection_row(result(3), row_id=uuid4())])
    key = stream_key("A", "S")
    at = [START + timedelta(minutes=minute) for minute in range(5)]
    found = stored_windows.find_duplicates(
        connection,
        [(key, at[4]), (key, at[1]), (key, at[2]), (("A", "S", "rms"), at[2]), (key, at[3])],
    )
    assert set(found) == {1, 3}
    assert found[1] == [(copy.detection_id(TOPIC, 0, 1), {"rms": 1.25, "kurtosis": 1e22})]
    assert stored_windows.find_duplicates(connection, []) == {}


def test_an_events_criticalities_are_those_of_its_anomalies(connection: Connection) -> None:
    high: dict[str, Any] = {"is_anomaly": True, "criticality": "high"}
    copy.insert_detections(
        connection, [row(1), row(2, **high), row(3, sensor_id="T", **high), row(4, **high)]
    )
    key = stream_key("A", "S")
    assert stored_windows.event_criticalities(connection, key, "e1", START) == {"high"}
    later = START + timedelta(minutes=5)
    assert stored_windows.event_criticalities(connection, key, "e1", later) == set()


def test_export_streams_kafka_readings_in_order(connection: Connection) -> None:
    copy.insert_detections(connection, [row(2, asset_id="B"), row(3), row(1), row(9, minute=60)])
    copy.insert_detections(connection, [detections.detection_row(result(3), row_id=uuid4())])
    which = readings_queries.ReadingFilter(end=START + timedelta(minutes=60), group="default")
    found = list(readings_queries.export_readings(connection, which, batch=2))
    assert [(r.asset_id, r.timestamp.minute) for r in found] == [("A", 1), ("A", 3), ("B", 2)]
    assert len(readings_queries.recent_readings(connection, 2)) == 2
    assert readings_queries.recent_readings(connection, 2, "none") == []


def test_unkeyed_streams_are_those_of_other_partitions_of_the_topic(connection: Connection) -> None:
    here, there, far = (stream_key(name, "S") for name in ("here", "there", "far"))
    stream_states.save_states(connection, [state(here, 1)])
    stream_states.save_states(connection, [state(there, 1, partition=3)])
    stream_states.save_states(connection, [state(far, 1, topic=OTHER, partition=3)])
    since = START
    places = dict.fromkeys((here, there, far), (0, since))
    assert stream_states.unkeyed_streams(connection, TOPIC, places) == {there}
    moved = {there: (0, START + timedelta(minutes=1))}  # nothing newer was left behind
    assert stream_states.unkeyed_streams(connection, TOPIC, moved) == set()
    assert stream_states.unkeyed_streams(connection, TOPIC, {}) == set()


def test_drift_compares_no_readings_of_machines_that_are_off(connection: Connection) -> None:
    off = row(2)
    off["metadata"] = {**off["metadata"], "suppressed": {"by": "off"}}
    copy.insert_detections(connection, [row(1), off])
    assert len(readings_queries.recent_readings(connection, 10)) == 1
