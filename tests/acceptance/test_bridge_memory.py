"""A backlog of any length is worked off in the memory of a short one."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator

import orjson
import psutil  # type: ignore[import-untyped]
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaProducer

STREAMS = 500


def backlog(records: int) -> Iterator[tuple[bytes, bytes]]:
    """Small readings of many streams, a second apart in each."""
    for number in range(records):
        asset = f"A{number % STREAMS:03}"
        day, second = divmod(number // STREAMS, 86_400)
        hour, minute = second // 3600, second // 60 % 60
        stamp = f"2026-01-{1 + day:02}T{hour:02}:{minute:02}:{second % 60:02}Z"
        features = {"x": number % 17}
        yield (
            asset.encode(),
            orjson.dumps({"asset_id": asset, "features": features, "timestamp": stamp}),
        )


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_backlog_of_a_million_records_does_not_grow_memory(
    one_scene, scoring, record_testsuite_property
):
    """``SOAK_RECORDS`` makes it shorter. Resident memory in MB, by tenths of the backlog."""
    records = int(os.environ.get("SOAK_RECORDS", "1000000"))
    stage = one_scene(scoring().url)
    producer = KafkaProducer(
        bootstrap_servers=stage.broker.bootstrap, compression_type="lz4",
        batch_size=512 * 1024, linger_ms=50,
    )  # fmt: skip
    for number, (key, value) in enumerate(backlog(records), 1):
        producer.send(stage.topic, key=key, value=value)
        if number % 50_000 == 0:
            producer.flush(timeout=60)
    producer.flush(timeout=60)
    producer.close()

    bridge = stage.bridge("--drain")
    process, tenths, done = psutil.Process(bridge.pid), [0.0] * 10, 0
    started = time.monotonic()
    while bridge.running():
        try:
            resident = process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            break
        done = stage.sql("SELECT COALESCE(sum(next_offset), 0) FROM source_offsets")[0][0]
        tenth = min(9, int(10 * done / records))
        tenths[tenth] = max(tenths[tenth], resident)
        time.sleep(0.2)
    seconds = time.monotonic() - started
    assert bridge.wait() == 0, bridge.text()
    assert stage.accounted() == records
    print(f"\n{records} records in {seconds:.0f} s; MB: {[round(one) for one in tenths]}")
    record_testsuite_property("memory_mb_by_tenths", [round(one) for one in tenths])
    seen = [one for one in tenths[1:] if one]
    assert max(seen) < 1.15 * seen[0]
