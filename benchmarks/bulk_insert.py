"""Measure rows per second into ``anomaly_detections``: COPY against SQLAlchemy's multi-row INSERT.

    python -m benchmarks.bulk_insert [--rows 20000] [--batch 1000] [--features 24]

Both store the same rows with 24 features and three scores, with all indices, one transaction per
batch, on a durable server.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from benchmarks.database import TOPIC, results, throw_away_database
from db.queries.copy import insert_detections
from db.queries.detections import detection_row
from db.session import transaction
from db.tables import AnomalyDetection
from runtime import run_command

Insert = Callable[[Connection, list[dict[str, Any]]], object]


def by_insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(AnomalyDetection.__table__.insert(), rows)  # type: ignore[attr-defined]


def rate(
    engine: Engine, store: Insert, made: list[dict[str, Any]], batch: int, topic: UUID
) -> float:
    """Return rows per second, including the conversion of results to rows."""
    began = time.perf_counter()
    for offset in range(0, len(made), batch):
        chunk = made[offset : offset + batch]
        rows = [
            detection_row(result, topic_id=topic, partition=0, offset=offset + i)
            for i, result in enumerate(chunk)
        ]
        with transaction(engine) as connection:
            store(connection, rows)
    return len(made) / (time.perf_counter() - began)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--features", type=int, default=24)
    parser.add_argument("--streams", type=int, default=200)
    arguments = parser.parse_args(argv)
    made = results(arguments.rows, arguments.features, arguments.streams)
    ways: dict[str, Insert] = {"COPY": insert_detections, "INSERT, many values": by_insert}
    rates: dict[str, float] = {}
    with throw_away_database() as engine:
        rate(engine, insert_detections, made[:1000], arguments.batch, TOPIC)
        for name, store in ways.items():
            rates[name] = rate(engine, store, made, arguments.batch, uuid4())
            print(f"{name:22} {rates[name]:8,.0f} rows/s")
    print(f"COPY is {rates['COPY'] / rates['INSERT, many values']:.1f} x as fast")


if __name__ == "__main__":
    run_command(main)
