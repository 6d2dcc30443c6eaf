"""Score without Spark, in one process or several: what the rates of Spark are compared with."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.pipeline import FEATURES, cpu_seconds
from datasets import Stream, load
from fleet import stream_scoring
from fleet.frames import MARK, Form
from models.bundles.bundle import Bundle
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from runtime import settle_memory
from training.fitting.parallel_fit import one_thread
from training.fitting.stream_scores import readings_of

BATCH = 1000

_start: Any = None  # in a process of `alone`: the barrier where all begin together


@dataclass
class Rate:
    """CPU and wall time of one way of scoring or fitting."""

    name: str
    count: int
    cpu_s: float
    wall_s: float
    beside: Sequence[Rate] = ()  # what it is compared with, besides the first of its table

    @property
    def per_core(self) -> float:
        """Return the count per second of CPU."""
        return self.count / self.cpu_s


def timed(name: str, count: int, pid: int, work: Callable[[], object]) -> Rate:
    """Run ``work`` and return the CPU time of process ``pid`` and its children meanwhile."""
    began, before = time.perf_counter(), cpu_seconds(pid)
    work()
    return Rate(name, count, cpu_seconds(pid) - before, time.perf_counter() - began)


def streams_of(number: int, readings: int, seed: int = 5) -> list[Stream]:
    """Return streams like those that the bundle was fitted on."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2026-01-01", "us") + np.arange(readings) * np.timedelta64(1, "s")
    return [Stream(f"A{i:04}", None, times, rng.normal(size=(readings, 24))) for i in range(number)]


def table_of(streams: Sequence[Stream], names: Sequence[str] = FEATURES) -> pa.Table:
    """Return the streams as one table in wide form."""
    return pa.concat_tables(
        pa.table(
            {
                "asset_id": pa.array([one.asset_id] * len(one.timestamps)),
                "timestamp": pa.array(one.timestamps, pa.timestamp("us", "UTC")),
                **{name: one.values[:, j] for j, name in enumerate(names)},
            }
        )
        for one in streams
    )


def from_arrays(bundle: Bundle, files: Sequence[Path]) -> Callable[[], None]:
    """Score as `training.backtest` does; results are dropped."""
    streams = [stream for path in files for stream in load(path, FEATURES).streams]

    def run() -> None:
        for stream in streams:
            points = readings_of(stream, FEATURES)
            asset = (stream.asset_id, None, None)
            for _ in replay(bundle.model_set("default"), asset, points, ScoringPolicy()):
                pass

    return run


def from_parquet(bundle: Bundle, files: Sequence[Path]) -> Callable[[], None]:
    """Do what a worker of Spark does, from Parquet to the rows of the tables, without Spark."""
    columns = tuple(MARK + name for name in FEATURES)
    plan = stream_scoring.Plan("", "1", Form("wide", columns), ScoringPolicy())

    def batches(path: Path) -> Iterator[pa.RecordBatch]:
        for batch in pq.ParquetFile(path).iter_batches(4 * BATCH):
            state = pa.nulls(len(batch), pa.string())
            found = [batch.column(name) for name in ("timestamp", *FEATURES)]
            yield pa.RecordBatch.from_arrays([*found, state], names=["at", *columns, "state"])

    def run() -> None:
        with patch.object(stream_scoring, "shipped", lambda *_: bundle):
            for path in files:
                for _ in stream_scoring.score_stream(plan, (path.stem, "", ""), batches(path)):
                    pass

    return run


Way = Callable[[Bundle, Sequence[Path]], Callable[[], None]]


def alone(name: str, way: Way, folder: Path, total: int, at_once: int) -> Rate:
    """Measure one process without Spark, or several at once, each with its share of the streams."""
    files = sorted((folder / "data").iterdir())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, context, _meet_at, (context.Barrier(at_once),)) as pool:
        shares = [files[i::at_once] for i in range(at_once)]
        used = list(pool.map(partial(_share, way, folder / "bundle"), shares))
    return Rate(name, total, sum(cpu for cpu, _ in used), max(wall for _, wall in used))


def _meet_at(start: Any) -> None:
    global _start
    _start = start


def _share(way: Way, folder: Path, files: Sequence[Path]) -> tuple[float, float]:
    """Return CPU and wall seconds of one process, after one stream as a warm-up."""
    one_thread()
    bundle = Bundle.load(folder)
    settle_memory()
    way(bundle, files[:1])()
    run = way(bundle, files)
    _start.wait()
    began, before = time.perf_counter(), time.process_time()
    run()
    return time.process_time() - before, time.perf_counter() - began
