"""The whole pipeline on this machine: broker, PostgreSQL, service, bridge.

    python -m benchmarks.pipeline [--readings 100000] [--flood 50000] [--latency-rate 200]

Fits a bundle with all three detectors at full size on 24 features, fills the topic, then starts
the bridge and measures from the first committed row to the last. Then, in the same run, a flood:
every sensor of every stream steps away at once, so that nearly every reading is an anomaly, is
explained and is published; measured until the last row is committed and until the last message
is acknowledged. Afterwards readings are sent at a steady rate and the time from produce to
committed row is taken. Prints a table of stages for each.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import psutil  # type: ignore[import-untyped]
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from sqlalchemy import Engine, text

from db.migrate import migrate
from db.session import make_engine
from models.bundles.bundle import Bundle
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from runtime import run_command
from tests.fixtures.broker import Broker, free_port_pair
from tests.fixtures.own_postgres import OwnPostgres
from tests.fixtures.postgres import run_admin
from tests.fixtures.service import Service

FEATURES = [f"feature_{number:02}" for number in range(24)]
START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = 6.0  # standard deviations of every feature at once: an upset that nothing misses


def fit_bundle(folder: Path, rng: np.random.Generator) -> None:
    """Fit all three detectors at their usual size; epochs do not change the speed."""
    values = [rng.normal(size=(2500, 24)).cumsum(0) * 0.01 + rng.normal(size=(2500, 24))] * 4
    stamps = np.datetime64("2026-01-01") + np.arange(2500).astype("timedelta64[s]")
    options = FitOptions(folds=2, lstm_autoencoder={"epochs": 1, "device": "cpu"})
    model_set, _ = fit_model_set(values, [stamps.astype("datetime64[us]")] * 4, FEATURES, options)
    Bundle({"default": model_set}).save(folder)


def bodies(
    rng: np.random.Generator,
    count: int,
    streams: int,
    first: int,
    *,
    now: bool = False,
    step: float = 0.0,
) -> Iterator[tuple[bytes, bytes]]:
    """Yield records of all streams in turn, one per second in each stream.

    Parameters
    ----------
    first : int
        Seconds after START of the first record of each stream.
    now : bool
        Records carry the time at which they are made instead.
    step : float
        How far every feature stands from its normal level, in standard deviations.
    """
    for number in range(count):
        asset = f"ENGINE_{number % streams:03}"
        at = datetime.now(UTC) if now else START + timedelta(seconds=first + number // streams)
        values = dict(zip(FEATURES, rng.normal(step, size=24).round(6).tolist(), strict=True))
        document = {
            "asset_id": asset,
            "sensor_id": "S1",
            "features": values,
            "timestamp": at.isoformat(),
            "metadata": {"num_features": 24, "source": "benchmark"},
        }
        yield asset.encode(), orjson.dumps(document)


def produce(
    bootstrap: str, topic: str, records: Iterator[tuple[bytes, bytes]], rate: float | None = None
) -> None:
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, compression_type="gzip", batch_size=256 * 1024,
        linger_ms=0 if rate else 50,
    )  # fmt: skip
    started = time.monotonic()
    for number, (key, value) in enumerate(records):
        if rate:
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        producer.send(topic, key=key, value=value)
    producer.flush()
    producer.close()


def count(engine: Engine) -> int:
    """Return how many records are stored, by the offsets: counting the rows costs too much."""
    with engine.connect() as connection:
        query = text("SELECT COALESCE(sum(next_offset), 0) FROM source_offsets")
        return int(connection.execute(query).scalar_one())


def wait_for(done: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if process.poll() is not None:
            raise RuntimeError("the bridge ended")
        if time.monotonic() > deadline:
            raise RuntimeError(f"not done after {seconds:g} s")
        time.sleep(0.1)


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for line in lines
        if line and not line.startswith("#")
        for name, value in [line.rsplit(" ", 1)]
    }


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process and its children, including ended ones."""
    parent = psutil.Process(pid)
    times = [one.cpu_times() for one in [parent, *parent.children(recursive=True)]]
    return float(sum(sum(one[:4]) for one in times))


def resident_mb(pid: int) -> float:
    """Return the resident memory of one process, in MB."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


class Clock:
    """CPU time and the bridge's stage counters between two moments of one run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._begun = time.monotonic()
        self._cpu = {name: cpu_seconds(pid) for name, pid in stage.pids.items()}
        self._counters = scrape(stage.metrics_port)

    def elapsed(self) -> float:
        """Return the seconds since the clock was made."""
        return time.monotonic() - self._begun

    def table(self, readings: int, took: float) -> None:
        """Print what each stage and each process cost per reading since it was made."""
        now = scrape(self._stage.metrics_port)

        def grown(name: str, stage: str) -> float:
            key = f'bridge_stage_seconds_{name}{{stage="{stage}"}}'
            return now.get(key, 0.0) - self._counters.get(key, 0.0)

        print(f"{'stage':<10}{'batches':>9}{'ms/batch':>10}{'us/reading':>12}{'busy %':>8}")
        for name in ("parse", "load", "score", "commit", "publish"):
            n, s = grown("count", name), grown("sum", name)
            if n:
                print(f"{name:<10}{n:>9.0f}{1e3 * s / n:>10.1f}{1e6 * s / readings:>12.1f}"
                      f"{100 * s / took:>8.0f}")  # fmt: skip
        whole = 0.0
        for name, pid in self._stage.pids.items():
            used = cpu_seconds(pid) - self._cpu[name]
            whole += used
            print(f"CPU {name:<9}{1e6 * used / readings:>8.1f} us/reading")
        print(f"CPU {'together':<9}{1e6 * whole / readings:>8.1f} us/reading")
        print(f"resident memory of the bridge: {resident_mb(self._stage.pids['bridge']):.0f} MB")


def throughput(stage: Stage, total: int) -> float:
    """Return readings per second from topic to committed rows; all are in the topic before."""
    wait_for(lambda: count(stage.engine) > 0, stage.bridge, 120)
    before, clock = count(stage.engine), Clock(stage)
    try:
        wait_for(lambda: count(stage.engine) >= total, stage.bridge, max(60, total / 200))
    except RuntimeError:
        for name, value in sorted(scrape(stage.metrics_port).items()):
            print(name, value)
        raise
    took = clock.elapsed()
    rate = (total - before) / took
    print(f"\nnormal: {total - before} readings in {took:.1f} s: {rate:.0f} readings/s, "
          f"load average {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    clock.table(total - before, took)
    return rate


def flood(stage: Stage, args: argparse.Namespace, normal: float) -> None:
    """Measure the same after a step in every sensor: nearly every reading is published.

    Raises
    ------
    RuntimeError
        The published readings are not exactly those that are stored as anomalies.
    """
    before = count(stage.engine)
    first = -(-args.readings // args.streams)
    records = bodies(np.random.default_rng(3), args.flood, args.streams, first, step=STEP)
    stage.pause()
    produce(stage.broker.bootstrap, stage.topic, records)
    stage.resume()
    wait_for(lambda: count(stage.engine) > before, stage.bridge, 120)
    begun, clock = count(stage.engine), Clock(stage)
    total = before + args.flood - begun
    limit = max(60, total / 200)
    wait_for(lambda: count(stage.engine) >= before + args.flood, stage.bridge, limit)
    stored = clock.elapsed()
    anomalies = len(stored_anomalies(stage.engine))
    wait_for(lambda: published_messages(stage) >= anomalies, stage.bridge, limit)
    published = clock.elapsed()
    print(
        f"\nflood: {total} readings in {stored:.1f} s: {total / stored:.0f} readings/s "
        f"({total / stored / normal:.2f} of normal), {total / published:.0f}/s until the last "
        f"is published; load average {os.getloadavg()[0]:.1f}\n"
    )
    clock.table(total, published)
    of = exact(stage)
    print(f"{anomalies} of {of} rows are anomalies, each published")


def rows(engine: Engine, table: str) -> int:
    """Return the number of a table's rows."""
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608 (names above)


def stored_anomalies(engine: Engine) -> set[str]:
    """Return the ids of the stored anomalies."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id FROM anomaly_detections WHERE is_anomaly"))
        return {str(row.id) for row in found}


def published_messages(stage: Stage) -> float:
    """Return the number of messages that the broker has acknowledged."""
    return scrape(stage.metrics_port).get(f'bridge_published_total{{topic="{stage.output}"}}', 0.0)


def exact(stage: Stage) -> int:
    """Return the number of stored rows; raise unless exactly the anomalies were published."""
    wanted = stored_anomalies(stage.engine)
    consumer = KafkaConsumer(bootstrap_servers=stage.broker.bootstrap)
    found: set[str] = set()
    at = TopicPartition(stage.output, 0)
    try:
        consumer.assign([at])
        consumer.seek(at, 0)
        deadline = time.monotonic() + 60
        while len(found) < len(wanted) and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=500).values():
                found.update(orjson.loads(record.value)["detection_id"] for record in records)
    finally:
        consumer.close()
    if found != wanted:
        raise RuntimeError(f"{len(found)} anomalies published, {len(wanted)} stored")
    wait_for(lambda: rows(stage.engine, "outbox") == 0, stage.bridge, 30)
    total = rows(stage.engine, "anomaly_detections")
    if total != count(stage.engine):
        raise RuntimeError(f"{total} rows of {count(stage.engine)} records")
    return total


def latency(stage: Stage, args: argparse.Namespace, rng: np.random.Generator) -> None:
    """Measure the time from produce to committed row at a steady rate."""
    before = count(stage.engine)
    total = int(args.latency_rate * args.latency_seconds)
    records = bodies(rng, total, args.streams, 0, now=True)
    produce(stage.broker.bootstrap, stage.topic, records, args.latency_rate)
    wait_for(lambda: count(stage.engine) >= before + total, stage.bridge, 60)
    query = """
        SELECT percentile_cont(ARRAY[0.5, 0.9, 0.99, 1.0]) WITHIN GROUP (
            ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - timestamp))
        FROM anomaly_detections WHERE timestamp > now() - interval '1 hour'
    """
    with stage.engine.connect() as connection:
        found = connection.execute(text(query)).scalar_one()
    print(f"\nlatency at {args.latency_rate:g}/s over {args.latency_seconds:g} s, ms, "
          "from produce to COMMIT:")  # fmt: skip
    for name, seconds in zip(("median", "90 %", "99 %", "worst"), found, strict=True):
        print(f"  {name:<8}{1e3 * seconds:>8.1f}")


class Stage:
    """Everything started, in one folder, stopped in reverse order."""

    def __init__(self, stack: ExitStack, args: argparse.Namespace) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-")))
        rng = np.random.default_rng(1)
        server = OwnPostgres(folder)
        stack.callback(server.close)
        # the time of a row's COMMIT, for the latency
        run_admin(server.url, "ALTER SYSTEM SET track_commit_timestamp = on")
        server.stop()
        server.start()
        url = server.url.replace("postgresql://", "postgresql+psycopg2://", 1)
        self.engine = make_engine(url)
        stack.callback(self.engine.dispose)
        migrate(self.engine)
        self.broker = Broker(args.broker, folder / "broker")
        stack.callback(self.broker.kill)
        self.topic = self.broker.topic("pipeline", args.partitions)
        fit_bundle(folder / "bundle", rng)
        service = Service(folder / "var", url, JOURNAL_REST="none")
        service.promote(folder / "bundle")
        service.start()
        stack.callback(service.stop)
        records = bodies(rng, args.readings, args.streams, 0)
        produce(self.broker.bootstrap, self.topic, records)
        self.output = self.broker.topic("out", 1)
        self.metrics_port = free_port_pair()
        self.bridge = self._bridge(folder, url, service.url)
        stack.callback(self._stop)
        self.pids = {
            "bridge": self.bridge.pid,
            "service": service.processes()[0].pid,
            "postgres": server.pid,
            "broker": self.broker.pid,
        }

    def _bridge(self, folder: Path, url: str, service_url: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONFAULTHANDLER": "1",
            "DATABASE_URL": url,
            "SERVICE_URL": service_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "KAFKA_TOPIC_INPUT_FEATURES": self.topic,
            "KAFKA_TOPIC_OUTPUT_ANOMALIES": self.output,
            "KAFKA_TOPIC_DEAD_LETTER": self.broker.topic("dead", 1),
            "KAFKA_SESSION_TIMEOUT_MS": "6000",
            "KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
            "BRIDGE_METRICS_PORT": str(self.metrics_port),
            "VAR_DIR": str(folder / "var-bridge"),
        }
        command = [sys.executable, "-m", "consumers.bridge"]
        if profile := os.environ.get("PIPELINE_PROFILE"):
            command = [sys.executable, *profile.split(), "-m", "consumers.bridge"]
        return subprocess.Popen(command, env=environment)

    def pause(self) -> None:
        """Let the bridge stand still while a topic is filled."""
        self.bridge.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.bridge.send_signal(signal.SIGCONT)

    def _stop(self) -> None:
        self.bridge.send_signal(signal.SIGTERM)
        self.bridge.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--readings", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--broker", choices=["tansu", "kafka"], default="tansu")
    parser.add_argument("--flood", type=int, default=0, help="readings of an alarm flood, after")
    parser.add_argument("--latency-rate", type=float, default=200.0)
    parser.add_argument("--latency-seconds", type=float, default=20.0)
    args = parser.parse_args()
    with ExitStack() as stack:
        stage = Stage(stack, args)
        normal = throughput(stage, args.readings)
        if args.flood:
            flood(stage, args, normal)
        if args.latency_seconds > 0:
            latency(stage, args, np.random.default_rng(2))
    return 0


if __name__ == "__main__":
    run_command(main)
