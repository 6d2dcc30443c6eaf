"""What a Kafka log may hold or lose: odd headers, damage, transactions, a cut end; a restart."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer
from sqlalchemy import Engine, text

from tests.fixtures.broker import Broker
from tests.fixtures.inprocess import InProcess
from tests.fixtures.records import plant, reading
from tests.integration.consumers.test_bridge_faults import damaged

HEAD = struct.Struct(">qi")  # base offset and length of a batch


class Latin(str):
    """Text that a producer encodes as Latin-1."""

    def encode(self, *_: Any) -> bytes:
        return super().encode("latin-1")


@contextlib.contextmanager
def producer(broker: Broker, **options: Any) -> Iterator[KafkaProducer]:
    made = KafkaProducer(bootstrap_servers=broker.bootstrap, **options)
    try:
        yield made
    finally:
        made.close()


def needs_kafka(broker: Broker, why: str) -> None:
    if not broker.keeps_data:
        pytest.skip(f"{why}; set KAFKA_HOME to an Apache Kafka")


def reasons(bridge: InProcess) -> list[tuple[Any, ...]]:
    rows = bridge.scene.sql(
        "SELECT partition, source_offset, reason, value FROM dead_letters ORDER BY 1, 2"
    )
    return [(*row[:3], None if row[3] is None else bytes(row[3])) for row in rows]


def test_header_names_in_latin_1_cost_their_record_only(in_process, one_broker):
    bridge = in_process(bridge_lanes=1)
    topic, names = bridge.scene.topic, ["plain", Latin("gerät"), "plain"]
    with producer(one_broker, linger_ms=500) as sender:
        for number, name in enumerate(names):
            value = reading("A", number)
            sender.send(topic, key=b"k", value=value, headers=[(name, b"\xff")], partition=0)
        sender.flush()
    bridge.run_until(lambda: bridge.scene.accounted() == 3, "all accounted for")
    assert reasons(bridge) == [(0, 1, "unreadable", reading("A", 1))]
    assert bridge.scene.count("anomaly_detections") == 2
    bridge.run_until(lambda: bridge.scene.consume(bridge.scene.dead), "its dead letter is sent")
    (sent,) = bridge.scene.consume(bridge.scene.dead)
    assert (sent.key, sent.value) == (b"k", reading("A", 1))
    assert ("gerät", b"\xff") in sent.headers


def test_a_batch_that_stays_damaged_becomes_dead_letters(in_process, one_broker, caplog):
    needs_kafka(one_broker, "the embedded broker keeps no file that could be damaged")
    bridge = in_process(bridge_lanes=1, bridge_unreadable_tries=2)
    stage = bridge.scene
    sent = stage.produce([*plant(60, bad_every=0), (b"M", reading("MARKED", 1))])
    with damaged(one_broker, stage.topic, b'"asset_id":"MARKED') as at:
        bridge.run_until(lambda: stage.accounted() == sent, "all accounted for")
        more = stage.produce([(b"M", reading("MARKED", 2)), *plant(9, bad_every=0)])
        bridge.run_until(lambda: stage.accounted() == sent + more, "its partition goes on")
    assert "after 2 tries" in caplog.text
    assert {row[2] for row in reasons(bridge)} == {"unreadable", "duplicate"}
    bad = [row for row in reasons(bridge) if row[2] == "unreadable"]
    assert {row[0] for row in bad} == {at}
    assert any(b"MARKED" in row[3] for row in bad)
    stage.check_account()


@pytest.mark.parametrize("codec", ["gzip", "zstd", "lz4", "snappy"])
def test_a_batch_that_inflates_to_more_than_the_buffer(in_process, codec):
    """A record of 8 MiB is more than may be buffered; forty of 256 KiB are, a few at a time."""
    bridge = in_process(bridge_lanes=1, bridge_buffer_mb=4)
    stage = bridge.scene
    padded = [reading("A", number, metadata={"pad": "x" * 2**18}) for number in range(40)]
    records = [(b"k", padded[0]), (b"k", reading("A", 99, metadata={"pad": "x" * 2**23}))]
    records += [(b"k", body) for body in padded[1:]]
    sent = stage.produce(records, compression_type=codec, batch_size=2**26, max_request_size=2**26)
    largest = 0

    def done() -> bool:
        nonlocal largest
        largest = max(largest, sum(assigned.bytes for assigned in bridge.partitions))
        return stage.accounted() == sent

    bridge.run_until(done, "all accounted for")
    assert [row[2:] for row in reasons(bridge)] == [("unreadable", None)]
    # what may be buffered, what one poll may add, and the record that ends it
    assert largest < 4 * 2**20 * 9 / 8 + 2**19


def test_aborted_transactions_are_not_scored_and_markers_are_no_lag(in_process, one_broker):
    needs_kafka(one_broker, "the embedded broker knows no transactions")
    bridge = in_process(bridge_lanes=1)
    stage = bridge.scene
    with producer(one_broker, transactional_id=stage.topic) as sender:
        sender.init_transactions()
        for turn, commit in enumerate([True, False, True, False]):
            sender.begin_transaction()
            for number in range(5):
                body = reading("A" if commit else "ABORTED", 10 * turn + number)
                sender.send(stage.topic, key=b"k", value=body, partition=turn % 3)
            sender.flush()
            if commit:
                sender.commit_transaction()
            else:
                sender.abort_transaction()
        bridge.run_until(lambda: stage.accounted() == 10, "what was committed is stored")
        bridge.run_until(bridge.drained, "drained behind markers")

        def lags() -> list[float]:
            return [bridge.value("bridge_lag", partition=str(number)) for number in range(3)]

        bridge.run_until(lambda: lags() == [0, 0, 0], "the next measurement says so")
        # one that is still open holds nothing up, and is not waited for
        sender.begin_transaction()
        sender.send(stage.topic, key=b"k", value=reading("OPEN", 1), partition=0)
        sender.flush()
        bridge.run_until(bridge.drained, "drained before an open transaction")
        sender.commit_transaction()
        bridge.run_until(lambda: stage.accounted() == 11, "it is stored once it is committed")
    assert stage.count("dead_letters") == 0
    assert not stage.sql("SELECT 1 FROM anomaly_detections WHERE asset_id = 'ABORTED'")


def cut_log(broker: Broker, topic: str, partition: int, offset: int) -> None:
    """Take the batches from ``offset`` on out of the stopped broker's file."""
    (log,) = [log for log in broker.logs(topic) if log.parent.name == f"{topic}-{partition}"]
    data, at = log.read_bytes(), 0
    while at < len(data):
        base, length = HEAD.unpack_from(data, at)
        if base >= offset:
            break
        at += HEAD.size + length
    with log.open("r+b") as file:
        file.truncate(at)


def test_a_truncated_log_is_said_and_read_on(in_process, one_broker, caplog):
    """As after an unclean election: the broker lost the end, and others took its offsets."""
    needs_kafka(one_broker, "the embedded broker keeps no log that could be cut")
    bridge = in_process(bridge_lanes=1)
    stage = bridge.scene
    for number in range(6):
        stage.produce([(b"k", reading("A", number))])  # a batch each
    bridge.run_until(lambda: stage.accounted() == 6, "all accounted for")
    ((_, at),) = stage.sql("SELECT DISTINCT topic_id, partition FROM anomaly_detections")
    one_broker.stop()
    cut_log(one_broker, stage.topic, at, 3)
    one_broker.start()
    for number in range(6, 9):
        stage.produce([(b"k", reading("A", number))])  # offsets 3 to 5 once more
    bridge.run_until(lambda: bridge.value("bridge_records_lost_total") == 3, "the loss is counted")
    assert "now ends at 3, but was read up to 6" in caplog.text
    stage.produce([(b"k", reading("A", number)) for number in (9, 10)])
    bridge.run_until(lambda: stage.accounted() == 8, "what comes behind it is stored")
    stage.check_account()
    running = {"state": "running", "why": ""}
    bridge.run_until(lambda: bridge.value("bridge_state", **running) == 1, "it says that it runs")


def test_latest_keeps_its_start_over_a_restart(in_process, one_broker):
    """Nothing came before the restart: what came meanwhile lies behind the stored start."""
    needs_kafka(one_broker, "the embedded broker does not say where its log ends")
    first = in_process(bridge_lanes=1, kafka_auto_offset_reset="latest")
    stage = first.scene
    first.run_until(lambda: len(stage.sql("SELECT 1 FROM source_offsets")) == 3, "all claimed")
    first.run_until(first.settled, "all begun")
    first.stop()
    sent = stage.produce(plant(30, bad_every=0))
    second = in_process.again(first, kafka_auto_offset_reset="latest")
    second.finish(sent)


def test_a_partition_that_the_dump_does_not_know_is_read_from_its_beginning(
    in_process, one_broker, engine: Engine, caplog
):
    """Kafka's group still says where the bridge stood, which the restored tables do not."""
    needs_kafka(one_broker, "the embedded broker drops the note that goes with an offset")
    first = in_process(bridge_lanes=1)
    stage = first.scene
    sent = stage.produce(plant(60, bad_every=0))
    first.run_until(lambda: stage.accounted() == sent, "all accounted for")
    first.stop()  # tells the group where it stands
    with engine.begin() as connection:  # the dump was made before the first start
        for table in ("source_offsets", "anomaly_detections", "stream_states", "outbox"):
            connection.execute(text(f"TRUNCATE {table}"))
    second = in_process.again(first)
    second.finish(sent)
    assert "no offset of the partition" in caplog.text


def test_history_sent_again_through_a_topic_made_anew_is_not_scored_again(in_process, one_broker):
    """The duplicate clause knows no exception; what comes behind the history is scored on."""
    bridge = in_process(bridge_lanes=1)
    stage = bridge.scene
    history = [(b"%d" % (number % 5), reading(f"A{number % 5}", number)) for number in range(60)]
    sent = stage.produce(history)
    bridge.run_until(lambda: stage.accounted() == sent, "all accounted for")
    before = {row[0] for row in stage.sql("SELECT id FROM anomaly_detections")}
    old = bridge.partitions[0].topic_id
    one_broker.delete(stage.topic)
    one_broker.create(stage.topic)
    bridge.run_until(
        lambda: bridge.settled() and bridge.partitions and bridge.partitions[0].topic_id != old,
        "the new topic is seen",
    )
    news = [(b"%d" % (number % 5), reading(f"A{number % 5}", number)) for number in range(60, 80)]
    # the first reading that comes is one that was not stored: the stream begins before the others
    odd = [(b"%d" % number, reading(f"A{number}", number, 0.5)) for number in range(3)]
    again = stage.produce([*odd, *history, *news])
    bridge.run_until(lambda: stage.accounted() == sent + again, "all accounted for once more")
    letters = stage.sql("SELECT original_id FROM dead_letters WHERE reason = 'duplicate'")
    assert {row[0] for row in letters} == before
    assert stage.count("anomaly_detections") == len(before) + len(odd) + len(news)
    counts = stage.sql(
        "SELECT asset_id, max((metadata->>'n')::int) FROM anomaly_detections "
        "WHERE timestamp >= '2026-01-01T00:01:00Z' GROUP BY 1 ORDER BY 1"
    )
    # A3 and A4 go on from the state of the old topic, as if the history had not come again
    assert dict(map(tuple, counts))["A4"] == 16


def test_a_stream_that_moved_to_another_partition_is_not_spread(in_process, one_broker):
    """As when a topic gets more partitions; one that goes on under both is."""
    bridge = in_process(bridge_lanes=1)
    stage = bridge.scene
    unkeyed = "SELECT source_offset FROM anomaly_detections WHERE metadata ? 'spread'"
    with producer(one_broker) as sender:

        def send(number: int, partition: int) -> None:
            sender.send(stage.topic, key=b"k", value=reading("A", number), partition=partition)
            sender.flush()
            bridge.run_until(lambda: stage.accounted() == number + 1, f"{number} is stored")

        for number in range(4):
            send(number, 0)
        for number in range(4, 8):
            send(number, 1)
        assert bridge.value("bridge_streams_spread") == 0
        assert not stage.sql(unkeyed)
        send(8, 0)
        send(9, 1)
        bridge.run_until(lambda: bridge.value("bridge_streams_spread") == 1, "the metric says so")
        assert stage.sql(unkeyed)


def test_a_topic_in_a_foreign_format_is_not_emptied_into_dead_letters(in_process, caplog):
    bridge = in_process(bridge_lanes=1, refusal_window=20, bridge_batch_max=10, refusal_retry_s=1)
    stage = bridge.scene
    framed = [(b"k", b"\x00\x00\x00\x00\x07" + reading("A", number)) for number in range(60)]
    sent = stage.produce(framed)
    bridge.run_until(lambda: "not readings but schema_registry" in caplog.text, "logged")
    paused = {"state": "paused", "why": "refused_foreign_format"}
    bridge.run_until(lambda: bridge.value("bridge_state", **paused) == 1, "the metric says so")
    assert stage.accounted() < 20
    bridge.stop()
    again = in_process.again(bridge, bridge_lanes=1, refusal_pause=False)
    again.run_until(lambda: stage.accounted() == sent, "all put aside, as configured")
    rows = stage.sql("SELECT DISTINCT reason, message FROM dead_letters")
    assert len(rows) == 1
    assert "schema id 7" in rows[0][1]
