"""Measure how long others wait while rows are moved out of the default partition.

    python -m benchmarks.partitions [--rows 100000]

Stores readings of one month, 24 features and three scores each, before the month has a partition;
then creates the partition, which moves the rows in one transaction that locks the table.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.database import START, TOPIC, results, throw_away_database
from db.partitions import ensure_partitions
from db.queries.copy import insert_detections
from db.queries.detections import detection_row
from db.session import transaction
from runtime import run_command

CHUNK = 5000


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.partitions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    stored = [
        detection_row(result, topic_id=TOPIC, partition=0, offset=offset)
        for offset, result in enumerate(results(args.rows, features=24, streams=200))
    ]
    with throw_away_database() as engine:
        for start in range(0, args.rows, CHUNK):
            with transaction(engine) as connection:
                insert_detections(connection, stored[start : start + CHUNK])
        began = time.perf_counter()
        made = ensure_partitions(engine, START, ahead=1)
        moved = time.perf_counter() - began
        began = time.perf_counter()
        ensure_partitions(engine, START, ahead=3)
        empty = (time.perf_counter() - began) / 2
    print(f"{args.rows:,} rows moved: {moved:.1f} s ({args.rows / moved:,.0f} rows/s; {made[0]})")
    print(f"a coming month without rows: {1000 * empty:.0f} ms")
    return 0


if __name__ == "__main__":
    run_command(main)
