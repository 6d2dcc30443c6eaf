"""What the service refuses: one record, one batch, or most of a topic."""

from __future__ import annotations

import signal

from tests.fixtures.records import plant, reading
from tests.fixtures.waiting import wait_until


def test_record_that_crashes_the_service_is_found_and_put_aside(one_scene, scoring):
    stage = one_scene(scoring().url)
    records = plant(200, bad_every=0)
    records.insert(60, (b"ENGINE_003", reading("CRASH", 1)))
    stage.produce(records)
    stage.drain()
    stage.check()
    letters = stage.sql("SELECT reason, asset_id FROM dead_letters")
    assert [tuple(row) for row in letters] == [("unprocessable", "CRASH")]


def test_batch_too_large_for_the_service_is_split(one_scene, scoring):
    stage = one_scene(scoring(STUB_MAX_READINGS="16").url)
    stage.produce(plant(200))
    stage.drain()
    stage.check()
    assert not stage.sql("SELECT 1 FROM dead_letters WHERE reason = 'unprocessable'")


def test_topic_without_a_group_pauses_the_bridge_instead_of_emptying_it(one_scene, scoring):
    stage = one_scene(scoring().url)
    records = [(b"X", reading(f"NOGROUP{n % 5}", n)) for n in range(300)]
    stage.produce(records)
    pause = {"REFUSAL_WINDOW": "50", "BRIDGE_BATCH_MAX": "20", "REFUSAL_RETRY_S": "1"}
    paused = stage.bridge("--drain", **pause)
    assert paused.wait() == 3, paused.text()
    assert "REFUSAL_PAUSE=false" in paused.text()
    assert stage.accounted() < 100
    bridge = stage.bridge(**pause)
    wait_until(lambda: "set-up: " in bridge.text(), "the pause is logged")
    bridge.signal(signal.SIGTERM)
    assert bridge.wait() == 0
    stage.drain(**pause, REFUSAL_PAUSE="false")
    assert stage.count("dead_letters") == 300
    stage.check_account()
    stage.check_published()
