"""One thing fails at one moment: nothing is lost, nothing doubled, every score as undisturbed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import Engine, text

from consumers.outage import Outage
from consumers.store import BatchCommit, BridgeStore
from consumers.table_partitions import TablePartitionMaintainer
from db.partitions import ensure_partitions
from db.queries.copy import insert_detections
from db.queries.detections import detection_row
from db.queries.stream_states import StoredState, save_states
from db.session import make_engine, transaction
from errors import StorageUnavailable
from tests.fixtures.bridging import Scene
from tests.fixtures.broker import Broker
from tests.fixtures.inprocess import refusal
from tests.fixtures.postgres import run_admin
from tests.fixtures.records import plant, reading
from tests.fixtures.settings import SETTINGS
from tests.fixtures.waiting import wait_until

CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND state = 'idle in transaction' AND query ILIKE '%UPDATE source_offsets%'
"""
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def once(act: Callable[[], Any], at: int = 1) -> Callable[[str], None]:
    """A hook that acts at the n-th passage of the point just before COMMIT."""
    passages: list[str] = []

    def hook(point: str) -> None:
        if point == "in_commit":
            passages.append(point)
            if len(passages) == at:
                act()

    return hook


def test_connection_cut_just_before_a_commit(in_process, engine: Engine):
    other = make_engine(engine.url)
    cut: list[int] = []

    def act() -> None:
        with other.begin() as connection:
            cut.append(len(connection.execute(text(CUT)).all()))

    # the first three store where reading begins in the three partitions
    bridge = in_process(once(act, at=6), bridge_batch_max=20, bridge_lanes=1)
    bridge.finish(bridge.scene.produce(plant(200)))
    other.dispose()
    assert cut == [1]


def test_commit_whose_answer_is_lost_took_effect_and_is_not_done_again(in_process, monkeypatch):
    commit, answers = BridgeStore.commit, [True, True, False]

    def losing(self: BridgeStore, batch: BatchCommit, **options: Any) -> None:
        commit(self, batch, **options)
        if batch.detections and answers and not answers.pop(0):
            raise StorageUnavailable("the connection ended before the answer came")

    monkeypatch.setattr(BridgeStore, "commit", losing)
    bridge = in_process(bridge_batch_max=20, bridge_lanes=1)
    bridge.finish(bridge.scene.produce(plant(200)))
    assert not answers
    assert bridge.value("bridge_records_total") < 200  # of the lost answer nothing is counted


def test_account_taken_over_while_a_batch_is_scored_stores_nothing_of_it(in_process, engine):
    """As by a bridge that believes the partition its own; the group says that it is still ours."""
    other, passed = BridgeStore(engine, "other", SETTINGS), []

    def take_over(point: str) -> None:
        if point == "before_score":
            passed.append(point)
            if len(passed) == 3:
                for topic_id, partition in bridge.scene.sql(
                    "SELECT topic_id, partition FROM source_offsets"
                ):
                    other.claim(topic_id, partition, bridge.scene.topic)

    bridge = in_process(take_over, bridge_batch_max=20, bridge_lanes=1)
    bridge.finish(bridge.scene.produce(plant(200)))
    assert {row[0] for row in bridge.scene.sql("SELECT owner FROM source_offsets")} == {
        "in-process"
    }


def test_deadlock_of_a_batch_with_someone_else(in_process, engine: Engine, caplog):
    """Its transaction is the one that PostgreSQL ends; the other's goes through."""
    bridge = in_process(bridge_lanes=1)
    # one key, one partition: both streams are in one transaction
    records = [(b"same", reading(f"ENGINE_00{n % 2}", n)) for n in range(20)]
    sent = bridge.scene.produce(records[:10])
    bridge.run_until(lambda: bridge.scene.accounted() == sent, "both streams have a state")
    lock = text("UPDATE stream_states SET updated_at = now() WHERE asset_id = :asset")
    locked, done = threading.Event(), threading.Event()

    def other() -> None:
        with engine.begin() as connection:
            # only whoever waits longer than this looks for a deadlock, and gives up
            connection.execute(text("SET LOCAL deadlock_timeout = '30s'"))
            connection.execute(lock, {"asset": "ENGINE_001"})
            locked.set()
            wait_until(lambda: bridge.scene.sql(WAITING)[0][0], "the batch waits for this one")
            connection.execute(lock, {"asset": "ENGINE_000"})
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert locked.wait(20)
    sent += bridge.scene.produce(records[10:])
    bridge.run_until(lambda: bridge.scene.accounted() == sent, "all accounted for")
    thread.join(20)
    assert done.is_set()
    assert "deadlock detected" in caplog.text
    bridge.finish(sent)
    assert bridge.scene.count("dead_letters") == 0


def test_partitions_move_while_readings_are_stored(in_process, engine: Engine):
    """Rows go from the default partition to their own; an onlooker misses none at any time."""
    bridge = in_process(bridge_batch_max=20)
    sent = bridge.scene.produce(plant(1200))
    stop, seen, made = threading.Event(), [0], []

    def look() -> None:
        while not stop.is_set():
            seen.append(bridge.scene.count("anomaly_detections"))

    def move() -> None:
        wait_until(lambda: bridge.scene.count("anomaly_detections_default") > 100, "rows to move")
        made.extend(ensure_partitions(engine, datetime(2026, 1, 1, tzinfo=UTC), unit="day"))

    threads = [threading.Thread(target=work) for work in (look, move)]
    for thread in threads:
        thread.start()
    bridge.run_until(lambda: bridge.scene.accounted() >= sent, "all accounted for")
    threads[1].join(60)
    stop.set()
    threads[0].join(20)
    assert len(made) == 4
    assert seen == sorted(seen)
    assert bridge.scene.count("anomaly_detections_default") == 0
    bridge.finish(sent)
    assert not bridge.scene.sql("SELECT 1 FROM dead_letters WHERE reason = 'unprocessable'")


def test_a_read_only_database_is_one_outage(in_process, engine: Engine, postgres_server, caplog):
    """As a standby that took over, or a full disk: queries are answered, nothing is stored."""
    name = engine.url.database
    others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    bridge = in_process(bridge_lanes=1)
    records = plant(60)
    first = bridge.scene.produce(records[:30])
    bridge.run_until(lambda: bridge.scene.accounted() == first, "the first are stored")
    run_admin(
        postgres_server, f"ALTER DATABASE {name} SET default_transaction_read_only = on", others
    )
    sent = first + bridge.scene.produce(records[30:])
    calls = len(bridge.service.calls)
    bridge.run_until(lambda: len(bridge.service.calls) >= calls + 6, "tried again and again")
    assert bridge.scene.accounted() == first
    assert "works again" not in caplog.text.partition("read-only transaction")[2]
    assert caplog.text.count("read-only transaction") == 1
    run_admin(postgres_server, f"ALTER DATABASE {name} RESET default_transaction_read_only", others)
    bridge.finish(sent)
    assert "database: works again" in caplog.text


def test_busy_or_slow_service_is_waited_for_as_long_as_it_asks(in_process):
    bridge = in_process(bridge_lanes=1)
    wait = {"retry-after": "0.7"}
    bridge.service.answers += [
        refusal(429, "busy", **wait), refusal(503, "no_model", **wait),
        httpx.ReadTimeout("slow"), *[httpx.ReadError("reset")] * 4,
    ]  # fmt: skip
    bridge.finish(bridge.scene.produce(plant(50)))
    first, second, third, *_ = bridge.service.calls
    assert second - first >= 0.7
    assert third - second >= 0.7
    assert bridge.scene.count("dead_letters") == 2  # what plant() puts in


def test_one_record_for_which_the_whole_batch_is_refused(in_process):
    bridge = in_process(bridge_lanes=1)

    def rule(body: dict[str, Any]) -> httpx.Response | None:
        assets = {stream["asset_id"] for stream in body["streams"]}
        return refusal(422, "invalid_input") if "CRASH" in assets else None

    bridge.service.rule = rule
    records = plant(60, bad_every=0)
    records.insert(30, (b"ENGINE_003", reading("CRASH", 1)))
    bridge.finish(bridge.scene.produce(records))
    letters = bridge.scene.sql("SELECT reason, asset_id FROM dead_letters")
    assert [tuple(row) for row in letters] == [("unprocessable", "CRASH")]


def test_records_that_are_refused_at_the_heads_of_all_partitions(in_process):
    """They take turns: none may wait for another to fail five times in a row."""
    bridge = in_process(bridge_lanes=1)

    def rule(body: dict[str, Any]) -> httpx.Response | None:
        assets = {stream["asset_id"][:5] for stream in body["streams"]}
        return refusal(422, "invalid_input") if "CRASH" in assets else None

    bridge.service.rule = rule
    crashes = [f"CRASH-{letter}" for letter in "ABCDEFGH"]
    records = [(asset.encode(), reading(asset, 1)) for asset in crashes]
    bridge.finish(bridge.scene.produce([*records, *plant(60, bad_every=0)]))
    letters = bridge.scene.sql("SELECT reason, asset_id FROM dead_letters ORDER BY 2")
    assert [tuple(row) for row in letters] == [("unprocessable", asset) for asset in crashes]
    assert len({place for (place, _), _ in bridge.scene.sent[: len(crashes)]}) > 1


def test_rows_that_are_stored_already_at_the_heads_of_two_partitions(in_process, engine: Engine):
    """A table restored from a backup that is newer than the account."""
    bridge = in_process(bridge_lanes=1)
    stage = bridge.scene
    sent = stage.produce(plant(60, bad_every=0))
    bridge.run_until(lambda: stage.accounted() == sent, "all accounted for")
    bridge.stop()
    with engine.begin() as connection:
        connection.execute(text("UPDATE source_offsets SET next_offset = 0"))
        connection.execute(text("DELETE FROM anomaly_detections WHERE source_offset > 1"))
        connection.execute(text("TRUNCATE stream_states"))
    again = in_process.again(bridge)
    again.run_until(lambda: stage.accounted() == sent, "all accounted for once more")
    again.run_until(again.drained, "drained")
    stage.check_account()


def test_partitions_are_made_at_the_start_and_ten_minutes_later():
    clock = [datetime(2026, 1, 1, 12, tzinfo=UTC)]
    made: list[datetime] = []
    failures = [StorageUnavailable("away")]

    def make() -> list[str]:
        if failures:
            raise failures.pop()
        made.append(clock[0])
        return []

    maintainer = TablePartitionMaintainer(make, Outage("partitions"), lambda: clock[0])
    assert maintainer.step() < 1  # tried again soon
    assert maintainer.step() == 60
    assert made == clock
    clock[0] += timedelta(minutes=9)
    maintainer.step()
    assert len(made) == 1
    clock[0] += timedelta(minutes=1)
    maintainer.step()
    assert made[1:] == clock
    clock[0] -= timedelta(days=300)  # the clock was wrong, and has been set
    maintainer.step()
    assert made[2:] == clock


def test_a_reading_that_another_bridge_stored_from_another_partition_is_a_duplicate(in_process):
    """This bridge met the stream first; producers without a key then sent it elsewhere too."""
    bridge = in_process(bridge_lanes=1)
    stage = bridge.scene
    stage.produce([(b"k", reading("A", number)) for number in range(3)])
    bridge.run_until(lambda: stage.accounted() == 3, "the stream is met")
    topic_id, mine = stage.sql("SELECT topic_id, partition FROM source_offsets "
                               "WHERE next_offset = 3")[0]  # fmt: skip
    theirs = (mine + 1) % 3
    same = orjson.loads(reading("A", 3))
    stored = {
        **same, "final_score": 0.1, "is_anomaly": False, "criticality": "low", "scores": [],
        "metadata": {"window": "added"},
    }  # fmt: skip
    with transaction(stage.engine) as connection:
        row = detection_row(stored, topic_id=topic_id, partition=theirs, offset=0)
        insert_detections(connection, [row])
        at = datetime.fromisoformat(same["timestamp"])
        state = StoredState(("A", "S1", ""), topic_id, theirs, {"n": 1}, at, 5, "stub-1")
        save_states(connection, [state])
    stage.produce([(b"k", reading("A", number)) for number in (3, 4)])
    bridge.run_until(lambda: stage.accounted() == 6, "all accounted for")
    letters = stage.sql("SELECT reason, original_id FROM dead_letters")
    assert [tuple(letter) for letter in letters] == [("duplicate", row["id"])]
    bridge.run_until(lambda: bridge.value("bridge_streams_spread") == 1, "the metric says so")


def test_records_compressed_in_any_of_kafkas_ways_are_read(in_process):
    bridge = in_process(bridge_lanes=1)
    records, codecs = plant(80, bad_every=0), ("gzip", "snappy", "lz4", "zstd")
    for number, codec in enumerate(codecs):
        part = records[20 * number : 20 * number + 20]
        bridge.scene.produce(part, compression_type=codec)
    bridge.finish(len(records))
    assert bridge.scene.count("anomaly_detections") == len(records)


@contextmanager
def damaged(broker: Broker, topic: str, mark: bytes) -> Iterator[int]:
    """One bit of a record turned in the broker's file, and back at the end; its partition."""
    (log,) = [log for log in broker.logs(topic) if mark in log.read_bytes()]

    def turn() -> None:
        at = log.read_bytes().index(mark)
        with log.open("r+b") as file:
            file.seek(at + len(mark))
            byte = file.read(1)[0] ^ 1
            file.seek(at + len(mark))
            file.write(bytes([byte]))

    turn()
    yield int(log.parent.name.rsplit("-", 1)[1])
    turn()


def elsewhere(stage: Scene, at: int) -> int:
    """Return how many records of other partitions than ``at`` are accounted for."""
    tables = ("anomaly_detections", "dead_letters")
    each = (f"SELECT count(*) FROM {table} WHERE partition <> :at" for table in tables)
    return sum(int(stage.sql(query, at=at)[0][0]) for query in each)


def test_a_damaged_batch_is_waited_for_and_no_other_partition_waits(in_process, one_broker, caplog):
    if not one_broker.keeps_data:
        pytest.skip("the embedded broker keeps no file that could be damaged")
    bridge = in_process(bridge_lanes=1)
    stage = bridge.scene
    sent = stage.produce([*plant(90), (b"M", reading("MARKED", 1))])
    with damaged(one_broker, stage.topic, b'"asset_id":"MARKED') as at:
        rest = sum(1 for place, _ in stage.sent if place[0] != at)
        bridge.run_until(lambda: "cannot be read" in caplog.text, "the damage is logged")
        # an earlier batch of the same partition may be whole, and its records stored
        bridge.run_until(lambda: elsewhere(stage, at) == rest, "the other partitions go on")
        paused = {"state": "paused", "why": "unreadable"}
        bridge.run_until(lambda: bridge.value("bridge_state", **paused) == 1, "the metric says so")
    bridge.finish(sent)
    assert "works again" in caplog.text


def test_names_that_look_alike_are_told_once_and_kept_apart(in_process, caplog):
    bridge = in_process(bridge_lanes=1)
    sent = [(b"A", reading("A", n)) for n in range(3)]
    sent += [(b"A ", reading("A ", n)) for n in range(3)]
    bridge.finish(bridge.scene.produce(sent))
    assert caplog.text.count("looks like") == 1
    assert "'A '" in caplog.text
    assets = bridge.scene.sql("SELECT asset_id, count(*) FROM anomaly_detections GROUP BY 1")
    assert sorted(map(tuple, assets)) == [("A", 3), ("A ", 3)]
