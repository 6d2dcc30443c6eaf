"""What is published to a real Apache Kafka when topics and messages are not as they should be."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from consumers.broker.internals import sendable_headers
from consumers.sending import Sending
from db.queries.outbox import OutboxMessage
from tests.fixtures.bridging import Scene, scenes
from tests.fixtures.broker import Broker, kafka_home
from tests.fixtures.records import plant, reading
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.skipif(
    kafka_home() is None,
    reason="KAFKA_HOME names no Apache Kafka; the embedded one knows neither rights nor compaction",
)


class StrictBroker(Broker):
    """Apache Kafka with access control, which makes no topic by itself."""

    def _command(self) -> list[str]:
        return [
            *super()._command(),
            "auto.create.topics.enable=false",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found=true",
        ]

    def acl(self, topic: str, *, see: bool = True, lift: bool = False) -> None:
        """Let nobody write the topic (nor see it), or everybody again."""
        pattern = ResourcePattern(ResourceType.TOPIC, topic)
        kinds = (ACLOperation.DESCRIBE, ACLOperation.READ) if see else (ACLOperation.DELETE,)
        rules = [ACL("User:*", "*", kind, ACLPermissionType.ALLOW, pattern) for kind in kinds]
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            if lift:
                admin.delete_acls(rules)
            else:
                admin.create_acls(rules)
        finally:
            admin.close()


@pytest.fixture(scope="module")
def strict() -> Iterator[StrictBroker]:
    with tempfile.TemporaryDirectory(prefix="strict-", ignore_cleanup_errors=True) as folder:
        server = StrictBroker("kafka", Path(folder))
        yield server
        server.kill()


@pytest.fixture
def stage(request, strict, engine, tmp_path, scoring) -> Iterator[Scene]:
    """A scene on the strict broker; its bridge publishes what is stored."""
    with scenes(request.node.originalname, strict, engine, tmp_path) as make:
        yield make(scoring().url)


def published(stage: Scene) -> Counter[str]:
    """How often each anomaly was sent."""
    return Counter(
        orjson.loads(record.value)["detection_id"] for record in stage.consume(stage.anomalies)
    )


def anomalies(stage: Scene) -> set[str]:
    return {str(row[0]) for row in stage.sql("SELECT id FROM anomaly_detections WHERE is_anomaly")}


def waiting(stage: Scene, topic: str) -> int:
    return int(stage.sql("SELECT count(*) FROM outbox WHERE target_topic = :t", t=topic)[0][0])


@pytest.mark.parametrize("fault", ["missing", "not ours to write", "not ours to see"])
def test_a_topic_that_refuses_holds_up_no_other_and_gets_all_once_it_is_mended(
    stage, strict, fault
):
    dead = stage.dead
    if fault == "missing":
        dead = stage.environment["KAFKA_TOPIC_DEAD_LETTER"] = f"{stage.dead}-none"
    else:
        strict.acl(dead, see=fault.endswith("write"))
    check = stage.bridge("--check")
    assert check.wait() == 1
    line = next(line for line in check.text().splitlines() if dead in line)
    assert line.startswith("topic     FAILED")
    assert "KAFKA_TOPIC_DEAD_LETTER" in line
    sent = stage.produce(plant(300, bad_every=10))
    bridge = stage.bridge()
    stage.wait_accounted(sent)
    wait_until(lambda: waiting(stage, stage.anomalies) == 0, "anomalies are published")
    letters = stage.sql("SELECT count(*) FROM dead_letters WHERE reason <> 'duplicate'")[0][0]
    assert letters > 0
    wait_until(lambda: "waiting" in bridge.text(), "the refusal is logged")
    assert waiting(stage, dead) == letters
    assert f"topic {dead}" in bridge.text()
    if fault == "missing":
        strict.create(dead, 1)
    else:
        strict.acl(dead, see=fault.endswith("write"), lift=True)
    wait_until(lambda: waiting(stage, dead) == 0, "dead letters are published")
    bridge.signal(15)
    assert bridge.wait() == 0
    counts = published(stage)
    assert set(counts) == anomalies(stage)
    assert set(counts.values()) == {1}
    stage.dead = dead
    stage.check_published()


def test_a_compacted_topic_gets_what_has_a_key_and_only_the_rest_waits(stage, strict):
    """Records without a key are refused, with all that were sent in the same batch."""
    stage.dead = strict.topic(f"{stage.name}-compact", 1, **{"cleanup.policy": "compact"})
    stage.environment["KAFKA_TOPIC_DEAD_LETTER"] = stage.dead
    good = plant(100, bad_every=0)
    stage.produce([*good, *[(key, b"{}") for key in (b"a", None, b"b", None)]])
    bridge = stage.bridge("--drain")
    assert bridge.wait() == 4, bridge.text()
    assert waiting(stage, stage.dead) == 2
    assert waiting(stage, stage.anomalies) == 0
    assert sorted(record.key for record in stage.consume(stage.dead)) == [b"a", b"b"]
    counts = published(stage)
    assert set(counts) == anomalies(stage)
    assert set(counts.values()) == {1}
    # too old: given up, and logged
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET created_at = now() - interval '8 days'")
    late = stage.bridge("--drain")
    assert late.wait() in (0, 4)
    assert waiting(stage, stage.dead) == 0
    assert "2 messages" in late.text()
    assert "BRIDGE_OUTBOX_DAYS" in late.text()
    assert stage.count("dead_letters") == 4


def produce_odd(stage: Scene) -> list[list[tuple[str, bytes | None]]]:
    """Bad records with odd headers, keys and values, among good ones; the headers."""
    from kafka import KafkaProducer

    odd: list[list[tuple[str, bytes | None]]] = [
        [("empty", None)],
        [("empty", None), ("empty", b""), ("größe", b"\xff\x00")],
        [("plain", b"x"), ("", None)],
    ]
    producer = KafkaProducer(bootstrap_servers=stage.broker.bootstrap)
    try:
        for headers in odd:
            for key, value in ((b"k", b"{}"), (None, b"{}"), (b"k", None)):
                future = producer.send(
                    stage.topic, key=key, value=value, headers=sendable_headers(headers)
                )
                future.get(timeout=10)
    finally:
        producer.close()
    return odd


def test_dead_letters_keep_headers_without_a_value_and_are_sent_again(one_scene, scoring):
    stage = one_scene(scoring().url)
    stage.produce([(b"A", reading("A", number)) for number in range(40)])
    odd = produce_odd(stage)
    stage.drain()

    def originals(records: list) -> list[list[tuple[str, bytes | None]]]:
        return [
            [one for one in record.headers if not one[0].startswith("dead-letter-")]
            for record in records
        ]

    letters = stage.consume(stage.dead)
    assert sorted(map(str, originals(letters))) == sorted(str(one) for one in odd for _ in range(3))
    assert stage.count("outbox") == 0
    done = subprocess.run(
        [sys.executable, "-m", "consumers.replay", "--dead-letters"],
        env={**os.environ, **stage.environment}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "sent 9 records\n"), done.stderr
    stage.drain()
    again = stage.consume(stage.dead)[len(letters) :]
    assert sorted(map(str, originals(again))) == sorted(map(str, originals(letters)))


def test_what_no_client_sends_is_settled_and_the_others_go(one_broker):
    """Of each message is known what became of it."""
    from kafka import KafkaProducer

    def message(number: int, value: Any, headers: Any = ()) -> OutboxMessage:
        return OutboxMessage(number, UUID(int=1), 0, number, topic, b"k", value, list(headers))

    topic = one_broker.topic("settled", 2, **{"max.message.bytes": "2000"})
    sending = Sending(
        lambda **options: KafkaProducer(
            bootstrap_servers=one_broker.bootstrap, max_request_size=5000, **options
        )
    )
    messages = [
        message(1, b"good"), message(2, "text"), message(3, b"x" * 9000),
        message(4, b"good", [(b"name", b"x")]), message(5, b"good", [("n", None)]),
        message(6, b"x" * 3000), *[message(n, b"good" * 100) for n in range(7, 40)],
    ]  # fmt: skip
    settled = sending.send(messages)
    assert sorted(settled.acknowledged) == [1, 5, *range(7, 40)]
    assert sorted(settled.never) == [2, 3, 4, 6]
    assert (settled.refused, settled.failure) == ({}, None)
    assert sending.send(messages[:1]).acknowledged == [1]  # and it goes on
    sending.close(5)


def test_rights_taken_from_the_anomalies_leave_the_dead_letters_alone(stage, strict):
    strict.acl(stage.anomalies)
    sent = stage.produce(plant(200, bad_every=10))
    drained = stage.bridge("--drain")
    assert drained.wait() == 4, drained.text()
    assert stage.accounted() == sent
    assert waiting(stage, stage.dead) == 0
    assert waiting(stage, stage.anomalies) == len(anomalies(stage))
    strict.acl(stage.anomalies, lift=True)
    stage.drain()
    assert set(published(stage).values()) == {1}
    stage.check()


def test_a_missing_topic_of_incidents_is_named_and_holds_up_nobody(stage, strict):
    changed = stage.environment["KAFKA_TOPIC_INCIDENTS"] = f"{stage.anomalies}-incidents"
    check = stage.bridge("--check")
    assert check.wait() == 1
    line = next(line for line in check.text().splitlines() if changed in line)
    assert "KAFKA_TOPIC_INCIDENTS" in line
    sent = stage.produce(plant(100))
    bridge = stage.bridge()
    stage.wait_accounted(sent)
    wait_until(lambda: waiting(stage, stage.anomalies) == 0, "anomalies are published")
    incidents = stage.sql("SELECT count(*) FROM incidents")[0][0]
    assert waiting(stage, changed) >= incidents > 0
    strict.create(changed, 1)
    wait_until(lambda: waiting(stage, changed) == 0, "incidents are published")
    bridge.signal(15)
    assert bridge.wait() == 0
    assert len({record.key for record in stage.consume(changed)}) == incidents
