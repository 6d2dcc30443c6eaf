"""Small detectors and material for them, shared by the tests of detectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.detectors.base import Detector
from models.detectors.isolation_forest import IsolationForest
from models.detectors.lstm_autoencoder import LSTMAutoencoder
from models.detectors.one_class_svm import OneClassSVM

FEATURES = 5
WINDOW = 8
MAKERS: dict[str, Callable[[], Detector]] = {
    "isolation_forest": lambda: IsolationForest(n_trees=50, seed=3),
    "one_class_svm": lambda: OneClassSVM(max_rows=500, seed=3),
    "lstm_autoencoder": lambda: LSTMAutoencoder(
        window=WINDOW, hidden=12, epochs=4, batch_size=32, device="cpu", seed=3
    ),
}
UNBOUNDED = ("one_class_svm", "lstm_autoencoder")


def readings(n: int, seed: int) -> np.ndarray:
    """Normal operation: two slow movements seen by five sensors with noise."""
    draw = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    movement = np.sin(2 * np.pi * t / [25.0, 60.0] + draw.uniform(0, 6, 2))
    mixing = np.array([[1.0, 0.8, -0.5, 0.2, 0.9], [0.3, -0.7, 0.9, 1.1, 0.5]])
    noise = 0.3 * draw.normal(size=(n, FEATURES))
    return np.asarray(movement @ mixing + noise)


STREAMS = [readings(700, 1), readings(500, 2)]


def material(detector: Detector, n: int = 200, seed: int = 9) -> np.ndarray:
    """Rows or windows for ``detector``, the last reading of every fourth one at fault."""
    if detector.window == 1:
        x = readings(n, seed)
        x[::4, 2] += 4.0
        return x
    x = np.stack([readings(WINDOW, seed + i) for i in range(n)])
    x[::4, -1, 2] += 4.0
    return x
