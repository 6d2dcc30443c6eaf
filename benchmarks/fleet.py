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
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import orjson
import psutil  # type: ignore[import-untyped]
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.one_process import (
    BATCH,
    Rate,
    alone,
    from_arrays,
    from_parquet,
    streams_of,
    table_of,
    timed,
)
from benchmarks.pipeline import FEATURES, cpu_seconds, fit_bundle
from datasets import Stream
from fleet import stream_scoring
from models.bundles.bundle import Bundle
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.registry.base import CHAMPION, open_registry
from models.scoring.policy import ScoringPolicy
from runtime import run_command
from tests.fixtures.own_postgres import OwnPostgres
from tests.fixtures.service import Service
from training.fitting.stream_scores import readings_of

ROOT = Path(__file__).resolve().parents[1]
YEAR = 10_000 * 365 * 86_400  # readings
_WARM_UPS = 3  # until Java's compiler has little left to do


def service(stack: ExitStack, folder: Path, bundle: Path, streams: Sequence[Stream]) -> Rate:
    """Measure the bridge's own call: batches of 1,000 readings, with their states and windows."""
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
                for start in range(0, len(points), BATCH):
                    rows = points[start : start + BATCH]
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
        run([streams[0].take(slice(BATCH))])
        total = sum(len(one.timestamps) for one in streams)
        return timed("/detect/streams", total, pid, lambda: run(streams))
    finally:
        made.stop()
        server.close()


def spark_rates(data: Path, bundle: Path, total: int) -> list[Rate]:
    """Measure ``fleet.score`` without writing Parquet, by 1 and by 2 tasks, after warm-up runs."""
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
    """Run a command; return CPU seconds of all its processes, and MB of its largest worker."""
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
    """Measure the command itself on two cores, and the bytes of results per reading."""
    champion(folder / "var-score", folder / "bundle")
    began = time.perf_counter()
    given = ["--data", str(folder / "data"), "--out", str(folder / "scored")]
    used, _ = command(folder / "var-score", "fleet.score", *given, "--master", "local[2]")
    written = sum(p.stat().st_size for p in (folder / "scored/readings").rglob("*.parquet"))
    return Rate("the whole command", total, used, time.perf_counter() - began), written / total


def fits(folder: Path, groups: int, readings: int) -> list[Rate]:
    """Measure fits of the same groups by ``training.fit`` and by ``fleet.fit``.

    Each is also measured with one group, which separates the start from the cost of a group.
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
    """Return the peak memory (MB) of the worker that scores one long stream.

    Four features and one small detector save time: a worker's memory does not depend on them.
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
    """Print a table of rates, each also as a multiple of the first."""
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
    """Print what 10,000 streams at 1 Hz for a year would take, computed from the measured rates."""
    hours = YEAR / rate / 3600
    console.print(
        f"10,000 streams at 1 Hz for a year are {YEAR:.3g} readings: {hours:,.0f} core-hours"
        f" ({hours / 24 / 256:,.1f} days on 256 cores), {YEAR * 24 * 8 / 1e12:,.1f} TB of values in"
        f" memory's form, {YEAR * size / 1e12:,.1f} TB of results"
    )


if __name__ == "__main__":
    run_command(main)
