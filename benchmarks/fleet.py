"""Spark beside one process: readings per second and core, fits per core-minute, memory per worker.

    python -m benchmarks.fleet [--streams 16] [--readings 40000] [--long 5000000] [--groups 6]

One run, one bundle of three detectors at full size on 24 features. Rates are per second of CPU of
all processes, the Java process included where there is one, so that other work on the machine moves
them little: in one process, and in two at once, as `training.backtest` scores, from arrays, results
dropped; in the same way what a worker of Spark does, without Spark: from Parquet to the rows of the
tables; over HTTP as the bridge's batches (CPU of the service alone); `fleet.score` with 1 and 2
tasks from Parquet to the rows of its tables, warm, as in a history of many readings; and the whole
command, with the start of Java and its workers and the tables written. Then fits of groups, the
peak of a worker's resident memory on one long stream, and what a year of 10,000 streams at 1 Hz
would cost.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import orjson
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.pipeline import FEATURES, cpu_seconds, fit_bundle
from datasets import Stream, load
from fleet import stream_scoring
from fleet.frames import MARK, Form
from models.bundles.bundle import Bundle
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.registry.base import CHAMPION, open_registry
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from runtime import run_command, settle_memory
from tests.fixtures.own_postgres import OwnPostgres
from tests.fixtures.service import Service
from training.fitting.parallel_fit import one_thread
from training.fitting.stream_scores import readings_of

ROOT = Path(__file__).resolve().parents[1]
YEAR = 10_000 * 365 * 86_400  # readings
_BATCH = 1000
_WARM_UPS = 3  # until Java's compiler has little left to do

_start: Any = None  # in a process of `alone`: where all begin together


@dataclass
class Rate:
    """What one way of scoring, or fitting, came to."""

    name: str
    count: int
    cpu_s: float
    wall_s: float
    beside: Sequence[Rate] = ()  # what it is compared with, besides the first of its table

    @property
    def per_core(self) -> float:
        """Per second of CPU."""
        return self.count / self.cpu_s


def timed(name: str, count: int, pid: int, work: Callable[[], object]) -> Rate:
    began, before = time.perf_counter(), cpu_seconds(pid)
    work()
    return Rate(name, count, cpu_seconds(pid) - before, time.perf_counter() - began)


def streams_of(number: int, readings: int, seed: int = 5) -> list[Stream]:
    """Streams like those that the bundle was fitted on."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2026-01-01", "us") + np.arange(readings) * np.timedelta64(1, "s")
    return [Stream(f"A{i:04}", None, times, rng.normal(size=(readings, 24))) for i in range(number)]


def table_of(streams: Sequence[Stream], names: Sequence[str] = FEATURES) -> pa.Table:
    """Wide."""
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
        for batch in pq.ParquetFile(path).iter_batches(4 * _BATCH):
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
    """Rate of one process without Spark, or of several at once, each with its share of streams."""
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
    """CPU and wall seconds of one process, after one stream that has all compiled."""
    one_thread()
    bundle = Bundle.load(folder)
    settle_memory()
    way(bundle, files[:1])()
    run = way(bundle, files)
    _start.wait()
    began, before = time.perf_counter(), time.process_time()
    run()
    return time.process_time() - before, time.perf_counter() - began


def service(stack: ExitStack, folder: Path, bundle: Path, streams: Sequence[Stream]) -> Rate:
    """The bridge's own call: batches of 1,000 readings, states and windows carried along."""
    (folder / "postgres").mkdir()
    server = OwnPostgres(folder / "postgres")
    url = server.url.replace("postgresql://", "postgresql+psycopg2://", 1)
    made = Service(folder / "var-service", url, JOURNAL_REST="none")
    made.promote(bundle)
    try:
        made.start()
        pid = made.processes()[0].pid

        def run(chosen: Sequence[Stream]) -> None:
            for stream in chosen:
                state, window = None, list[list[object]]()
                points = [[p.timestamp.isoformat(), *p.features.values()]
                          for p in readings_of(stream, FEATURES) if p.timestamp]  # fmt: skip
                for start in range(0, len(points), _BATCH):
                    rows = points[start : start + _BATCH]
                    one = {
                        "asset_id": stream.asset_id, "sensor_id": None, "feature": None,
                        "criticality": "medium", "state": state,
                        "window": {"names": FEATURES, "rows": window},
                        "readings": {"names": FEATURES, "rows": rows},
                    }  # fmt: skip
                    body = orjson.dumps({"streams": [one], "echo": False})
                    answer = orjson.loads(client.post("/detect/streams", content=body).content)
                    state = answer["streams"][0]["state"]
                    window = rows[-answer["streams"][0]["window_length"] :]

        client = stack.enter_context(made.client())
        run([streams[0].take(slice(_BATCH))])
        total = sum(len(one.timestamps) for one in streams)
        return timed("/detect/streams", total, pid, lambda: run(streams))
    finally:
        made.stop()
        server.close()


def spark_rates(data: Path, bundle: Path, total: int) -> list[Rate]:
    """``fleet.score`` without the Parquet at its end, by 1 and by 2 tasks; warm."""
    from fleet.frames import parquet, with_states
    from fleet.score import parser, scored
    from fleet.spark import ship, spark_session

    given = parser().parse_args(["--data", "-", "--out", "-", "--master", "local[2]"])
    with spark_session("benchmark", given) as session:
        name = ship(session, bundle)
        history = parquet(session, str(data))
        plan = stream_scoring.Plan(name, "1", history.form, ScoringPolicy())

        def run(into: int) -> None:
            frame = scored(with_states(session, history, None), plan, into)
            frame.write.format("noop").mode("overwrite").save()

        for _ in range(_WARM_UPS):
            run(2)
        return [
            timed(f"Spark, {into} tasks", total, os.getpid(), partial(run, into)) for into in (1, 2)
        ]


def command(var_dir: Path, *arguments: str) -> tuple[float, float]:
    """CPU seconds of a command and all below it, and its largest Python worker's peak in MB."""
    environment = {
        **os.environ, "VAR_DIR": str(var_dir), "MLFLOW_ENABLED": "false", "OMP_NUM_THREADS": "1",
        "BENTOML_HOME": str(var_dir / "bentoml"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    used = peak = 0.0
    process = subprocess.Popen([sys.executable, "-m", *arguments], env=environment, cwd=ROOT,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    while process.poll() is None:
        try:
            used = max(used, cpu_seconds(process.pid))
            for one in psutil.Process(process.pid).children(recursive=True):
                if "pyspark.daemon" in one.cmdline():
                    peak = max(peak, one.memory_info().rss / 2**20)
        except psutil.Error:
            pass
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{arguments[0]} ended with {process.returncode}")
    return used, peak


def whole(folder: Path, total: int) -> tuple[Rate, float]:
    """The command itself, on two cores; and bytes of results per reading."""
    champion(folder / "var-score", folder / "bundle")
    began = time.perf_counter()
    given = ["--data", str(folder / "data"), "--out", str(folder / "scored")]
    used, _ = command(folder / "var-score", "fleet.score", *given, "--master", "local[2]")
    written = sum(p.stat().st_size for p in (folder / "scored/readings").rglob("*.parquet"))
    return Rate("the whole command", total, used, time.perf_counter() - began), written / total


def fits(folder: Path, groups: int, readings: int) -> list[Rate]:
    """The same groups by ``training.fit``, one after another, and by ``fleet.fit``.

    Each also with one group alone, which tells the start from what a group costs.
    """
    found, further = [], []
    for name, more in (("training.fit", ["--jobs", "1", "--no-native"]),
                       ("fleet.fit", ["--master", "local[1]"])):  # fmt: skip
        done = []
        for n in (1, groups):
            path = folder / f"groups-{n}.parquet"
            pq.write_table(table_of(streams_of(n, readings)), path)
            given = ["--data", str(path), "--group-by", "asset_id"]
            began = time.perf_counter()
            used, _ = command(folder / f"{name}-{n}", name, *given, *more)
            done.append(Rate(name, n, used, time.perf_counter() - began))
        one, all_ = done
        found.append(all_)
        further.append(Rate(f"{name}, further groups", groups - 1, all_.cpu_s - one.cpu_s,
                            all_.wall_s - one.wall_s))  # fmt: skip
    return [*found, *further]


def long_stream(folder: Path, readings: int) -> float:
    """Peak MB of the worker on one stream.

    Four features and one small detector: what a worker holds does not depend on the detectors, and
    millions of readings take a while.
    """
    names = FEATURES[:4]
    (normal,) = streams_of(1, 2000)
    options = FitOptions(models=("isolation_forest",), folds=2, isolation_forest={"n_trees": 10})
    model_set, _ = fit_model_set([normal.values[:, :4]], [normal.timestamps], names, options)
    Bundle({"default": model_set}).save(folder / "small")
    champion(folder / "var-long", folder / "small")
    path = folder / "long.parquet"
    with pq.ParquetWriter(path, table_of([normal], names).schema) as writer:
        for part in range(0, readings, 100_000):
            (chunk,) = streams_of(1, min(100_000, readings - part), seed=part)
            at = chunk.timestamps + np.timedelta64(part, "s")
            writer.write_table(table_of([Stream("LONG", None, at, chunk.values)], names))
    out = folder / "long-out"
    given = ["--data", str(path), "--out", str(out), "--master", "local[1]"]
    return command(folder / "var-long", "fleet.score", *given)[1]


def champion(var_dir: Path, bundle: Path) -> None:
    registry = open_registry(None, "anomaly-detection", var_dir)
    registry.set_alias(CHAMPION, registry.register(bundle))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--readings", type=int, default=40_000, help="of each stream")
    parser.add_argument("--groups", type=int, default=6, help="to fit, two at least; 0: none")
    parser.add_argument("--group-readings", type=int, default=2_000)
    parser.add_argument(
        "--long", type=int, default=5_000_000, help="readings of one stream; 0: none"
    )
    args = parser.parse_args()
    console = Console(width=120)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        fit_bundle(folder / "bundle", np.random.default_rng(1))
        streams = streams_of(args.streams, args.readings)
        (folder / "data").mkdir()
        for one in streams:
            pq.write_table(table_of([one]), folder / "data" / f"{one.asset_id}.parquet")
        total = args.streams * args.readings
        ways = {"arrays in, results dropped": from_arrays, "Parquet to rows": from_parquet}
        plain = [
            [
                printed(console, alone(f"{n} x one process, {name}", way, folder, total, n))
                for n in (1, 2)
            ]
            for name, way in ways.items()
        ]
        spark = [
            printed(console, one) for one in spark_rates(folder / "data", folder / "bundle", total)
        ]
        for one, *beside in zip(spark, *plain, strict=True):
            one.beside = beside
        done, size = whole(folder, total)
        over_http = service(stack, folder, folder / "bundle", streams)
        rates = [*(rate for both in plain for rate in both), over_http, *spark, done]
        show(console, "Scoring", "readings per core-second", rates, 1.0)
        rate = spark[-1].per_core
        if args.groups > 1:
            fitted = fits(folder, args.groups, args.group_readings)
            show(console, "Fitting", "fits per core-minute", fitted, 60.0)
        year(console, rate, size)
        if args.long:
            peak = long_stream(folder, args.long)
            console.print(f"one stream of {args.long:,} readings: worker's peak {peak:.0f} MB")
    return 0


def printed(console: Console, rate: Rate) -> Rate:
    console.print(f"{rate.name}: {rate.per_core:,.0f} readings per core-second")
    return rate


def show(console: Console, title: str, unit: str, rates: Sequence[Rate], seconds: float) -> None:
    """Print rates beside the first."""
    table = Table(title=title, title_justify="left")
    for name in ("", unit, "of the first", "CPU s", "wall s"):
        table.add_column(name, justify="right" if name else "left")
    for one in rates:
        table.add_row(one.name, f"{seconds * one.per_core:,.1f}",
                      f"{one.per_core / rates[0].per_core:.2f}", f"{one.cpu_s:.1f}",
                      f"{one.wall_s:.1f}")  # fmt: skip
    console.print(table)
    for one in rates:
        for other in one.beside:
            console.print(f"{one.name}: {one.per_core / other.per_core:.2f} of {other.name}")


def year(console: Console, rate: float, size: float) -> None:
    """Print what 10,000 streams at 1 Hz for a year would take, out of the figures above."""
    hours = YEAR / rate / 3600
    console.print(
        f"10,000 streams at 1 Hz for a year are {YEAR:.3g} readings: {hours:,.0f} core-hours"
        f" ({hours / 24 / 256:,.1f} days on 256 cores), {YEAR * 24 * 8 / 1e12:,.1f} TB of values in"
        f" memory's form, {YEAR * size / 1e12:,.1f} TB of results"
    )


if __name__ == "__main__":
    run_command(main)
