"""Run the whole system on this machine: ``python -m deploy.local`` (what ``make demo`` runs).

Trains a bundle (or reuses one) and meanwhile starts an embedded PostgreSQL, a Kafka-protocol
broker, ``bentoml serve`` and the bridge as processes. Then replays a plant into the input topic
and shows incidents as they open, escalate and clear. Everything is stopped at the end, on Ctrl-C,
and on any failure.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.text import Text
from sqlalchemy import Engine

from config import Settings, load_settings
from datasets import load, readings
from db.migrate import migrate
from db.queries import reporting
from db.session import describe, open_engine, transaction
from deploy.broker import create_topics, start_broker, topic_id
from deploy.demo_data import TRAIN_PART, replay_file, training_file
from deploy.processes import Child, ChildError, Children, free_port, port_is_free
from deploy.replay_process import replay_command, sent, shift_of
from deploy.truth import compare, faults_of
from deploy.watch import claimed, summary, watch
from errors import AnomalyError, DatasetError, SettingsError
from runtime import INTERRUPTED, at_least, die_with_parent, run_command
from schemas import API_PREFIX

PARTITIONS = 3  # of each of the demo's topics

console = Console(highlight=False, markup=False, emoji=False)


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
        type=_rate,
        default=1000.0,
        metavar="N",
        help="readings per second to replay; 0: as fast as possible (default %(default)g)",
    )
    out.add_argument("--limit", type=at_least(1), metavar="N", help="replay at most N readings")
    return out


def _rate(text: str) -> float:
    if not float(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return float(text)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    args = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = load_settings()
        if args.data is not None:
            # Its own bundle and database, because other data have other features.
            settings = load_settings(var_dir=settings.var_dir / f"demo-{args.data.stem}")
        return demo(settings, args)
    except KeyboardInterrupt:
        console.print("\nstopped; no process is left", style="yellow")
        return INTERRUPTED
    except (AnomalyError, ChildError, TimeoutError) as error:
        console.print(f"error: {error}", style="red")
        if args.data is not None and isinstance(error, DatasetError):
            console.print("(the demo has no such options; training.fit and consumers.replay have)")
        return 1


def demo(settings: Settings, args: argparse.Namespace) -> int:
    """Train while data, database and processes are prepared; then replay."""
    began = time.monotonic()
    port = settings.service_port if port_is_free(settings.service_port) else free_port()
    url = f"http://127.0.0.1:{port}"
    step(f"the page: {url}/ (as soon as the service answers)")
    var = settings.var_dir.absolute()
    var.mkdir(parents=True, exist_ok=True)
    env = environment(var) | {
        "SERVICE_URL": url,
        "SERVICE_HOST": "127.0.0.1",
        "SERVICE_PORT": str(port),
        # the service starts before the model exists, so it must notice the model soon
        "CHAMPION_POLL_S": "1",
    }
    train_file = training_file(args.data, var)
    if args.data is not None:
        step(
            f"training sees the first {TRAIN_PART:.0%} of each asset's readings, and all are"
            " replayed: whatever the plant does for the first time after them raises alarms, and"
            " this is much if they are few thousand readings or less. `python -m training.fit"
            " --data` trains on all"
        )
    with Children(var / "log", env) as children:
        with training(env, train_file, var, args.retrain) as trained:
            engine = open_engine(settings)
            step(f"database: {describe(engine.url)}")
            migrate(engine)
            flow = start_flow(settings, children)
            say_earlier(engine, flow.source)
            file = replay_file(args.data, var)
            trained()
        wait_until_ready(flow, engine, url)
        check_champion(url, file, var)
        return replay(settings, args, engine, children, flow, file, began)


@dataclass(frozen=True, slots=True)
class Flow:
    """The running parts: the topic's id, service and bridge."""

    source: str
    service: Child
    bridge: Child


def start_flow(settings: Settings, children: Children) -> Flow:
    """Start broker, service and bridge; do not wait for service and bridge.

    Processes that ``children`` start later get the broker's address. The database must be migrated.
    """
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
    children.env["KAFKA_BOOTSTRAP_SERVERS"] = broker
    root = str(Path(__file__).resolve().parent.parent)
    bento = str(Path(sys.executable).with_name("bentoml"))
    service = children.start("service", bento, "serve", "--working-dir", root)
    bridge = children.start("bridge", sys.executable, "-m", "consumers.bridge")
    return Flow(topic_id(broker, topic), service, bridge)


def wait_until_ready(flow: Flow, engine: Engine, url: str) -> None:
    """Wait until the service can score and the bridge has its partitions.

    Only then the duration of the replay measures processing instead of joining the consumer group.

    Parameters
    ----------
    engine
        Shows the bridge's claims.
    url
        Address of the service.
    """

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    flow.service.wait_ready(ready, within=120)
    step(f"service: {url} is ready")
    flow.bridge.wait_ready(lambda: claimed(engine, flow.source) == PARTITIONS, within=120)
    step("bridge: has its partitions; replaying")


def say_earlier(engine: Engine, source: str) -> None:
    """Say what readings of an earlier run in the same database mean for this one.

    Parameters
    ----------
    engine
        The database.
    source
        The id of this run's topic.
    """
    with transaction(engine) as connection:
        earlier = reporting.has_other_topics(connection, source)
    if earlier:
        step(
            "the database has readings of an earlier run. Those of this run are scored and stored"
            " again beside them, since each run has a broker of its own; alarms at the times of"
            " earlier incidents join these ('joined' instead of 'opened'). `make clean`, or another"
            " VAR_DIR, starts afresh"
        )


def check_champion(url: str, file: Path, var: Path) -> None:
    """Raise if the champion needs features that the file lacks: then each reading is rejected.

    So it is if a bundle of other data was champion in this folder before: the demo's, which cannot
    be compared with it, stays challenger.

    Parameters
    ----------
    url
        Address of the service.
    file
        The readings to replay.
    var
        The folder, for the error.
    """
    status = httpx.get(f"{url}{API_PREFIX}/status", timeout=10, trust_env=False).json()
    groups = status.get("groups") or {"": status["models"]}
    needed = {
        name
        for models in groups.values()
        for model in models.values()
        for name in model["feature_names"]
    }
    if lacking := sorted(needed - set(load(file).feature_names)):
        raise SettingsError(
            f"VAR_DIR: the champion in {var} was trained on other data: it needs"
            f" {', '.join(lacking[:3])}{', ...' if lacking[3:] else ''}, which {file.name} lacks."
            f" Use another folder, such as {var}/demo"
        )


def replay(
    settings: Settings,
    args: argparse.Namespace,
    engine: Engine,
    children: Children,
    flow: Flow,
    file: Path,
    began: float,
) -> int:
    """Replay the file and show the results.

    Parameters
    ----------
    args
        The command line: rate, limit, keep.
    flow
        The running parts.
    file
        Wide CSV or Parquet.
    began
        Start of the demo (`time.monotonic`).
    """
    started = time.monotonic()
    sender = children.start("replay", *replay_command(file, args.rate, args.limit))
    tally = watch(
        engine, flow.source, lambda: sent(sender), lambda: check(children, sender), console
    )
    total = sent(sender) or 0
    console.print()
    console.print(summary(engine, flow.source, tally, total, time.monotonic() - started))
    faults = faults_of(itertools.islice(readings(file), args.limit))
    if faults:
        console.print(compare(faults, tally.alarms, shift_of(sender)))
    if tally.first_incident is not None:
        console.print(f"first incident {tally.first_incident - began:.0f} s after the start")
    addresses(settings, children, args.keep)
    return 0


def step(words: str) -> None:
    """Print a heading."""
    console.print(Text.assemble((">", "bold green"), " ", words), soft_wrap=True)


def environment(var: Path) -> dict[str, str]:
    """Return the environment of every child; the demo has its own Bento store."""
    env = dict(os.environ)
    env |= {
        "VAR_DIR": str(var),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": env.get("BENTOML_HOME", str(var / "bentoml")),
        "PYTHONUNBUFFERED": "1",
        # The embedded broker answers a join of the group only after half the session time-out.
        "KAFKA_SESSION_TIMEOUT_MS": env.get("KAFKA_SESSION_TIMEOUT_MS", "6000"),
    }
    return env


@contextmanager
def training(
    env: dict[str, str], file: Path | None, var: Path, again: bool
) -> Iterator[Callable[[], None]]:
    """Run ``python -m training.fit`` as a child process, unless the bundle of these data exists.

    Yields a function that waits for its end; leaving the block earlier terminates it.

    Parameters
    ----------
    env
        Environment of the process.
    file
        Training data; None: the simulated plant.
    var
        Folder with the marker of a completed training.
    again
        Train even if the bundle exists.
    """
    marker = var / "trained"
    if marker.exists() and not again:
        step("training: the bundle of an earlier run is used (--retrain makes another)")
        yield lambda: None
        return
    step("training the three detectors (MLflow and the Bento store get the result)")
    # logging the libraries' own model formats takes longer than the fit and is not needed here
    command = [sys.executable, "-m", "training.fit", "--no-native"]
    if file is not None:
        command += ["--data", str(file)]
    else:
        # one fit instead of two: it is ready sooner, and the newest readings are like the others
        command += ["--groups", str(Path(__file__).with_name("plant.toml")), "--no-refit"]
    process = subprocess.Popen(command, env=env, preexec_fn=die_with_parent)

    def trained() -> None:
        if process.wait():
            raise ChildError(f"training ended with exit code {process.returncode}")
        marker.touch()

    try:
        yield trained
    finally:
        process.terminate()
        process.wait()


def check(children: Iterable[Child], sender: Child | None = None) -> None:
    """Raise if a part of the system has ended; only the sender may end, and without error."""
    for child in children:
        if child.process.poll() not in ((None, 0) if child is sender else (None,)):
            raise ChildError(f"{child.name} ended with {child.process.returncode}:\n{child.tail()}")


def addresses(settings: Settings, children: Children, keep: bool) -> None:
    """Print the addresses; with ``keep`` wait until Ctrl-C.

    Parameters
    ----------
    children
        MLflow's server becomes one of them.
    keep
        Keep everything running until Ctrl-C.
    """
    url, models = children.env["SERVICE_URL"], settings.mlflow_uri()
    if not keep:
        console.print('everything stops now; `make demo ARGS="--keep"` leaves it serving:')
    else:
        port, mlflow = free_port(), str(Path(sys.executable).with_name("mlflow"))
        # in the environment instead of the command line, because it may contain a password
        store = {"MLFLOW_BACKEND_STORE_URI": models}
        ui = children.start("mlflow", mlflow, "server", "--host", "127.0.0.1", "--port", str(port),
                            "--workers", "1", **store)  # fmt: skip
        ui.wait_ready(lambda: not port_is_free(port), within=120)
        models = f"http://127.0.0.1:{port}"
    console.print(f"  the page       {url}/")
    console.print(f"  API docs       {url}{API_PREFIX}/docs")
    console.print(f"  history query  {url}{API_PREFIX}/?limit=10")
    console.print(f"  MLflow         {models}")
    console.print(f"  logs           {children.log_dir}")
    while keep:
        time.sleep(0.5)
        check(child for child in children if child.name in ("broker", "service", "bridge"))


if __name__ == "__main__":
    run_command(main)
