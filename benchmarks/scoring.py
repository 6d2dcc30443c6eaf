"""Measure our scoring against the libraries': ``python -m benchmarks.scoring``.

Forest and SVM are compared with PyOD's ``decision_function``, the autoencoder with a full forward
pass of the same network in PyTorch, on one thread in one process. The two take turns, so that other
load slows both alike, and the best round of each counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyod.models.iforest import IForest
from pyod.models.ocsvm import OCSVM
from rich.console import Console
from rich.table import Table

from models.arrays import Floats
from models.detectors.base import Detector
from models.detectors.covariance import thin_out
from models.detectors.isolation_forest import IsolationForest
from models.detectors.lstm_autoencoder import LSTMAutoencoder
from models.detectors.one_class_svm import OneClassSVM
from runtime import run_command

Call = Callable[[], object]

_GOALS = {1: 60.0, 64: 2.0, 1000: 2.0}
_LOAD = """
import sys, time
from pathlib import Path
begun = time.perf_counter()
from models.detectors.isolation_forest import IsolationForest
from models.detectors.lstm_autoencoder import LSTMAutoencoder
from models.detectors.one_class_svm import OneClassSVM
imported = time.perf_counter()
for kind in (IsolationForest, OneClassSVM, LSTMAutoencoder):
    kind.load(Path(sys.argv[1]))
print(imported - begun, time.perf_counter() - imported)
"""


def readings(n: int, features: int, seed: int) -> Floats:
    """Return a simulated plant: a few slow movements behind all sensors, and noise."""
    draw = np.random.default_rng(seed)
    hidden = max(1, features // 4)
    t = np.arange(n)[:, None]
    movement = np.sin(2 * np.pi * t / np.linspace(20, 200, hidden) + draw.uniform(0, 6, hidden))
    mixing = np.random.default_rng(0).normal(size=(hidden, features))
    x = movement @ mixing / np.sqrt((mixing**2).sum(axis=0) / 2)
    return np.asarray(x + 0.3 * draw.normal(size=(n, features)))


def pairs(
    features: int, rows: int, epochs: int
) -> dict[str, tuple[Detector, Callable[[Any], Call]]]:
    """Return our fitted detectors, each with a factory of the library's call on the same input."""
    train = readings(rows, features, seed=1)
    forest = IsolationForest().fit([train])
    svm = OneClassSVM().fit([train])
    lstm = LSTMAutoencoder(epochs=epochs, device="cpu").fit([train])
    sampled = forest.coordinates(thin_out(train, forest.n_trees * forest.max_samples, forest.seed))
    iforest = IForest(n_estimators=100, max_samples=256, random_state=forest.seed).fit(sampled)
    chosen = svm.coordinates(thin_out(train, svm.max_rows, svm.seed))
    ocsvm = OCSVM(nu=svm.nu, gamma=svm._width).fit(chosen)
    network = lstm.network()

    def forward(x: Any) -> Call:
        def call() -> object:
            with torch.no_grad():
                return network(torch.from_numpy(x.astype(np.float32)))

        return call

    def library(model: Any, coordinates: Callable[[Any], Any]) -> Callable[[Any], Call]:
        return lambda x: lambda: model.decision_function(coordinates(x))

    return {
        "Isolation Forest": (forest, library(iforest, forest.coordinates)),
        "One-Class SVM": (svm, library(ocsvm, svm.coordinates)),
        "LSTM autoencoder": (lstm, forward),
    }


def seconds(call: Call, at_least: float) -> float:
    """Return the mean time of one call over as many calls as fill ``at_least`` seconds."""
    count, begun = 0, time.perf_counter()
    while True:
        call()
        count += 1
        spent = time.perf_counter() - begun
        if spent >= at_least:
            return spent / count


def compare(ours: Call, theirs: Call, rounds: int, at_least: float) -> tuple[float, float]:
    """Return the seconds of each call in its best round, measured in turns."""
    ours()
    theirs()
    turns = [(seconds(ours, at_least), seconds(theirs, at_least)) for _ in range(rounds)]
    mine, other = zip(*turns, strict=True)
    return min(mine), min(other)


def show(table: Table, name: str, n: int, ours: float, theirs: float) -> None:
    table.add_row(
        name,
        f"{n:,}",
        f"{ours * 1e6:,.1f}",
        f"{theirs * 1e6:,.1f}",
        f"{ours / n * 1e6:,.2f}",
        f"{theirs / n * 1e6:,.2f}",
        f"{theirs / ours:,.1f} x",
    )


def start(detectors: list[Detector]) -> tuple[float, float]:
    """Return the seconds to import, and to load and warm up all three, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        for detector in detectors:
            detector.save(Path(folder))
        command = [sys.executable, "-c", _LOAD, folder]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    imported, loaded = map(float, printed.split())
    return imported, loaded


def section(
    table: Table, models: dict[str, tuple[Detector, Callable[[Any], Call]]], n: int, options: Any
) -> None:
    """Add the table's rows for ``n`` readings at once."""
    lstm = models["LSTM autoencoder"][0]
    assert isinstance(lstm, LSTMAutoencoder)
    stream = readings(n + lstm.window - 1, options.features, seed=2)
    windows = np.lib.stride_tricks.sliding_window_view(stream, lstm.window, axis=0)
    x = {1: stream[-n:].copy(), lstm.window: windows.swapaxes(1, 2).copy()}
    total = np.zeros(2)
    for name, (detector, library) in models.items():
        given = x[detector.window]
        both = compare(
            partial(detector.score, given), library(given), options.rounds, options.seconds
        )
        total += both
        show(table, name, n, *both)
    show(table, f"[bold]all three (goal {_GOALS[n]:g} x)", n, total[0], total[1])
    table.add_section()


def main() -> None:
    parser = argparse.ArgumentParser(description="Scoring, ours beside the libraries'.")
    parser.add_argument("--features", type=int, default=24)
    parser.add_argument("--train-rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2, help="weights do not change the speed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each measurement")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=max(100, Console().width))
    models = pairs(options.features, options.train_rows, options.epochs)
    table = Table("detector", title=f"One thread, {options.features} features, microseconds")
    for column in ("rows", "ours", "library", "ours a row", "library a row", "ratio"):
        table.add_column(column, justify="right")
    for n in _GOALS:
        section(table, models, n, options)
    console.print(table)
    for which in ("first", "second"):
        imported, loaded = start([detector for detector, _ in models.values()])
        console.print(
            f"{which} start: import {imported:.2f} s, load and warm all three {loaded:.2f} s"
        )


if __name__ == "__main__":
    run_command(main)
