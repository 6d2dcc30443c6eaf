"""``python -m benchmarks.serving``: the service against the design most would write.

Baseline (FastAPI, the libraries' calls once per reading), the same vectorised, a bare Starlette
app as the ceiling, and the service in both runner modes; same readings, same machine, one run.
Rounds take turns, so that whatever else the machine does hits all alike; medians of the rounds.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks.http_load import Load, request, run
from benchmarks.serving_data import items, make_bundle
from db.embedded import embedded_url

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "/api/v1/anomalies"


@dataclass
class Contestant:
    """A server under test."""

    name: str
    port: int
    single: list[bytes]
    batch: list[bytes]
    seconds_to_ready: float
    process: subprocess.Popen[bytes]

    def memory(self) -> float:
        """Resident megabytes of the process and all below it."""
        parent = psutil.Process(self.process.pid)
        held = [parent, *parent.children(recursive=True)]
        return sum(p.memory_info().rss for p in held if "postgres" not in p.name()) / 2**20


@contextmanager
def server(command: list[str], port: int, env: dict[str, str]) -> Iterator[tuple[Any, float]]:
    """A started server, the seconds it took to be ready, and its end."""
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
    """One bare worker."""
    return [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning"]


def start(stack: ExitStack, var_dir: Path, modes: list[str], base: int) -> list[Contestant]:
    """Start all contestants."""
    bundle = make_bundle(var_dir)
    database = embedded_url(var_dir / "postgres", "benchmark").render_as_string(False)
    single = [orjson.dumps(item) for item in items(50, 8, history=True)]
    batch = [orjson.dumps(items(50, 20, seed=s, history=False)) for s in (2, 3, 4)]
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
    for place, mode in enumerate(modes):
        env = {
            "RUNNER_MODE": mode,
            "VAR_DIR": str(var_dir),
            "BENTOML_HOME": str(var_dir / f"bentoml-{mode}"),
            "DATABASE_URL": database,
            "MLFLOW_ENABLED": "false",
            "JOURNAL_REST": "none",
            "SERVICE_HOST": "127.0.0.1",
            "SERVICE_PORT": str(base + 2 + place),
        }
        bentoml = [str(Path(sys.executable).parent / "bentoml"), "serve"]
        plans.append((mode, bentoml, env, PREFIX, f"{PREFIX}/detect/batch"))
    found = []
    for place, (name, command, env, prefix, path) in enumerate(plans):
        port = base + place
        process, took = stack.enter_context(server(command, port, env))
        found.append(
            Contestant(
                name,
                port,
                [request(port, f"{prefix}/detect", body) for body in single],
                [request(port, path, body) for body in batch] if path else [],
                took,
                process,
            )
        )
    return found


def rounds(
    contestants: list[Contestant], number: int, measure: Callable[[Contestant], Load]
) -> dict[str, list[Load]]:
    """Every contestant in turn, ``number`` times; the first round only warms up."""
    found: dict[str, list[Load]] = {c.name: [] for c in contestants}
    for turn in range(number + 1):
        for contestant in contestants:
            load = measure(contestant)
            bad = {status: n for status, n in load.statuses.items() if status != 200}
            if bad:
                raise SystemExit(f"{contestant.name} answered {bad}")
            if turn:
                found[contestant.name].append(load)
    return found


def median(loads: list[Load], figure: Callable[[Load], float]) -> float:
    """Median of the rounds."""
    return statistics.median(figure(load) for load in loads)


def report(title: str, figures: dict[str, float], unit: str, *, less_is_better: bool) -> None:
    """A row a contestant: the figure, and how many times better than the baseline."""
    print(f"\n{title}")
    base = figures["baseline"]
    for name, figure in figures.items():
        times = base / figure if less_is_better else figure / base
        print(f"  {name:22} {figure:10.2f} {unit:12} {times:8.2f} x baseline")


def main() -> None:
    """Run and print."""
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
        measure(contestants, arguments.rounds, arguments.seconds)


def measure(contestants: list[Contestant], number: int, seconds: float) -> None:
    """All measurements."""
    for concurrency in (1, 16):
        loads = rounds(
            contestants,
            number,
            lambda c, n=concurrency: run(c.port, c.single, concurrency=n, seconds=seconds),
        )
        latency = {
            name: 1e3 * median(found, lambda x: x.percentile(0.5)) for name, found in loads.items()
        }
        rate = {name: median(found, lambda x: x.rate) for name, found in loads.items()}
        title = f"single /detect with history, concurrency {concurrency}"
        report(f"{title}: median latency", latency, "ms", less_is_better=True)
        report(f"{title}: throughput", rate, "requests/s", less_is_better=False)
    batched = [c for c in contestants if c.batch]
    base = batched[0]
    vectorised = Contestant(
        "vectorised",
        base.port,
        base.single,
        [b.replace(b"POST /detect/batch ", b"POST /vectorised ") for b in base.batch],
        0,
        base.process,
    )
    loads = rounds(
        [*batched, vectorised],
        number,
        lambda c: run(c.port, c.batch, concurrency=1, seconds=seconds),
    )
    rate = {name: 1000 * median(found, lambda x: x.rate) for name, found in loads.items()}
    report("/detect/batch, 1,000 readings of 50 streams", rate, "readings/s", less_is_better=False)
    print("\nmemory and start")
    for contestant in contestants:
        print(
            f"  {contestant.name:22} {contestant.memory():7.0f} MB"
            f" {contestant.seconds_to_ready:7.1f} s to ready"
        )


if __name__ == "__main__":
    main()
