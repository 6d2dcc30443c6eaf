"""Measure the cost of verifying the broker's checksums: ``python -m benchmarks.checksums``.

kafka-python verifies the CRC-32C of each batch that the bridge fetches, using the package crc32c.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import orjson
from kafka.record._crc32c import crc as crc_in_python
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from runtime import run_command

RECORDS = 1000


def batch(draw: random.Random) -> bytes:
    """Return one batch of readings with 24 features, uncompressed, as sent by a broker."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=4 * 2**20)
    for number in range(RECORDS):
        features = {f"feature_{n:02}": round(draw.gauss(0, 1), 6) for n in range(24)}
        body = {"asset_id": "A", "features": features, "timestamp": "2026-01-01T00:00:00Z"}
        builder.append(timestamp=number, key=b"A", value=orjson.dumps(body))
    builder.close()
    return bytes(builder.buffer())


def timed(work: Callable[[], object], times: int) -> float:
    """Return the microseconds per record of the best of several runs."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return 1e6 * min(taken) / RECORDS


def main() -> int:
    data = batch(random.Random(1))
    view = memoryview(data)

    def take() -> None:
        records = MemoryRecords(data).next_batch()
        if records is None or sum(1 for _ in records) != RECORDS:
            raise RuntimeError("the batch cannot be read")

    print(f"us per record of {len(data) // RECORDS} bytes, best of several")
    print(f"  checksum by the package crc32c {timed(lambda: calc_crc32c(view), 50):>8.3f}")
    print(f"  checksum in Python             {timed(lambda: crc_in_python(view), 2):>8.3f}")
    print(f"  unpacking the batch            {timed(take, 10):>8.3f}")
    return 0


if __name__ == "__main__":
    run_command(main)
