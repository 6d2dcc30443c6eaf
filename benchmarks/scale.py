"""Measure more bridges and service workers on this machine, and find the bottleneck.

    KAFKA_HOME=/opt/kafka python -m benchmarks.scale [--readings 30000] [--broker kafka]

Processes the same readings from a topic of 8 partitions with 1, 2 and 4 bridges and 1 and 2 service
workers. Reports readings per second, CPU per reading and process, the machine's CPU usage, and the
bridges' time per stage. If the CPU is fully used, it is the bottleneck, and the process with most
CPU should move to another machine first (docs/scaling.md). On a loaded machine only the CPU per
reading is meaningful.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from benchmarks.pipeline import bodies, count, cpu_seconds, fit_bundle, produce, scrape, wait_for
from db.migrate import migrate
from db.session import make_engine
from runtime import run_command
from tests.fixtures.broker import Broker, free_port_pair
from tests.fixtures.own_postgres import OwnPostgres
from tests.fixtures.service import Service

PARTITIONS = 8
STAGES = ("parse", "load", "score", "commit", "publish")


class Site:
    """Broker, database and bundle, shared by all runs."""

    def __init__(self, stack: ExitStack, args: argparse.Namespace) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        self.server = OwnPostgres(self.folder)
        stack.callback(self.server.close)
        self.url = self.server.url.replace("postgresql://", "postgresql+psycopg2://", 1)
        self.engine = make_engine(self.url)
        stack.callback(self.engine.dispose)
        migrate(self.engine)
        self.broker = Broker(args.broker, self.folder / "broker")
        stack.callback(self.broker.kill)
        fit_bundle(self.folder / "bundle", np.random.default_rng(1))
        self.sent = 0  # readings sent per stream; each run continues where the last one ended

    @contextmanager
    def service(self, workers: int) -> Iterator[Service]:
        """Run a service with this many workers."""
        var_dir = self.folder / f"var-{workers}"
        made = Service(var_dir, self.url, JOURNAL_REST="none", SERVICE_WORKERS=str(workers))
        made.promote(self.folder / "bundle")
        made.start()
        try:
            yield made
        finally:
            made.stop()

    @contextmanager
    def bridges(self, number: int, service: Service, topic: str) -> Iterator[list[Bridge]]:
        """Run this many bridges in one group."""
        made = [Bridge(self, index, service, topic) for index in range(number)]
        try:
            yield made
        finally:
            for one in made:
                one.process.terminate()
            for one in made:
                one.process.wait(60)


class Bridge:
    """One bridge process."""

    def __init__(self, site: Site, index: int, service: Service, topic: str) -> None:
        self.port = free_port_pair()
        environment = {
            **os.environ,
            "DATABASE_URL": site.url,
            "SERVICE_URL": service.url,
            "KAFKA_BOOTSTRAP_SERVERS": site.broker.bootstrap,
            "KAFKA_CONSUMER_GROUP": f"group-{topic}",
            "KAFKA_TOPIC_INPUT_FEATURES": topic,
            "KAFKA_TOPIC_OUTPUT_ANOMALIES": site.broker.topic("out", 1),
            "KAFKA_TOPIC_DEAD_LETTER": site.broker.topic("dead", 1),
            "KAFKA_SESSION_TIMEOUT_MS": "6000",
            "KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
            "BRIDGE_METRICS_PORT": str(self.port),
            "VAR_DIR": str(site.folder / f"var-bridge-{index}"),
            "LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-m", "consumers.bridge"]
        self.process = subprocess.Popen(command, env=environment)

    def stages(self) -> dict[str, float]:
        """Return the seconds spent in each stage so far."""
        now = scrape(self.port)
        return {s: now.get(f'bridge_stage_seconds_sum{{stage="{s}"}}', 0.0) for s in STAGES}


def disk(engine: Engine) -> tuple[int, float, float]:
    """Return the number of detections, their bytes with indices, and the bytes of log written."""
    with engine.connect() as connection:
        found = connection.execute(
            text("""
            SELECT (SELECT count(*) FROM anomaly_detections),
                (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
                 WHERE inhparent = 'anomaly_detections'::regclass),
                pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
            """)
        ).one()
    return int(found[0]), float(found[1] or 0), float(found[2])


def measure(
    site: Site, number: int, workers: int, service: Service, args: argparse.Namespace
) -> dict[str, float]:
    """Measure one run without its first tenth, in which the group of bridges settles."""
    topic = site.broker.topic("scale", PARTITIONS)
    rng = np.random.default_rng(site.sent)
    records = bodies(rng, args.readings, args.streams, site.sent)
    site.sent += args.readings // args.streams + 1
    produce(site.broker.bootstrap, topic, records)
    done = count(site.engine)
    with site.bridges(number, service, topic) as bridges:
        first = bridges[0].process
        wait_for(lambda: count(site.engine) > done + args.readings // 10, first, 180)
        pids = {
            "service": [service.processes()[0].pid],
            "bridges": [one.process.pid for one in bridges],
            "PostgreSQL": [site.server.pid],
            "Kafka": [site.broker.pid],
        }
        begun, before = time.monotonic(), count(site.engine)
        cpu = {name: sum(map(cpu_seconds, ids)) for name, ids in pids.items()}
        stages = [one.stages() for one in bridges]
        machine = psutil.cpu_times()
        limit = max(120, args.readings / 50)
        wait_for(lambda: count(site.engine) >= done + args.readings, first, limit)
        took, readings = time.monotonic() - begun, done + args.readings - before
        found = {
            name: 1e6 * (sum(map(cpu_seconds, ids)) - cpu[name]) / readings
            for name, ids in pids.items()
        }
        for stage in STAGES:
            spent = sum(
                one.stages()[stage] - was[stage] for one, was in zip(bridges, stages, strict=True)
            )
            found[stage] = 100 * spent / took / number
        after = psutil.cpu_times()
        idle = after.idle - machine.idle
        cores = psutil.cpu_count() or 1
        found["all"] = sum(found[name] for name in pids)
        found["rate"] = readings / took
        found["machine"] = 100 * (1 - idle / took / cores)
    return {"bridges_n": number, "workers_n": workers, **found}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--readings", type=int, default=30_000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--broker", choices=["tansu", "kafka"], default="kafka")
    parser.add_argument("--bridges", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    rows = []
    with ExitStack() as stack:
        site = Site(stack, args)
        before = disk(site.engine)[2]
        for workers in args.workers:
            with site.service(workers) as service:
                for number in args.bridges:
                    rows.append(measure(site, number, workers, service, args))
                    print(f"{number} bridges, {workers} workers: {rows[-1]['rate']:.0f} readings/s",
                          file=sys.stderr)  # fmt: skip
        stored, size, written = disk(site.engine)
    show(rows)
    print(f"PostgreSQL: {size / stored:,.0f} bytes per row with its indices,"
          f" {(written - before) / stored:,.0f} bytes of write-ahead log")  # fmt: skip
    if stored != len(rows) * args.readings:  # a repeated reading costs no scoring
        raise SystemExit(f"{stored:,} rows of {len(rows) * args.readings:,} readings")
    return 0


def show(rows: list[dict[str, float]]) -> None:
    """Print the CPU and the time per stage."""
    table = Table(title="us of CPU per reading; seconds of a stage per bridge and second, % (a"
                  " bridge has several batches in flight)")  # fmt: skip
    names = ("service", "bridges", "PostgreSQL", "Kafka", "all")
    for name in ("bridges", "workers", "readings/s", *(f"{n}, us" for n in names), "machine busy %",
                 *STAGES):  # fmt: skip
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['bridges_n']:.0f}", f"{row['workers_n']:.0f}", f"{row['rate']:,.0f}",
            *(f"{row[n]:.0f}" for n in names), f"{row['machine']:.0f}",
            *(f"{row[s]:.0f}" for s in STAGES),
        )  # fmt: skip
    console = Console(width=150)
    console.print(table)
    console.print(f"{psutil.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    run_command(main)
