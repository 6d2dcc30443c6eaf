"""Every record is accounted for exactly once; killed between any two steps, too."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import orjson
import pytest

from db.session import make_engine
from tests.fixtures.crash_points import POINTS
from tests.fixtures.incidents import incidents_of, undisturbed_incidents
from tests.fixtures.records import plant, reading
from tests.fixtures.waiting import wait_until


def test_drain_accounts_for_every_record(scene, scoring):
    stage = scene(scoring().url)
    sent = stage.produce(plant(500))
    stage.drain()
    assert stage.accounted() == sent
    stage.check()


def test_kill_between_any_two_steps_changes_nothing(scene, scoring):
    stage = scene(scoring().url)
    stage.produce(plant(500))
    for point in POINTS:
        bridge = stage.bridge(BRIDGE_BATCH_MAX="30", CRASH_POINT=f"{point}:2", **stage.identity())
        assert bridge.wait() == -signal.SIGKILL, bridge.text()
    stage.drain(**stage.identity())
    stage.check()


def test_kill_between_any_two_steps_changes_no_incident(
    scene, scoring, new_database, migrated_template
):
    stage = scene(scoring().url)
    changed = stage.broker.topic(f"{stage.name}-incidents", 1)
    settings = {
        "KAFKA_PUBLISH": "incidents", "KAFKA_TOPIC_INCIDENTS": changed, "REOPEN_GAP_S": "30",
    }  # fmt: skip
    stage.produce(plant(500))
    for point in POINTS:
        bridge = stage.bridge(
            BRIDGE_BATCH_MAX="30", CRASH_POINT=f"{point}:2", **settings, **stage.identity()
        )
        assert bridge.wait() == -signal.SIGKILL, bridge.text()
    stage.drain(**settings, **stage.identity())
    stage.check_account()
    found = incidents_of(stage.engine)
    other = make_engine(new_database(migrated_template))
    try:
        assert found == undisturbed_incidents(stage.engine, other)
    finally:
        other.dispose()
    whats = Counter(entry[3] for entry in found["log"])
    assert {"opened", "joined", "escalated", "cleared"} <= set(whats)
    assert whats["opened"] == len(found["incidents"]) > 5
    # whole incidents, the newest version last; readings that opened one or were more severe
    newest = {}
    for message in stage.consume(changed):
        incident = orjson.loads(message.value)
        assert message.key.decode() == incident["id"]
        newest[incident["id"]] = (incident["version"], incident["state"])
    assert newest == {row[0]: (row[1], row[4]) for row in found["incidents"]}
    published = [orjson.loads(record.value) for record in stage.consume(stage.anomalies)]
    assert len({one["detection_id"] for one in published}) == whats["opened"] + whats["escalated"]
    assert stage.count("outbox") == 0


def test_late_readings_gaps_and_duplicates_after_a_restart(one_scene, scoring):
    stage = one_scene(scoring().url)
    numbers = [0, 1, 2, 5, 3, 6, 5000, 5001, 5000, 4, 5002]
    records = [(b"A", reading("A", number)) for number in numbers]
    changed = (b"A", reading("A", 5001, value=7.5))
    stage.produce(records[:8])
    stage.drain(**stage.identity())
    stage.produce([*records[8:], changed, records[3]])
    stage.drain(**stage.identity())
    stage.check()
    marks = [row[0] for row in stage.sql(
        "SELECT window_mark FROM anomaly_detections ORDER BY source_offset"
    )]  # fmt: skip
    added, late, again = "added", "left_out", "restarted"
    assert marks == [added, added, added, added, late, added, again, added, late, added, late]
    letters = stage.sql("SELECT reason, original_id FROM dead_letters ORDER BY source_offset")
    assert [row[0] for row in letters] == ["duplicate", "duplicate"]
    originals = {row[0] for row in stage.sql("SELECT id FROM anomaly_detections")}
    assert {row[1] for row in letters} <= originals


def test_sigterm_finishes_the_batch_in_hand(one_scene, scoring):
    stage = one_scene(scoring().url)
    stage.produce(plant(1000))
    bridge = stage.bridge(BRIDGE_BATCH_MAX="20")
    stage.wait_accounted(100)
    bridge.signal(signal.SIGTERM)
    assert bridge.wait() == 0, bridge.text()
    stage.drain()
    stage.check()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twenty_kills_in_twenty_thousand_records(scene, scoring, record_testsuite_property):
    stage = scene(scoring().url)
    sent = stage.produce(plant(20_000, streams=50))
    chance = random.Random(6)
    started = time.monotonic()
    for number in range(1, 21):
        bridge = stage.bridge(BRIDGE_BATCH_MAX="100", **stage.identity())
        stage.wait_accounted(sent * number // 22)
        time.sleep(chance.uniform(0, 0.2))
        bridge.kill()
    stage.drain(**stage.identity())
    stage.check()
    record_testsuite_property(f"soak_{stage.broker.kind}_seconds", time.monotonic() - started)
    wait_until(lambda: stage.count("outbox") == 0, "outbox empty")
