"""Run the whole system on this machine: ``python -m deploy.local`` (what ``make demo`` runs).

Trains (or reuses) a bundle, starts an embedded PostgreSQL, a Kafka-protocol broker, ``bentoml
serve`` and the bridge as processes, replays a plant into the input topic, and shows detections
as they are stored. Everything is stopped at the end, on Ctrl-C, and on any failure.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine

from config import Settings, load_settings
from datasets import readings
from db.migrate import migrate
from db.session import describe, open_engine
from deploy.broker import create_topics, start_broker, topic_id
from deploy.demo_data import TRAIN_PART, prepare_data
from deploy.processes import Child, ChildError, Children, free_port, port_is_free
from deploy.sender import replay_command, sent, shift_of
from deploy.truth import compare, faults_of
from deploy.watch import claimed, summary, watch
from errors import AnomalyError
from runtime import INTERRUPTED, die_with_parent, run_command

PARTITIONS = 3

console = Console(highlight=False)


def parser() -> argparse.ArgumentParser:
    """Make the command line."""
    out = argparse.ArgumentParser(
        prog="make demo ARGS=... (python -m deploy.local)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        '  make demo ARGS="--keep"            leave it serving until Ctrl-C\n'
        '  make demo ARGS="--data plant.csv"  your own readings (see README for the form)',
    )
    out.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help=f"wide CSV or Parquet to replay; the first {TRAIN_PART:.0%}% of each asset is for"
        " training (default: a simulated plant)",
    )
    out.add_argument("--keep", action="store_true", help="leave everything serving until Ctrl-C")
    out.add_argument("--retrain", action="store_true", help="train even if a bundle is there")
    out.add_argument(
        "--rate",
        type=float,
        default=1000.0,
        metavar="N",
        help="readings per second to replay; 0: as fast as possible (default %(default)g)",
    )
    out.add_argument("--limit", type=int, metavar="N", help="replay at most N readings")
    return out


def main(argv: list[str] | None = None) -> int:
    """Run the demo; the exit code."""
    args = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        settings = load_settings()
        if args.data is not None:
            # A bundle and a database of its own: other data have other features.
            settings = load_settings(var_dir=settings.var_dir / f"demo-{args.data.stem}")
        return demo(settings, args)
    except KeyboardInterrupt:
        console.print("\nstopped; no process is left", style="yellow")
        return INTERRUPTED
    except (AnomalyError, ChildError, TimeoutError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1


def demo(settings: Settings, args: argparse.Namespace) -> int:
    """Prepare data and database, train, then serve."""
    var = settings.var_dir.absolute()
    var.mkdir(parents=True, exist_ok=True)
    step("data")
    train_file, replay_file = prepare_data(args.data, var)
    engine = open_engine(settings)
    step(f"database: {describe(engine.url)}")
    migrate(engine)
    with Children(var / "log", environment(var)) as children:
        train(children.env, train_file, var, args.retrain)
        return serve(settings, args, engine, children, replay_file)


def serve(
    settings: Settings,
    args: argparse.Namespace,
    engine: Engine,
    children: Children,
    replay_file: Path,
) -> int:
    """Start broker, service and bridge, replay the file and watch what is found."""
    topic = settings.kafka_topic_input_features
    broker = start_broker(children)[1]
    create_topics(
        broker,
        {
            topic: PARTITIONS,
            settings.kafka_topic_output_anomalies: PARTITIONS,
            settings.kafka_topic_dead_letter: 1,
        },
    )
    source = topic_id(broker, topic)
    step(f"broker: {broker} (embedded, in memory), topic {topic}")
    port = settings.service_port if port_is_free(settings.service_port) else free_port()
    url = f"http://127.0.0.1:{port}"
    children.env |= {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "SERVICE_URL": url,
        "SERVICE_HOST": "127.0.0.1",
        "SERVICE_PORT": str(port),
    }
    start_service(children, url)
    step(f"service: {url} is ready")
    bridge = children.start("bridge", sys.executable, "-m", "consumers.bridge")
    # Only then does the time below measure the flow, not the joining of a consumer group.
    bridge.wait_ready(lambda: claimed(engine, source) == PARTITIONS, within=120)
    step("bridge: has its partitions; replaying")
    started = time.monotonic()
    sender = children.start("replay", *replay_command(replay_file, args.rate, args.limit))
    tally = watch(engine, source, lambda: sent(sender), lambda: check(children, sender), console)
    total = sent(sender) or 0
    console.print()
    console.print(summary(engine, source, tally, total, time.monotonic() - started))
    faults = faults_of(itertools.islice(readings(replay_file), args.limit))
    if faults:
        console.print(compare(faults, tally.alarms, shift_of(sender)))
    addresses(settings, url, children, args.keep)
    return 0


def step(words: str) -> None:
    """Print a heading."""
    console.print(f"[bold green]>[/] {words}", markup=True)


def environment(var: Path) -> dict[str, str]:
    """Return the environment of every child; the Bento store is the demo's own."""
    env = dict(os.environ)
    env |= {
        "VAR_DIR": str(var),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": env.get("BENTOML_HOME", str(var / "bentoml")),
        "PYTHONUNBUFFERED": "1",
        # The embedded broker answers a group join after half of the session time-out.
        "KAFKA_SESSION_TIMEOUT_MS": env.get("KAFKA_SESSION_TIMEOUT_MS", "6000"),
    }
    return env


def train(env: dict[str, str], file: Path | None, var: Path, again: bool) -> None:
    """Run ``python -m training.fit`` in the foreground, unless this data's bundle is there."""
    marker = var / "trained"
    if marker.exists() and not again:
        step("training: the bundle of an earlier run is used (--retrain makes another)")
        return
    step("training the three detectors (MLflow and the Bento store get the result)")
    command = [sys.executable, "-m", "training.fit"]
    if file is not None:
        command += ["--data", str(file)]
    else:
        command += ["--groups", str(Path(__file__).with_name("plant.toml"))]
    done = subprocess.run(command, env=env, preexec_fn=die_with_parent, check=False)
    if done.returncode:
        raise ChildError(f"training ended with exit code {done.returncode}")
    marker.touch()


def start_service(children: Children, url: str) -> Child:
    """Start the service and wait until it is ready."""
    root = Path(__file__).resolve().parent.parent
    bento = str(Path(sys.executable).with_name("bentoml"))
    service = children.start("service", bento, "serve", "--working-dir", str(root))

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ready() -> bool:
        try:
            with direct.open(f"{url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return service.wait_ready(ready, within=120)


def check(children: Children, sender: Child) -> None:
    """Raise where a part of the system has ended; only the sender may, if it ends well."""
    if sender.process.poll() not in (None, 0):
        raise ChildError(f"replay ended with {sender.process.returncode}:\n{sender.tail()}")
    for child in children:
        if child is not sender and child.process.poll() is not None:
            raise ChildError(f"{child.name} ended on its own:\n{child.tail()}")


def addresses(settings: Settings, url: str, children: Children, keep: bool) -> None:
    """Print where to look; with ``keep`` the addresses answer until Ctrl-C."""
    mlflow_url = f"http://127.0.0.1:{free_port()}"
    history = f"{url}/api/v1/anomalies/?limit=10"
    if not keep:
        console.print('everything stops now; `make demo ARGS="--keep"` leaves it serving:')
    else:
        port = mlflow_url.rsplit(":", 1)[1]
        mlflow = str(Path(sys.executable).with_name("mlflow"))
        # not in the command line: it may hold a password
        store = {"MLFLOW_BACKEND_STORE_URI": settings.mlflow_uri()}
        ui = children.start("mlflow", mlflow, "server", "--host", "127.0.0.1", "--port", port,
                            "--workers", "1", **store)  # fmt: skip
        ui.wait_ready(lambda: not port_is_free(int(port)), within=120)
    console.print(f"  API docs       {url}/api/v1/anomalies/docs")
    console.print(f"  history query  {history}")
    console.print(f"  MLflow         {mlflow_url if keep else settings.mlflow_uri()}")
    console.print(f"  logs           {children.log_dir}")
    while keep:
        time.sleep(0.5)
        for child in children:
            if child.name in ("broker", "service", "bridge") and child.process.poll() is not None:
                raise ChildError(f"{child.name} ended on its own:\n{child.tail()}")


if __name__ == "__main__":
    run_command(main)
