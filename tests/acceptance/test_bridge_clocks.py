"""What a plant's clocks and lost states do to its streams, with broker, service and database."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaProducer

from models.scoring.stream_work import Reading
from tests.fixtures.bridging import Scene
from tests.fixtures.bundle import points

MINUTE = timedelta(minutes=1)
COUNT = 200
#: own time and Kafka's of the readings, one minute apart, the last of them now
Times = list[tuple[datetime, datetime | None]]


@pytest.fixture
def stage(one_scene, make_service, engine) -> Scene:
    service = make_service(engine.url.render_as_string(hide_password=False))
    made: Scene = one_scene(service.url)
    # Apache Kafka refuses times of its own more than an hour ahead, unless configured otherwise
    made.topic = made.broker.topic("clocks", 3, **{"message.timestamp.after.max.ms": str(2**62)})
    made.environment["KAFKA_TOPIC_INPUT_FEATURES"] = made.topic
    made.environment["KAFKA_CONSUMER_GROUP"] = made.topic
    return made


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def regular(now: datetime) -> Times:
    made = [now - (COUNT - n) * MINUTE for n in range(COUNT)]
    return [(at, at) for at in made]


def send(stage: Scene, asset: str, times: Times, readings: list[Reading]) -> None:
    producer = KafkaProducer(bootstrap_servers=stage.broker.bootstrap)
    for (own, kafka), reading in zip(times, readings, strict=False):
        document = {
            "asset_id": asset, "features": dict(reading.features), "timestamp": own.isoformat()
        }  # fmt: skip
        stamp = None if kafka is None else int(kafka.timestamp() * 1000)
        producer.send(
            stage.topic, key=asset.encode(), value=orjson.dumps(document), timestamp_ms=stamp
        )
    producer.flush(timeout=30)
    producer.close()


def scored(stage: Scene, asset: str) -> list[dict[str, Any]]:
    """Metadata of an asset's results, in the order of their records."""
    rows = stage.sql(
        "SELECT metadata FROM anomaly_detections WHERE asset_id = :asset ORDER BY source_offset",
        asset=asset,
    )
    return [row[0] for row in rows]


def late(found: list[dict[str, Any]]) -> int:
    return sum(one.get("late", False) for one in found)


def test_a_clock_that_ran_ahead_costs_a_few_readings_and_a_backfill_none(stage: Scene, plant, now):
    usual = regular(now)
    own, kafka = usual[50]
    assert kafka is not None
    far = datetime(2036, 1, 1, tzinfo=UTC)
    wrong: dict[str, tuple[datetime, datetime | None]] = {
        "BOTH_2036": (far, far),
        "OWN_2036": (far, kafka),
        "OWN_59_MINUTES": (own + 59 * MINUTE, kafka),
        "BOTH_2_HOURS": (own + 120 * MINUTE, kafka + 120 * MINUTE),
        "BOTH_20_HOURS": (own + 1200 * MINUTE, kafka + 1200 * MINUTE),
        "KAFKA_2036": (own, far),
    }
    readings = points(plant, 0, 0, COUNT)
    for asset, times in wrong.items():
        send(stage, asset, [*usual[:50], times, *usual[51:]], readings)
    # all of it sent now, and one 59 minutes ahead of that
    send(stage, "SENT_NOW", [(at, None) for at, _ in usual[:50]], readings)
    send(stage, "SENT_NOW", [(now + 59 * MINUTE, None)], readings[50:])
    send(stage, "SENT_NOW", [(at, None) for at, _ in usual[51:]], readings[51:])
    bridge = stage.drain()

    refused = stage.sql("SELECT asset_id, reason FROM dead_letters")
    assert sorted(tuple(row) for row in refused) == [
        (asset, "future_timestamp") for asset in ("BOTH_2036", "BOTH_20_HOURS", "OWN_2036")
    ]
    for asset in (*wrong, "SENT_NOW"):
        found = scored(stage, asset)
        restarts = [one["restarted"] for one in found if "restarted" in one]
        if asset in ("OWN_59_MINUTES", "BOTH_2_HOURS", "SENT_NOW"):
            assert (late(found), restarts) == (9, ["clock_ahead"]), asset
        else:
            assert (late(found), restarts) == (0, []), asset
        assert not any("insufficient_history" in one for one in found[-100:]), asset
    assert bridge.text().count("its clock had run ahead and is set back") == 3
    last = stage.sql("SELECT DISTINCT last_timestamp FROM stream_states")
    assert [row[0] for row in last] == [usual[-1][0]]


@pytest.mark.parametrize("stamped", ["when it was made", "when it was sent"])
def test_a_backfill_leaves_a_live_stream_where_it_is(stage: Scene, plant, now, stamped):
    readings = points(plant, 0, 0, COUNT)
    live = regular(now)
    hole = [*live[:40], *live[140:]]  # older readings, and those that are missing, come later
    send(stage, "A", hole, [*readings[:40], *readings[140:]])
    stage.drain()
    older: Times = [(at - 10 * COUNT * MINUTE, at - 10 * COUNT * MINUTE) for at, _ in live]
    for times, rows in ((older, readings), (live[40:140], readings[40:140])):
        if stamped == "when it was sent":
            times = [(at, None) for at, _ in times]
        send(stage, "A", times, rows)
    stage.drain()
    (state,) = stage.sql("SELECT last_timestamp, window_length FROM stream_states")
    assert state[0] == live[-1][0]
    assert late(scored(stage, "A")) == COUNT + 100
    send(stage, "A", [(now, now)], readings)
    stage.drain()
    newest = scored(stage, "A")[-1]
    assert newest["window"] == "added"
    assert not {"late", "restarted", "insufficient_history"} & newest.keys()


LAST = {"FUTURE": datetime(2036, 1, 1, tzinfo=UTC)}
SPOILT: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "STRETCH": lambda state: {**state, "tail": [state["tail"][0], 1000.0, *state["tail"][2:]]},
    "TEXT": lambda state: {**state, "tail": "none"},
    "YEAR_1": lambda state: {**state, "last": "0001-01-01T00:00:00+14:00"},
    # as an older release left it
    "FUTURE": lambda state: {
        **{key: value for key, value in state.items() if key != "clock"},
        "last": LAST["FUTURE"].isoformat(),
    },
}


def test_a_state_that_cannot_be_read_is_no_end_of_its_stream(stage: Scene, plant, now):
    usual, readings = regular(now), points(plant, 0, 0, COUNT)
    for asset in SPOILT:
        send(stage, asset, usual[:60], readings)
    stage.drain()
    for asset, spoil in SPOILT.items():
        (row,) = stage.sql("SELECT state FROM stream_states WHERE asset_id = :a", a=asset)
        spoilt = spoil(row[0])
        with stage.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE stream_states SET state = %s, last_timestamp = %s WHERE asset_id = %s",
                (orjson.dumps(spoilt).decode(), LAST.get(asset, usual[59][0]), asset),
            )
    for asset in SPOILT:
        send(stage, asset, usual[60:120], readings[60:])
    bridge = stage.drain()
    assert stage.count("dead_letters") == 0
    assert bridge.text().count("its stored state could not be read") == 3
    for asset in ("STRETCH", "TEXT", "YEAR_1"):
        found = scored(stage, asset)[60:]
        assert [one.get("restarted") for one in found] == ["bad_state"] + [None] * 59
        # the window is not part of the state, and is still there
        assert not any("insufficient_history" in one or "late" in one for one in found)
    found = scored(stage, "FUTURE")[60:]
    assert late(found) == 9
    assert [one["restarted"] for one in found if "restarted" in one] == ["clock_ahead"]


def test_streams_that_lose_features_do_not_hold_up_the_others(stage: Scene, plant, now):
    usual, readings = regular(now), points(plant, 0, 0, COUNT)
    lost = [Reading(one.timestamp, dict(list(one.features.items())[3:])) for one in readings]
    refused = [f"LOST_{n}" for n in range(9)]
    for part in range(0, 40, 10):
        for asset in refused:
            send(stage, asset, usual[part : part + 10], lost[part : part + 10])
        send(stage, "HEALTHY", usual[part : part + 10], readings[part : part + 10])
    # 390 of 400 records, so that whatever the order of the partitions some are of the healthy one
    bridge = stage.drain(REFUSAL_WINDOW="390", BRIDGE_BATCH_MAX="20")
    assert len(scored(stage, "HEALTHY")) == 40
    reasons = stage.sql("SELECT asset_id, reason, count(*) FROM dead_letters GROUP BY 1, 2")
    assert {tuple(row) for row in reasons} == {(one, "missing_features", 40) for one in refused}
    for asset in refused:
        assert bridge.text().count(f"asset {asset}, sensor None: features: 3 of") == 1
