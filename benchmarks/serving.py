"""Compare the service with common designs: ``python -m benchmarks.serving``.

Measures a baseline (FastAPI, the libraries' calls once per reading), the same vectorised, a bare
Starlette app as ceiling, and the service in both runner modes, on the same readings, machine and
run. They take turns, so that other load affects all alike; the medians of the rounds count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psutil  # type: ignore[import-untyped]

from benchmarks.database import stop
from benchmarks.http_load import Load, request, run
from benchmarks.serving_data import bridge_body, items, make_bundle, past
from db.embedded import embedded_url
from db.queries.copy import insert_detections
from db.queries.detections import detection_row
from db.queries.stream_states import StoredState, save_states
from db.session import make_engine, transaction
from runtime import run_command
from schemas import stream_key

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "/api/v1/anomalies"


@dataclass
class Contestant:
    """A server under test."""

    name: str
    port: int
    single: list[bytes]
    stored: list[bytes]
    batch: list[bytes]
    streams: list[bytes]
    seconds_to_ready: float
    process: subprocess.Popen[bytes]

    def processes(self) -> list[Any]:
        """Return the process and its descendants, except a database."""
        parent = psutil.Process(self.process.pid)
        held = [parent, *parent.children(recursive=True)]
        return [p for p in held if "postgres" not in p.name()]

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        return float(sum(sum(p.cpu_times()[:2]) for p in self.processes()))

    def memory(self) -> float:
        """Return the resident megabytes of the process and its descendants."""
        return float(sum(p.memory_info().rss for p in self.processes())) / 2**20


@contextmanager
def server(command: list[str], port: int, env: dict[str, str]) -> Iterator[tuple[Any, float]]:
    """Run a server; yield it with the seconds until it was ready."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL
    )
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with {process.returncode}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(60)


def uvicorn(app: str, port: int) -> list[str]:
    """Return the command of one bare worker."""
    return [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning"]


def start(stack: ExitStack, var_dir: Path, modes: list[str], base: int) -> list[Contestant]:
    """Start all servers under test."""
    bundle = make_bundle(var_dir)
    database = embedded_url(var_dir / "postgres", "benchmark").render_as_string(False)
    stack.callback(stop, var_dir / "postgres")  # before its folder goes
    single = [orjson.dumps(item) for item in items(50, 8, history=True)]
    stored = [orjson.dumps(item) for item in items(50, 4, history=False)]
    batch = [
        orjson.dumps(items(50, 20, seed=seed, history=False, name=f"new-{seed}"))
        for seed in (2, 3, 4)
    ]
    known = [orjson.dumps(items(50, 20, seed=seed, history=False)) for seed in (2, 3, 4)]
    streams = [orjson.dumps(bridge_body(50, 20, seed)) for seed in (2, 3, 4)]
    found = []
    for index, (name, command, env, prefix, path) in enumerate(
        _plans(var_dir, bundle, database, modes, base)
    ):
        port = base + index
        process, took = stack.enter_context(server(command, port, env))
        found.append(
            Contestant(
                name,
                port,
                [request(port, f"{prefix}/detect", body) for body in single],
                [request(port, f"{prefix}/detect", body) for body in stored] if prefix else [],
                [request(port, path, body) for body in batch] if path else [],
                [request(port, f"{prefix}/detect/streams", body) for body in streams]
                if prefix
                else [request(port, path, body) for body in known],
                took,
                process,
            )
        )
    return found


def _plans(
    var_dir: Path, bundle: Path, database: str, modes: list[str], base: int
) -> list[tuple[str, list[str], dict[str, str], str, str]]:
    """Return name, command, environment, prefix of paths and path of batches of each server."""
    plans: list[tuple[str, list[str], dict[str, str], str, str]] = [
        ("baseline", uvicorn("benchmarks.baseline_fastapi:app", base), {}, "", "/detect/batch"),
        (
            "ceiling",
            uvicorn("benchmarks.ceiling_starlette:app", base + 1),
            {"BUNDLE_DIR": str(bundle)},
            "",
            "",
        ),
    ]
    for index, mode in enumerate(modes):
        env = {
            "RUNNER_MODE": mode,
            "VAR_DIR": str(var_dir),
            "BENTOML_HOME": str(var_dir / f"bentoml-{mode}"),
            "DATABASE_URL": database,
            "MLFLOW_ENABLED": "false",
            "JOURNAL_REST": "none",
            "SERVICE_HOST": "127.0.0.1",
            "SERVICE_PORT": str(base + 2 + index),
        }
        bentoml = [str(Path(sys.executable).parent / "bentoml"), "serve"]
        plans.append((mode, bentoml, env, PREFIX, f"{PREFIX}/detect/batch"))
    return plans


def store_past(contestants: list[Contestant], var_dir: Path) -> None:
    """Store a full window of each stream, as the bridge would have."""
    port = next(c.port for c in contestants if c.stored)
    body = orjson.dumps({"streams": past(50)})
    url = f"http://127.0.0.1:{port}{PREFIX}/detect/streams"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
        streams = orjson.loads(answer.read())["streams"]
    engine = make_engine(embedded_url(var_dir / "postgres", "benchmark"))
    with transaction(engine) as connection:
        topic = uuid4()
        for number, stream in enumerate(streams):
            results = stream["results"]
            insert_detections(
                connection,
                [
                    detection_row(r, topic_id=topic, partition=0, offset=number * 1000 + n)
                    for n, r in enumerate(results)
                ],
            )
            key = stream_key(results[0]["asset_id"], results[0]["sensor_id"])
            last = datetime.fromisoformat(results[-1]["timestamp"])
            length = stream["window_length"]
            state = StoredState(key, topic, 0, stream["state"], last, length, None)
            save_states(connection, [state])
    engine.dispose()


def rounds(
    contestants: list[Contestant], number: int, measure: Callable[[Contestant], Load]
) -> dict[str, list[Load]]:
    """Measure every server in turn, ``number`` times; the first round only warms up."""
    found: dict[str, list[Load]] = {c.name: [] for c in contestants}
    for turn in range(number + 1):
        for contestant in contestants:
            before = contestant.cpu()
            load = measure(contestant)
            load.cpu_seconds = contestant.cpu() - before
            bad = {status: n for status, n in load.statuses.items() if status != 200}
            if bad:
                raise SystemExit(f"{contestant.name} answered {bad}")
            if turn:
                found[contestant.name].append(load)
    return found


def median(loads: list[Load], figure: Callable[[Load], float]) -> float:
    """Return the median of the rounds."""
    return statistics.median(figure(load) for load in loads)


def report(title: str, figures: dict[str, float], unit: str, *, less_is_better: bool) -> None:
    """Print a row per server: the figure, and how many times better than the baseline."""
    print(f"\n{title}", flush=True)
    base = figures["baseline"]
    for name, figure in figures.items():
        times = base / figure if less_is_better else figure / base
        print(f"  {name:22} {figure:10.2f} {unit:12} {times:8.2f} x baseline")


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--modes", nargs="*", default=["inprocess", "processes"])
    parser.add_argument("--port", type=int, default=18400)
    parser.add_argument("--var-dir", type=Path, help="keep the bundle there for the next run")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        var_dir = arguments.var_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        var_dir.mkdir(parents=True, exist_ok=True)
        contestants = start(stack, var_dir.absolute(), arguments.modes, arguments.port)
        store_past(contestants, var_dir.absolute())
        measure(contestants, arguments.rounds, arguments.seconds)


def bulk_load(which: int, seconds: float, contestant: Contestant) -> Load:
    """Measure batches of 1,000 readings: of new streams (1), or of streams with a past (2)."""
    bodies = contestant.batch if which == 1 else contestant.streams
    return run(contestant.port, bodies, concurrency=1, seconds=seconds)


def bulk(
    title: str, contestants: list[Contestant], number: int, measure: Callable[[Contestant], Load]
) -> None:
    """Print readings per second, and their CPU."""
    base = contestants[0]
    vectorised = replace(
        base, name="vectorised", batch=vector(base.batch), streams=vector(base.streams)
    )
    taking_part = [c for c in [base, vectorised, *contestants[1:]] if c.batch]
    loads = rounds(taking_part, number, measure)
    rate = {name: 1000 * median(found, lambda x: x.rate) for name, found in loads.items()}
    cpu = {name: 1e3 * median(found, lambda x: x.cpu) for name, found in loads.items()}
    title = f"1,000 readings of 50 streams, {title}"
    report(f"{title}: throughput", rate, "readings/s", less_is_better=False)
    report(f"{title}: CPU of the server", cpu, "us/reading", less_is_better=True)


def vector(requests: list[bytes]) -> list[bytes]:
    """Return the same bodies for the baseline's vectorised call."""
    return [r.replace(b"POST /detect/batch ", b"POST /vectorised ") for r in requests]


def single(concurrency: int, seconds: float, contestant: Contestant) -> Load:
    """Measure single readings with their history."""
    return run(contestant.port, contestant.single, concurrency=concurrency, seconds=seconds)


def measure(contestants: list[Contestant], number: int, seconds: float) -> None:
    """Run all measurements."""
    for concurrency in (1, 16):
        loads = rounds(contestants, number, partial(single, concurrency, seconds))
        latency = {
            name: 1e3 * median(found, lambda x: x.percentile(0.5)) for name, found in loads.items()
        }
        rate = {name: median(found, lambda x: x.rate) for name, found in loads.items()}
        title = f"single /detect with history, concurrency {concurrency}"
        report(f"{title}: median latency", latency, "ms", less_is_better=True)
        report(f"{title}: throughput", rate, "requests/s", less_is_better=False)
        cpu = {name: 1e3 * median(found, lambda x: x.cpu) for name, found in loads.items()}
        report(f"{title}: CPU of the server", cpu, "ms/request", less_is_better=True)
    looked_up = [c for c in contestants if c.stored]
    loads = rounds(
        looked_up, number, lambda c: run(c.port, c.stored, concurrency=16, seconds=seconds)
    )
    print("\nsingle /detect, window and state looked up in PostgreSQL, concurrency 16")
    for name, found in loads.items():
        latency_ms = 1e3 * median(found, lambda x: x.percentile(0.5))
        print(
            f"  {name:22} {median(found, lambda x: x.rate):10.2f} requests/s {latency_ms:8.2f} ms"
        )
    for title, number_of in (("without stored windows", 1), ("windows known, LSTM included", 2)):
        bulk(title, contestants, number, partial(bulk_load, number_of, seconds))
    print("\nmemory and start")
    for contestant in contestants:
        print(
            f"  {contestant.name:22} {contestant.memory():7.0f} MB"
            f" {contestant.seconds_to_ready:7.1f} s to ready"
        )


if __name__ == "__main__":
    run_command(main)
