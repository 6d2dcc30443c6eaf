"""What all contestants of the serving benchmark share: readings, and a bundle trained on them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = 24
WINDOW = 30
NAMES = [f"feature_{i:02d}" for i in range(FEATURES)]
START = datetime(2026, 1, 1, tzinfo=UTC)


def readings(streams: int, length: int, seed: int = 0) -> NDArray[np.float64]:
    """Return correlated, autocorrelated readings (streams, length, FEATURES)."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(6, FEATURES))
    noise = rng.normal(size=(streams, length, 6))
    factors = np.zeros_like(noise)
    for t in range(1, length):
        factors[:, t] = 0.8 * factors[:, t - 1] + 0.6 * noise[:, t]
    values = factors @ mixing + 0.5 * rng.normal(size=(streams, length, FEATURES))
    found: NDArray[np.float64] = 50.0 + 3.0 * values
    return found


def items(
    streams: int, length: int, seed: int = 1, *, history: bool, name: str = "asset"
) -> list[dict[str, Any]]:
    """Return bodies of ``/detect``: one reading each, with the 29 before it as history."""
    values = readings(streams, length + WINDOW, seed).round(4)
    start = START + timedelta(minutes=WINDOW)  # after what is stored
    found = []
    for t in range(length):
        for s in range(streams):
            item: dict[str, Any] = {
                "asset_id": f"{name}-{s:03d}",
                "sensor_id": "S1",
                "features": dict(zip(NAMES, values[s, t + WINDOW].tolist(), strict=True)),
                "timestamp": (start + timedelta(minutes=t)).isoformat(),
            }
            if history:
                item["history"] = [
                    dict(zip(NAMES, row, strict=True))
                    for row in values[s, t + 1 : t + WINDOW].tolist()
                ]
            found.append(item)
    return found


def past(streams: int) -> list[dict[str, Any]]:
    """Return bodies of ``/detect/streams``: the readings that are stored before the benchmark."""
    values = readings(streams, WINDOW, seed=5).round(4)
    return [
        {
            "asset_id": f"asset-{s:03d}",
            "sensor_id": "S1",
            "readings": [
                {
                    "timestamp": (START + timedelta(minutes=t)).isoformat(),
                    "features": dict(zip(NAMES, row, strict=True)),
                }
                for t, row in enumerate(values[s].tolist())
            ],
        }
        for s in range(streams)
    ]


def bridge_body(streams: int, length: int, seed: int) -> dict[str, Any]:
    """Return a body of ``/detect/streams`` as the bridge sends it: full windows, compact form."""
    values = readings(streams, length + WINDOW, seed).round(4)
    rows = [
        [[(START + timedelta(minutes=t)).isoformat(), *row] for t, row in enumerate(stream)]
        for stream in values.tolist()
    ]
    return {
        "echo": False,
        "streams": [
            {
                "asset_id": f"asset-{s:03d}",
                "sensor_id": "S1",
                "state": None,
                "window": {"names": NAMES, "rows": rows[s][1:WINDOW]},
                "readings": {"names": NAMES, "rows": rows[s][WINDOW:]},
            }
            for s in range(streams)
        ],
    }


def make_bundle(var_dir: Path) -> Path:
    """Train the default bundle (100 trees, default SVM, 64-16-64 LSTM) and make it champion."""
    from errors import BundleError
    from models.bundles.bundle import Bundle
    from models.fitting.model_set_fit import fit_model_set
    from models.fitting.options import FitOptions
    from models.registry.base import CHAMPION, open_registry

    folder = var_dir / "bundle"
    try:
        Bundle.load(folder).model_set("default")
    except BundleError:  # none yet, or of an older format
        for name in ("bundle", "bundles", "registry"):
            shutil.rmtree(var_dir / name, ignore_errors=True)
        values = list(readings(10, 1000))
        times = np.datetime64("2025-01-01", "us") + np.arange(1000) * np.timedelta64(60, "s")
        # few epochs: weights change nothing about the speed
        options = FitOptions(window=WINDOW, folds=2, lstm_autoencoder={"epochs": 2})
        model_set, _ = fit_model_set(values, [times] * len(values), NAMES, options)
        Bundle({"default": model_set}).save(folder)
    registry = open_registry(None, "anomaly-detection", var_dir)
    if registry.alias(CHAMPION) is None:
        registry.set_alias(CHAMPION, registry.register(folder))
    return folder
