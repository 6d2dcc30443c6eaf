"""One account in a real PostgreSQL: detections, claims, dead letters, outbox."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, text
from sqlmodel import Session, col, select

from consumers.store import BatchCommit, BridgeStore
from db import assets, encoding
from db.encoding import dump_json
from db.queries import copy, dead_letters, detections, history, offsets, outbox
from db.session import AlreadyStored, database_now, transaction
from db.tables import AnomalyDetection
from errors import InputError
from tests.fixtures.settings import SETTINGS
from tests.integration.readings import START, TOPIC, result, row


def test_copy_stores_what_the_table_class_stores(engine: Engine) -> None:
    odd = 'tab\t line\n back\\slash "quote" \\N Zoë ☃ 😀'
    by_copy = row(1, asset_id=odd, metadata={"text": odd, "window": "added", "deep": [None, {}]})
    with transaction(engine) as connection:
        assert copy.insert_detections(connection, [by_copy]) == 1
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
        assert first.id == copy.detection_id(TOPIC, 0, 1)


def test_a_record_stored_twice_is_already_stored(engine: Engine) -> None:
    with transaction(engine) as connection:
        copy.insert_detections(connection, [row(1)])
    with pytest.raises(AlreadyStored), transaction(engine) as connection:
        copy.insert_detections(connection, [row(2), row(1)])
    with transaction(engine) as connection:
        count = connection.execute(text("SELECT count(*) FROM anomaly_detections")).scalar_one()
    assert count == 1


def test_a_row_that_does_not_fit_names_its_column(connection: Connection) -> None:
    with pytest.raises(InputError, match=r"column final_score of record .*/0/7") as caught:
        copy.insert_detections(connection, [row(6), {**row(7), "final_score": "much"}])
    assert caught.value.code == "unprocessable"


def test_a_value_postgresql_refuses_is_unprocessable(engine: Engine) -> None:
    with pytest.raises(InputError) as caught, transaction(engine) as connection:
        copy.insert_detections(connection, [{**row(1), "timestamp": "no time at all"}])
    assert caught.value.code == "unprocessable"


def test_claim_fences_the_earlier_owner(connection: Connection) -> None:
    assert offsets.read_claim(connection, TOPIC, 3) is None
    first = offsets.claim(connection, TOPIC, 3, topic="t", owner="a")
    assert first == offsets.Claim(1, None)
    assert offsets.advance(connection, offsets.OffsetAdvance(TOPIC, 3, 1, None, 10))
    second = offsets.claim(connection, TOPIC, 3, owner="b")
    assert second == offsets.Claim(2, 10)
    assert not offsets.advance(connection, offsets.OffsetAdvance(TOPIC, 3, 1, 10, 20))
    assert not offsets.advance(connection, offsets.OffsetAdvance(TOPIC, 3, 2, None, 20))
    assert offsets.advance(connection, offsets.OffsetAdvance(TOPIC, 3, 2, 10, 20))
    assert offsets.read_claim(connection, TOPIC, 3) == offsets.Claim(2, 20)
    with pytest.raises(ValueError, match="back from 20 to 5"):
        offsets.advance(connection, offsets.OffsetAdvance(TOPIC, 3, 2, 20, 5))


def test_dead_letter_keeps_every_byte(connection: Connection) -> None:
    headers = [("a\x00b", b"\x00\xff"), ("a\x00b", None), ("", b"")]
    copy.insert_dead_letters(
        connection,
        [
            {
                "id": copy.detection_id(TOPIC, 0, 5),
                "topic_id": TOPIC,
                "partition": 0,
                "source_offset": 5,
                "reason": "bad_json",
                "message": "not JSON: \x00 \ud800",
                "key": b"\x00\t\\N\n",
                "value": bytes(range(256)),
                "headers": encoding.encode_headers(headers),
                "kafka_timestamp": START,
                "asset_id": "x" * 3000,
            }
        ],
    )
    found = connection.execute(text("SELECT * FROM dead_letters")).one()
    assert bytes(found.value) == bytes(range(256))
    assert bytes(found.key) == b"\x00\t\\N\n"
    assert encoding.decode_headers(found.headers) == headers
    assert found.message == "not JSON: \ufffd \ufffd"
    assert found.asset_id == "x" * 255


def test_dead_letters_are_read_back_page_by_page(connection: Connection) -> None:
    letters = [
        {
            "id": copy.detection_id(TOPIC, 0, n),
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
    copy.insert_dead_letters(connection, letters)

    def walk(which: dead_letters.DeadLetterFilter) -> set[bytes | None]:
        found: list[bytes | None] = []
        place = None
        while page := dead_letters.dead_letter_page(connection, which, limit=2, after=place):
            found += [letter["value"] for letter in page]
            place = page[-1]["created_at"], page[-1]["id"]
        assert len(set(found)) == len(found)
        return set(found)

    assert walk(dead_letters.DeadLetterFilter()) == {b"%d" % n for n in (0, 1, 2, 4, 5, 6, 7)}
    assert walk(dead_letters.DeadLetterFilter(reason="duplicate")) == {b"3"}
    assert walk(dead_letters.DeadLetterFilter(topic="in", asset_id="A")) == {b"1", b"5", b"7"}
    now = database_now(connection)
    assert walk(dead_letters.DeadLetterFilter(until=now)) == set()
    assert len(walk(dead_letters.DeadLetterFilter(since=now))) == 7


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
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_a_caller_sends_as_metadata_is_stored(
    connection: Connection, metadata: dict[str, Any]
) -> None:
    reading = {**result(), "metadata": metadata, "features": {"\\N\t😀": 5e-324, "x": 1.7e308}}
    stored = detections.detection_row(reading, row_id=uuid4())
    stored["event_id"] = json.dumps(list(metadata))
    copy.insert_detections(connection, [stored])
    found = history.get_detection(connection, stored["id"])
    assert found is not None
    assert as_floats(found["metadata"]) == as_floats(json.loads(dump_json(metadata)))
    assert found["features"] == reading["features"]
    assert found["event_id"] == stored["event_id"]


def test_outbox_hands_out_in_order_and_skips_what_is_locked(engine: Engine) -> None:
    with transaction(engine) as connection:
        copy.add_outbox(
            connection,
            [
                {
                    "topic_id": TOPIC,
                    "partition": i % 2,
                    "target_topic": "out",
                    "key": b"k",
                    "value": json.dumps(i).encode(),
                    "headers": encoding.encode_headers([("h", b"1")]),
                }
                for i in range(6)
            ],
        )
    both = [(TOPIC, 0), (TOPIC, 1)]
    with transaction(engine) as one, transaction(engine) as two:
        mine = outbox.next_outbox(one, [(TOPIC, 0)], 2, skip_locked=True)
        assert [m.value for m in mine] == [b"0", b"2"]
        assert mine[0].headers == [("h", b"1")]
        others = outbox.next_outbox(two, both, 10, skip_locked=True)
        assert [m.value for m in others] == [b"1", b"3", b"4", b"5"]
        assert len(outbox.next_outbox(two, both, 10)) == 6
        assert outbox.next_outbox(two, [], 10) == []
        assert outbox.delete_outbox(one, [m.id for m in mine]) == 2
    with transaction(engine) as connection:
        assert outbox.outbox_size(connection) == 4
        waiting = outbox.next_outbox(connection, both, 10)
        assert sorted(message.partition for message in waiting) == [0, 1, 1, 1]


def message(offset: int | None, value: bytes | None, target: str = "out") -> dict[str, Any]:
    return {"topic_id": TOPIC, "partition": 0, "source_offset": offset, "target_topic": target,
            "key": b"k", "value": value}  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [b"", b'{"a": 1}', b'{"a":"\\\\n"}', b"\\x41", b"\\N", b"\\.", b"a\tb", b"a\nb", b"a\rb",
     b"a\0b", "\u00fc\u2603".encode(), bytes(range(256)), b"\xff", b" ", None],
)  # fmt: skip
def test_bytes_come_back_as_they_were(connection: Connection, value: bytes | None) -> None:
    copy.add_outbox(connection, [message(1, value), message(2, b"next")])
    found = [one.value for one in outbox.next_outbox(connection, [(TOPIC, 0)], 5)]
    assert found == [value, b"next"]


def test_only_what_is_not_in_memory_is_read(connection: Connection) -> None:
    rows = [message(1, b"row"), message(2, b"row"), message(None, b"row"), message(1, b"row", "x")]
    copy.add_outbox(connection, rows)
    held = {("out", TOPIC, 0, 1): (b"k", b"memory", encoding.encode_headers([("h", None)]))}

    def take(key: outbox.MessageKey) -> outbox.Content | None:
        return held.pop(key, None)

    for expected in ([b"memory", b"row", b"row", b"row"], [b"row"] * 4):
        found = outbox.next_outbox(connection, [(TOPIC, 0)], 10, take_content=take)
        assert [one.value for one in found] == expected
        assert [one.id for one in found] == sorted(one.id for one in found)
        first = expected[0] == b"memory"
        assert found[0].headers == ([("h", None)] if first else [])


def test_a_store_publishes_from_memory_what_it_has_committed(engine: Engine) -> None:
    ours, other = BridgeStore(engine, "a", SETTINGS), BridgeStore(engine, "b", SETTINGS)
    ours.commit(BatchCommit(outbox=[message(1, b"one"), message(2, b"two")]))
    with engine.begin() as connection:  # the rows say what waits, not what it says
        connection.execute(text("UPDATE outbox SET value = 'changed'"))
    found = ours.waiting([(TOPIC, 0)], "out", 0, 10)
    assert [one.value for one in found] == [b"one", b"two"]
    for store in (ours, other):
        again = store.waiting([(TOPIC, 0)], "out", 0, 10)
        assert [one.value for one in again] == [b"changed", b"changed"]
    ours.run(outbox.delete_outbox, [one.id for one in found])
    assert ours.run(outbox.outbox_size) == 0


def test_criticality_of_an_unknown_asset_is_medium(connection: Connection) -> None:
    connection.execute(text("INSERT INTO assets VALUES ('A', 'critical')"))
    assert assets.asset_criticalities(connection, ["A", "B"]) == {"A": "critical", "B": "medium"}
    assert assets.asset_criticalities(connection, []) == {}


def test_sqlmodel_insert_without_source_is_a_rest_row(connection: Connection) -> None:
    values = detections.detection_row(result(), row_id=uuid4())
    values["details"] = values.pop("metadata")
    values["timestamp"] = START
    connection.execute(insert(AnomalyDetection).values(**values))
    found = history.get_detection(connection, values["id"])
    assert found is not None
    assert (found["topic_id"], found["window_mark"]) == (None, None)
