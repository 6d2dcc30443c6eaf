"""Baseline of the serving benchmark: FastAPI, one process, the libraries' calls per reading.

``/detect`` and ``/detect/batch`` call PyOD's ``decision_function`` twice and torch once for each
reading; ``/vectorised`` makes the same three calls once for a whole batch.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI
from pydantic import BaseModel
from pyod.models.iforest import IForest
from pyod.models.ocsvm import OCSVM
from sklearn.preprocessing import StandardScaler

from benchmarks.serving_data import FEATURES, NAMES, WINDOW, readings

torch.set_num_threads(1)
app = FastAPI()


class Reading(BaseModel):
    """One reading with its history."""

    asset_id: str
    sensor_id: str | None = None
    features: dict[str, float]
    timestamp: str | None = None
    history: list[dict[str, float]] = []


class Autoencoder(torch.nn.Module):  # type: ignore[misc]
    """The same network as the service's: 64-16-64."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.LSTM(FEATURES, 64, batch_first=True)
        self.code = torch.nn.Linear(64, 16)
        self.decoder = torch.nn.LSTM(16, 64, batch_first=True)
        self.out = torch.nn.Linear(64, FEATURES)

    def forward(self, x: Any) -> Any:
        _, (hidden, _) = self.encoder(x)
        code = self.code(hidden[0]).unsqueeze(1).expand(-1, x.shape[1], -1)
        return self.out(self.decoder(code)[0])


train = readings(10, 1000).reshape(-1, FEATURES)
scaler = StandardScaler().fit(train)
forest = IForest(n_estimators=100, random_state=0).fit(scaler.transform(train))
svm = OCSVM(nu=0.05).fit(scaler.transform(train))
autoencoder = Autoencoder().eval()
#: The streams' past in memory, which is possible with a single process.
PAST: defaultdict[str, deque[dict[str, float]]] = defaultdict(lambda: deque(maxlen=WINDOW - 1))
SCALED: defaultdict[str, deque[Any]] = defaultdict(lambda: deque(maxlen=WINDOW))
HIGH = [float(np.quantile(m.decision_scores_, 0.999)) for m in (forest, svm)] + [1.0]


def errors(windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the reconstruction error of the last reading of each window (n, w, d)."""
    with torch.no_grad():
        x = torch.from_numpy(windows.astype(np.float32))
        return np.asarray(((autoencoder(x) - x)[:, -1] ** 2).mean(1))


def result(reading: Reading, raw: list[float | None]) -> dict[str, Any]:
    """Return a detection result in the service's form."""
    scores = [
        {"model_name": name, "score": value, "threshold": high, "is_anomaly": value >= high}
        for name, value, high in zip(("if", "svm", "lstm"), raw, HIGH, strict=True)
        if value is not None
    ]
    final = float(np.mean([score["score"] for score in scores]))
    return {
        "asset_id": reading.asset_id,
        "sensor_id": reading.sensor_id,
        "timestamp": reading.timestamp,
        "scores": scores,
        "final_score": final,
        "is_anomaly": any(score["is_anomaly"] for score in scores),
        "features": reading.features,
    }


def row(features: dict[str, float]) -> list[float]:
    """Return the values in the models' order."""
    return [features[name] for name in NAMES]


def score_one(reading: Reading, past: list[dict[str, float]]) -> dict[str, Any]:
    """Score one reading by three library calls."""
    x = scaler.transform(np.array([row(reading.features)]))
    raw: list[float | None] = [
        float(forest.decision_function(x)[0]),
        float(svm.decision_function(x)[0]),
        None,
    ]
    window = [*past, reading.features][-WINDOW:]
    if len(window) == WINDOW:
        scaled = scaler.transform(np.array([row(features) for features in window]))
        raw[2] = float(errors(scaled[None])[0])
    return result(reading, raw)


@app.get("/readyz")
async def readyz() -> str:
    return "ok"


@app.post("/detect")
async def detect(reading: Reading) -> dict[str, Any]:
    return score_one(reading, reading.history)


@app.post("/detect/batch")
async def batch(batch: list[Reading]) -> list[dict[str, Any]]:
    found = []
    for reading in batch:
        history = PAST[reading.asset_id]
        found.append(score_one(reading, list(history)))
        history.append(reading.features)
    return found


@app.post("/vectorised")
async def vectorised(batch: list[Reading]) -> list[dict[str, Any]]:
    x = scaler.transform(np.array([row(reading.features) for reading in batch]))
    ends, windows = [], []
    for index, reading in enumerate(batch):
        history = SCALED[reading.asset_id]
        history.append(x[index])
        if len(history) == WINDOW:
            ends.append(index)
            windows.append(np.stack(history))
    lstm: list[float | None] = [None] * len(batch)
    if windows:
        for index, error in zip(ends, errors(np.stack(windows)).tolist(), strict=True):
            lstm[index] = error
    columns = zip(
        forest.decision_function(x).tolist(), svm.decision_function(x).tolist(), lstm, strict=True
    )
    return [result(r, list(raw)) for r, raw in zip(batch, columns, strict=True)]
