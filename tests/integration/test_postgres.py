"""The repository against a real PostgreSQL: accounts, states, windows, outbox, jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, text
from sqlmodel import Session, col, select

from db import repository as repo
from db.jsonb import dump_json
from db.session import AlreadyStored, transaction
from db.tables import AnomalyDetection
from errors import InputError

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = UUID("00000000-0000-0000-0000-00000000000a")
OTHER = UUID("00000000-0000-0000-0000-00000000000b")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with transaction(engine) as connection:
        yield connection


def result(minute: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "asset_id": "A",
        "sensor_id": "S",
        "timestamp": (START + timedelta(minutes=minute)).isoformat(),
        "scores": [{"model_name": "isolation_forest", "score": 0.1, "threshold": 0.5}],
        "final_score": 0.1,
        "p": 0.2,
        "threshold": 0.5,
        "is_anomaly": False,
        "criticality": "low",
        "features": {"rms": 1.25, "kurtosis": 1e22},
        "metadata": {"window": "added", "group": "default", "event": {"id": "e1"}},
        **changes,
    }


def row(offset: int, minute: int | None = None, *, mark: str = "added", **changes: Any) -> Any:
    feature = changes.pop("feature", None)
    topic = changes.pop("topic_id", TOPIC)
    partition = changes.pop("partition", 0)
    reading = result(offset if minute is None else minute, **changes)
    reading["metadata"] = {**reading["metadata"], "window": mark}
    return repo.detection_row(
        reading, feature=feature, topic_id=topic, partition=partition, offset=offset
    )


def test_copy_stores_what_the_table_class_stores(engine: Engine) -> None:
    odd = 'tab\t line\n back\\slash "quote" \\N Zoë ☃ 😀'
    by_copy = row(1, asset_id=odd, metadata={"text": odd, "window": "added", "deep": [None, {}]})
    with transaction(engine) as connection:
        assert repo.insert_detections(connection, [by_copy]) == 1
    values = {**by_copy, "source_offset": 2, "id": uuid4(), "details": by_copy["metadata"]}
    del values["metadata"]
    values["timestamp"] = datetime.fromisoformat(values["timestamp"])
    with Session(engine) as session:
        session.add(AnomalyDetection(**values, created_at=START))
        session.commit()
        first, second = session.exec(
            select(AnomalyDetection).order_by(col(AnomalyDetection.source_offset))
        )
        same = set(AnomalyDetection.model_fields) - {"id", "source_offset", "created_at"}
        for name in same:
            assert getattr(first, name) == getattr(second, name), name
        assert first.asset_id == odd
        assert first.timestamp.tzinfo is not None
        assert first.id == repo.detection_id(TOPIC, 0, 1)


def test_a_record_stored_twice_is_already_stored(engine: Engine) -> None:
    with transaction(engine) as connection:
        repo.insert_detections(connection, [row(1)])
    with pytest.raises(AlreadyStored), transaction(engine) as connection:
        repo.insert_detections(connection, [row(2), row(1)])
    with transaction(engine) as connection:
        count = connection.execute(text("SELECT count(*) FROM anomaly_detections")).scalar_one()
    assert count == 1


def test_a_row_that_does_not_fit_names_its_column(connection: Connection) -> None:
    with pytest.raises(InputError, match=r"column final_score of record .*/0/7") as caught:
        repo.insert_detections(connection, [row(6), {**row(7), "final_score": "much"}])
    assert caught.value.code == "unprocessable"


def test_a_value_postgresql_refuses_is_unprocessable(engine: Engine) -> None:
    with pytest.raises(InputError) as caught, transaction(engine) as connection:
        repo.insert_detections(connection, [{**row(1), "timestamp": "no time at all"}])
    assert caught.value.code == "unprocessable"


def test_claim_fences_the_earlier_owner(connection: Connection) -> None:
    assert repo.read_claim(connection, TOPIC, 3) is None
    first = repo.claim(connection, TOPIC, 3, topic="t", owner="a")
    assert first == repo.Claim(1, None)
    assert repo.advance(connection, TOPIC, 3, epoch=1, expected=None, new=10)
    second = repo.claim(connection, TOPIC, 3, owner="b")
    assert second == repo.Claim(2, 10)
    assert not repo.advance(connection, TOPIC, 3, epoch=1, expected=10, new=20)
    assert not repo.advance(connection, TOPIC, 3, epoch=2, expected=None, new=20)
    assert repo.advance(connection, TOPIC, 3, epoch=2, expected=10, new=20)
    assert repo.read_claim(connection, TOPIC, 3) == repo.Claim(2, 20)
    with pytest.raises(ValueError, match="back from 20 to 5"):
        repo.advance(connection, TOPIC, 3, epoch=2, expected=20, new=5)


def test_dead_letter_keeps_every_byte(connection: Connection) -> None:
    headers = [("a\x00b", b"\x00\xff"), ("a\x00b", None), ("", b"")]
    repo.insert_dead_letters(
        connection,
        [
            {
                "id": repo.detection_id(TOPIC, 0, 5),
                "topic_id": TOPIC,
                "partition": 0,
                "source_offset": 5,
                "reason": "bad_json",
                "message": "not JSON: \x00 \ud800",
                "key": b"\x00\t\\N\n",
                "value": bytes(range(256)),
                "headers": repo.encode_headers(headers),
                "kafka_timestamp": START,
                "asset_id": "x" * 3000,
            }
        ],
    )
    found = connection.execute(text("SELECT * FROM dead_letters")).one()
    assert bytes(found.value) == bytes(range(256))
    assert bytes(found.key) == b"\x00\t\\N\n"
    assert repo.decode_headers(found.headers) == headers
    assert found.message == "not JSON: \ufffd \ufffd"
    assert found.asset_id == "x" * 255


def test_dead_letters_are_read_back_page_by_page(connection: Connection) -> None:
    letters = [
        {
            "id": repo.detection_id(TOPIC, 0, n),
            "topic_id": TOPIC,
            "topic": "in",
            "partition": 0,
            "source_offset": n,
            "reason": "duplicate" if n == 3 else "bad_json",
            "value": b"%d" % n,
            "asset_id": "A" if n % 2 else None,
        }
        for n in range(8)
    ]
    repo.insert_dead_letters(connection, letters)

    def walk(which: repo.DeadLetterFilter) -> set[bytes | None]:
        found: list[bytes | None] = []
        place = None
        while page := repo.dead_letter_page(connection, which, limit=2, after=place):
            found += [letter.value for letter in page]
            place = page[-1].place
        assert len(set(found)) == len(found)
        return set(found)

    assert walk(repo.DeadLetterFilter()) == {b"%d" % n for n in (0, 1, 2, 4, 5, 6, 7)}
    assert walk(repo.DeadLetterFilter(reason="duplicate")) == {b"3"}
    assert walk(repo.DeadLetterFilter(topic="in", asset_id="A")) == {b"1", b"5", b"7"}
    now = repo.database_now(connection)
    assert walk(repo.DeadLetterFilter(until=now)) == set()
    assert len(walk(repo.DeadLetterFilter(since=now))) == 7


def test_an_events_criticalities_are_those_of_its_anomalies(connection: Connection) -> None:
    high: dict[str, Any] = {"is_anomaly": True, "criticality": "high"}
    repo.insert_detections(
        connection, [row(1), row(2, **high), row(3, sensor_id="T", **high), row(4, **high)]
    )
    key = repo.stream_key("A", "S")
    assert repo.event_criticalities(connection, key, "e1", START) == {"high"}
    later = START + timedelta(minutes=5)
    assert repo.event_criticalities(connection, key, "e1", later) == set()


def as_floats(value: Any) -> Any:
    """Numbers as floats: jsonb keeps every digit of one, but 1e22 comes back as an integer."""
    if isinstance(value, dict):
        return {key: as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_floats(item) for item in value]
    return float(value) if type(value) in (int, float) else value


values_of_any_kind = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(), max_size=6), values_of_any_kind, max_size=4))
@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_a_caller_sends_as_metadata_is_stored(
    connection: Connection, metadata: dict[str, Any]
) -> None:
    reading = {**result(), "metadata": metadata, "features": {"\\N\t😀": 5e-324, "x": 1.7e308}}
    stored = repo.detection_row(reading, row_id=uuid4())
    stored["event_id"] = json.dumps(list(metadata))
    repo.insert_journal(connection, [stored])
    found = repo.get_detection(connection, stored["id"])
    assert found is not None
    assert as_floats(found["metadata"]) == as_floats(json.loads(dump_json(metadata)))
    assert found["features"] == reading["features"]
    assert found["event_id"] == stored["event_id"]


def state(key: repo.StreamKey, minute: int, *, topic: UUID = TOPIC, **more: Any) -> Any:
    return repo.StoredState(
        key=key,
        topic_id=topic,
        partition=more.get("partition", 0),
        state=more.get("state", {"n": minute}),
        last_timestamp=START + timedelta(minutes=minute),
        window_length=29,
        bundle_version="v1",
    )


def test_states_are_upserted_and_loaded_by_key(connection: Connection) -> None:
    keys = [repo.stream_key("A", None), repo.stream_key("A", "S"), repo.stream_key("A", "S", "f")]
    repo.save_states(connection, [state(key, 1) for key in keys])
    repo.save_states(connection, [state(keys[1], 2, state={"bad": float("nan"), "s": "\x00"})])
    repo.save_states(connection, [])
    loaded = repo.load_states(connection, TOPIC, 0, [*keys, ("B", "", "")])
    assert set(loaded) == set(keys)
    assert loaded[keys[0]] == state(keys[0], 1)
    assert loaded[keys[1]].state == {"bad": None, "s": "\ufffd"}
    assert repo.load_states(connection, TOPIC, 1, keys) == {}


def test_keys_that_join_to_the_same_text_stay_apart(connection: Connection) -> None:
    keys = [("ab", "c", ""), ("a", "bc", ""), ("a", "b", "c"), ("abc", "", ""), ("1:ab", "", "c")]
    repo.save_states(connection, [state(key, i) for i, key in enumerate(keys)])
    loaded = repo.load_states(connection, TOPIC, 0, keys)
    assert [loaded[key].state["n"] for key in keys] == list(range(len(keys)))


def test_a_new_stream_takes_over_the_newest_state_before_its_reading(
    connection: Connection,
) -> None:
    key = repo.stream_key("A", "S")
    repo.save_states(connection, [state(key, 5)])
    repo.save_states(connection, [state(key, 9, topic=OTHER)])
    repo.save_states(connection, [state(key, 7, topic=OTHER, partition=1)])

    def taken(minute: int, topic: UUID, partition: int) -> Any:
        before = {key: START + timedelta(minutes=minute), ("Z", "", ""): START}
        found = repo.newest_state_elsewhere(connection, topic, partition, before)
        return found[key].state["n"] if key in found else None

    assert taken(60, uuid4(), 0) == 9
    assert taken(9, uuid4(), 0) == 7
    assert taken(60, OTHER, 0) == 7
    assert taken(5, uuid4(), 0) is None
    assert repo.newest_states(connection, [key])[key].state["n"] == 9


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
    repo.insert_detections(connection, rows)
    key = repo.stream_key("A", "S")

    def minutes(found: list[repo.Reading]) -> list[float]:
        return [(at - START).total_seconds() / 60 for at, _ in found]

    limits = {key: 29, ("A", "", ""): 5, ("A", "S", "rms"): 5, ("B", "", ""): 5}
    found = repo.stored_window(connection, TOPIC, 0, limits)
    assert minutes(found[key]) == [2, 3, 5]
    assert found[key][0][1] == {"rms": 1.25, "kurtosis": 1e22}
    assert minutes(found["A", "", ""]) == [6]
    assert minutes(found["A", "S", "rms"]) == [7]
    assert found["B", "", ""] == []
    assert minutes(repo.stored_window(connection, TOPIC, 0, {key: 2})[key]) == [3, 5]
    repo.save_states(connection, [state(key, 5)])
    context = repo.stream_contexts(connection, [key, ("B", "", "")], 30)
    assert set(context) == {key}
    assert minutes(context[key][1]) == [2, 3, 5]


def test_duplicates_are_found_in_any_partition_but_not_from_rest(connection: Connection) -> None:
    repo.insert_detections(connection, [row(1), row(2, feature="rms")])
    repo.insert_journal(connection, [repo.detection_row(result(3), row_id=uuid4())])
    key = repo.stream_key("A", "S")
    at = [START + timedelta(minutes=minute) for minute in range(5)]
    found = repo.find_duplicates(
        connection,
        [(key, at[4]), (key, at[1]), (key, at[2]), (("A", "S", "rms"), at[2]), (key, at[3])],
    )
    assert set(found) == {1, 3}
    assert found[1] == [(repo.detection_id(TOPIC, 0, 1), {"rms": 1.25, "kurtosis": 1e22})]
    assert repo.find_duplicates(connection, []) == {}


def test_outbox_hands_out_in_order_and_skips_what_is_locked(engine: Engine) -> None:
    with transaction(engine) as connection:
        repo.add_outbox(
            connection,
            [
                {
                    "topic_id": TOPIC,
                    "partition": i % 2,
                    "target_topic": "out",
                    "key": b"k",
                    "value": json.dumps(i).encode(),
                    "headers": repo.encode_headers([("h", b"1")]),
                }
                for i in range(6)
            ],
        )
    with transaction(engine) as one, transaction(engine) as two:
        mine = repo.next_outbox(one, [(TOPIC, 0)], 2, skip_locked=True)
        assert [m.value for m in mine] == [b"0", b"2"]
        assert mine[0].headers == [("h", b"1")]
        others = repo.next_outbox(two, None, 10, skip_locked=True)
        assert [m.value for m in others] == [b"1", b"3", b"4", b"5"]
        assert len(repo.next_outbox(two, None, 10)) == 6
        assert repo.next_outbox(two, [], 10) == []
        assert repo.delete_outbox(one, [m.id for m in mine]) == 2
    with transaction(engine) as connection:
        assert repo.outbox_size(connection) == 4
        assert repo.outbox_sources(connection) == {(TOPIC, 0): 1, (TOPIC, 1): 3}


def test_criticality_of_an_unknown_asset_is_medium(connection: Connection) -> None:
    connection.execute(text("INSERT INTO assets VALUES ('A', 'critical')"))
    assert repo.asset_criticalities(connection, ["A", "B"]) == {"A": "critical", "B": "medium"}
    assert repo.asset_criticalities(connection, []) == {}


def test_one_training_job_at_a_time_over_all_replicas(engine: Engine) -> None:
    with transaction(engine) as connection:
        ids = [repo.enqueue_job(connection, {"n": n}) for n in range(2)]
    with transaction(engine) as one:
        assert repo.get_job(one, uuid4()) is None
        jobs = {job.id: job for job in repo.list_jobs(one)}
        first, second = sorted(ids, key=lambda i: (jobs[i].created_at, i))
        assert (jobs[first].ahead, jobs[second].ahead) == (0, 1)
        claimed = repo.claim_job(one, "a")
        assert claimed is not None
        assert (claimed.id, claimed.state, claimed.owner) == (first, "running", "a")
        with transaction(engine) as two:
            assert repo.claim_job(two, "b") is None
    with transaction(engine) as connection:
        assert repo.claim_job(connection, "b") is None
        assert repo.heartbeat_job(connection, first, "a", {"done": 0.5})
        assert repo.heartbeat_job(connection, first, "a")
        assert not repo.heartbeat_job(connection, first, "b")
        assert repo.finish_job(connection, first, "a", result={"ok": float("inf")})
        assert not repo.finish_job(connection, first, "a", error={})
        done = repo.get_job(connection, first)
        assert done is not None
        assert (done.state, done.progress, done.result) == (
            "succeeded",
            {"done": 0.5},
            {"ok": None},
        )


def test_a_dead_process_leaves_an_interrupted_job(engine: Engine) -> None:
    with transaction(engine) as connection:
        dead = repo.enqueue_job(connection, {})
        repo.claim_job(connection, "gone")
        waiting = repo.enqueue_job(connection, {})
    with transaction(engine) as connection:
        claimed = repo.claim_job(connection, "next", stale_after_s=-1)
        assert claimed is not None
        assert claimed.id == waiting
        job = repo.get_job(connection, dead)
        assert job is not None
        assert job.state == "interrupted"
        assert job.error is not None
        assert not repo.heartbeat_job(connection, dead, "gone")


def test_export_streams_kafka_readings_in_order(connection: Connection) -> None:
    repo.insert_detections(connection, [row(2, asset_id="B"), row(3), row(1), row(9, minute=60)])
    repo.insert_journal(connection, [repo.detection_row(result(3), row_id=uuid4())])
    which = repo.ReadingFilter(end=START + timedelta(minutes=60), group="default")
    found = list(repo.export_readings(connection, which, batch=2))
    assert [(r.asset_id, r.timestamp.minute) for r in found] == [("A", 1), ("A", 3), ("B", 2)]
    assert len(repo.recent_features(connection, 2)) == 2
    assert repo.recent_features(connection, 2, "none") == []


def test_sqlmodel_insert_without_source_is_a_rest_row(connection: Connection) -> None:
    values = repo.detection_row(result(), row_id=uuid4())
    values["details"] = values.pop("metadata")
    values["timestamp"] = START
    connection.execute(insert(AnomalyDetection).values(**values))
    found = repo.get_detection(connection, values["id"])
    assert found is not None
    assert (found["topic_id"], found["window_mark"]) == (None, None)
