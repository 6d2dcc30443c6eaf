"""What the bridge stands on goes away and comes back: nothing is lost, nothing doubled."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

import pytest

from db.partitions import list_partitions, spans
from tests.fixtures.bridging import Scene
from tests.fixtures.records import plant, reading
from tests.fixtures.waiting import wait_until

SMALL = {"BRIDGE_BATCH_MAX": "20"}
#: Sent during an outage: what was sent before may all be stored before a busy machine begins it.
LATER = [(b"LATER", reading("LATER", number)) for number in range(100)]


def test_postgres_killed_and_restarted(broker, own_postgres, own_engine, scoring, tmp_path):
    stage = Scene(broker, own_engine, scoring().url, "postgres", tmp_path)
    begun = datetime.now(UTC)
    sent = stage.produce(plant(600))
    bridge = stage.bridge(**SMALL)
    try:
        wait_until(lambda: "partitions made" in bridge.text(), "the coming partitions are made")
        ended = datetime.now(UTC)
        stage.wait_accounted(200)
        own_engine.dispose()
        own_postgres.kill()
        sent += stage.produce(LATER)
        wait_until(lambda: "database: " in bridge.text(), "the outage is logged")
        own_postgres.start()
        stage.wait_accounted(sent)
        wait_until(lambda: "database: works again" in bridge.text(), "its end is logged")
        bridge.signal(signal.SIGTERM)
        assert bridge.wait() == 0, bridge.text()
        # a thread that was inside a transaction may notice after another has begun to work again
        assert bridge.text().count("database: works again") <= 3
        stage.check()
        with own_engine.begin() as connection:
            made = [one.start for one in list_partitions(connection)]
        # which of the two it was, if a month began meanwhile, is the bridge's affair
        assert made in [[start for start, _ in spans(at, "month", 3)] for at in (begun, ended)]
    finally:
        bridge.kill()


def test_service_away_then_back(scene, scoring):
    service = scoring()
    stage = scene(service.url)
    sent = stage.produce(plant(1000))
    bridge = stage.bridge(**SMALL)
    stage.wait_accounted(100)
    service.kill()
    sent += stage.produce(LATER)
    wait_until(lambda: "service: " in bridge.text(), "the outage is logged")
    service.start()
    stage.wait_accounted(sent)
    bridge.signal(signal.SIGTERM)
    assert bridge.wait() == 0
    assert bridge.text().count("waiting") == bridge.text().count("works again") == 1
    stage.check()


def test_broker_killed_and_restarted(scene, scoring, broker):
    if not broker.keeps_data:
        pytest.skip("the embedded broker forgets everything when it stops")
    stage = scene(scoring().url)
    sent = stage.produce(plant(1000))
    bridge = stage.bridge(**SMALL)
    stage.wait_accounted(200)
    broker.kill()
    broker.start()
    sent += stage.produce(LATER)
    stage.wait_accounted(sent)
    bridge.signal(signal.SIGTERM)
    assert bridge.wait() == 0, bridge.text()
    stage.drain()
    stage.check()


def test_two_bridges_one_joins_one_is_killed(scene, scoring):
    stage = scene(scoring().url)
    sent = stage.produce(plant(700))
    first = stage.bridge(BRIDGE_BATCH_MAX="5")
    stage.wait_accounted(100)
    second = stage.bridge(BRIDGE_BATCH_MAX="5")
    wait_until(lambda: "epoch" in second.text(), "the second has partitions")
    first.kill()
    sent += stage.produce(plant(100, streams=9, bad_every=0))
    stage.wait_accounted(sent)
    second.signal(signal.SIGTERM)
    assert second.wait() == 0, second.text()
    stage.check_account()
    stage.drain()
    stage.check_published()


def test_frozen_bridge_changes_nothing_that_is_not_its_own(one_scene, scoring):
    stage = one_scene(scoring().url)
    sent = stage.produce(plant(900))
    hung = {"DATABASE_IDLE_TIMEOUT_S": "5"}
    frozen = stage.bridge(BRIDGE_BATCH_MAX="5", **hung)
    stage.wait_accounted(100)
    frozen.signal(signal.SIGSTOP)
    other = stage.bridge(**hung)
    # first the broker has to miss it, and the database or the other bridge to end its session
    stage.wait_accounted(sent)
    sent += stage.produce(plant(200, streams=11, bad_every=0))
    frozen.signal(signal.SIGCONT)
    stage.wait_accounted(sent)
    wait_until(
        lambda: len({row[0] for row in stage.sql("SELECT owner FROM source_offsets")}) == 2,
        "the two share the partitions again",
    )
    for bridge in (frozen, other):
        bridge.signal(signal.SIGTERM)
        assert bridge.wait() == 0, bridge.text()
    stage.check_account()
    # another group: the account is the database's
    stage.drain(KAFKA_CONSUMER_GROUP="another")
    stage.check_published()


def test_topic_appears_after_the_bridge_and_is_made_anew(scene, scoring, broker):
    stage = scene(scoring().url)
    broker.delete(stage.topic)
    bridge = stage.bridge()
    wait_until(lambda: "does not exist yet" in bridge.text(), "the missing topic is logged")
    broker.create(stage.topic)
    stage.produce(plant(100))
    stage.wait_accounted(100)
    broker.delete(stage.topic)
    broker.create(stage.topic)
    stage.produce(plant(100))
    stage.wait_accounted(200)
    assert len(stage.sql("SELECT DISTINCT topic_id FROM source_offsets")) == 2
    bridge.signal(signal.SIGTERM)
    assert bridge.wait() == 0, bridge.text()


def test_topic_made_anew_while_its_records_wait_for_the_service(scene, scoring, broker):
    """What the bridge had read but not stored is gone with the topic: it says how much."""
    service = scoring()
    stage = scene(service.url)
    stage.produce(plant(100))
    bridge = stage.bridge()
    stage.wait_accounted(100)
    service.kill()
    stage.produce([(b"%d" % n, reading(f"GONE{n}", n)) for n in range(60)])
    wait_until(lambda: "service: " in bridge.text(), "the outage is logged")
    broker.delete(stage.topic)
    wait_until(lambda: "does not exist yet" in bridge.text(), "the missing topic is logged")
    broker.create(stage.topic)
    stage.produce(plant(100))
    service.start()
    stage.wait_accounted(200)
    losses = [int(line.split()[-4]) for line in bridge.text().splitlines() if "are lost" in line]
    assert sum(losses) == 60
    bridge.signal(signal.SIGTERM)
    assert bridge.wait() == 0, bridge.text()


def test_topic_grows_and_loses_its_beginning(one_scene, scoring, one_broker):
    if not one_broker.keeps_data:
        pytest.skip("the embedded broker can neither grow a topic nor cut its beginning")
    stage = one_scene(scoring().url)
    stage.produce(plant(100))
    stage.drain()
    read = dict(stage.ends)
    sent = stage.produce(plant(100, streams=5, bad_every=0)) + 100
    cut = {partition: end - 1 for partition, end in stage.ends.items()}
    one_broker.cut(stage.topic, cut)
    bridge = stage.bridge(BRIDGE_METRICS_PORT="0")
    wait_until(lambda: "records are lost" in bridge.text(), "the loss is logged")
    lost = sum(max(0, at - read.get(partition, 0)) for partition, at in cut.items())
    one_broker.grow(stage.topic, 5)
    grown = stage.produce([(b"%d" % n, reading(f"NEW{n}", n)) for n in range(60)])
    stage.wait_accounted(sent - lost + grown)
    losses = [int(line.split()[-4]) for line in bridge.text().splitlines() if "are lost" in line]
    assert sum(losses) == lost
    partitions = stage.sql("SELECT count(DISTINCT partition) FROM anomaly_detections")[0][0]
    assert partitions == 5
    bridge.signal(signal.SIGTERM)
    assert bridge.wait() == 0, bridge.text()
