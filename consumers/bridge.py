"""Run the bridge from Kafka to PostgreSQL: ``python -m consumers.bridge``.

The bridge reads ``extracted-features``, lets the service score every reading, stores the results
and publishes the anomalies. Each record becomes exactly one row of ``anomaly_detections`` or
``dead_letters``, even if any process is killed on the way. Several bridges share the topic's
partitions.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from kafka import errors as kafka_errors

from config import Settings, load_settings
from consumers import preflight
from consumers.app import Bridge
from consumers.broker import clients
from consumers.metrics import Metrics
from consumers.outage import Outage
from consumers.scoring_client import HttpScorer
from consumers.store import BridgeStore
from db.maintain import Maintenance
from db.migrate import migrate
from db.session import open_engine
from errors import BrokerUnavailable, SettingsError, StorageUnavailable
from runtime import command_parser, configure_logging, run_command, settle_memory

log = logging.getLogger("consumers.bridge")

T = TypeVar("T")

#: Connections beside the workers': claims, publishers, table maintenance, which holds a lock, and
#: the look for frozen sessions.
CONNECTIONS_BESIDES = 5

HELP = """\
settings (environment or .env) that are needed most often:
  KAFKA_BOOTSTRAP_SERVERS     brokers                              [localhost:9092]
  KAFKA_TOPIC_INPUT_FEATURES  topic of readings                    [extracted-features]
  KAFKA_CONSUMER_GROUP        group; bridges of one group share the partitions
  KAFKA_GROUP_INSTANCE_ID     static membership: unique per bridge, unchanged by a restart
  KAFKA_PUBLISH               anomalies, events, incidents or all  [anomalies]
  SERVICE_URL                 address of the service               [http://localhost:8084]
  SERVICE_API_KEY             access key of the service, if it needs one
  DATABASE_URL                PostgreSQL; unset: the embedded one under VAR_DIR
  BRIDGE_METRICS_PORT         Prometheus endpoint; unset: none
  LOG_JSON                    true: one JSON object per line

exit codes:
  0  stopped by SIGTERM or SIGINT, or drained, or every check passed
  1  a check failed, or the bridge cannot continue (a bug, a rejected login)
  2  a setting is wrong
  3  --drain: the service rejects most records for one reason (see REFUSAL_PAUSE)
  4  --drain: a topic rejects messages, which wait in the outbox (the log and --check name it)
"""


def arguments() -> argparse.ArgumentParser:
    """Define the command line."""
    parser = command_parser("consumers.bridge", __doc__, HELP)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--drain",
        action="store_true",
        help="process and publish the records that are in the topic now, then exit",
    )
    what.add_argument(
        "--check",
        action="store_true",
        help="check that broker, service and database can be reached and that the output topics "
        "can be written, then exit",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code, see ``--help``."""
    options = arguments().parse_args(argv)
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_json)
        if options.check:
            return _check(settings)
        return _run(settings, options.drain)
    except SettingsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1 if error.code in ("broker_refused", "fenced") else 2


def _check(settings: Settings) -> int:
    scorer = HttpScorer(settings)
    try:
        return preflight.run(preflight.probes(settings, scorer))
    finally:
        scorer.close()


def connections(settings: Settings) -> int:
    """Return the maximum number of database connections in use at the same time."""
    return settings.bridge_lanes + CONNECTIONS_BESIDES


def check_pool(settings: Settings) -> None:
    """Reject more workers (``BRIDGE_LANES``) than the connection pool allows.

    Raises
    ------
    SettingsError
        Workers would wait for each other's connections, and some of them time out.
    """
    needed = connections(settings)
    available = settings.database_pool_size + settings.database_pool_overflow
    if needed > available:
        raise SettingsError(
            f"BRIDGE_LANES: {settings.bridge_lanes} lanes and the other threads need {needed}"
            f" connections, but DATABASE_POOL_SIZE + DATABASE_POOL_OVERFLOW allow {available}",
            field="BRIDGE_LANES",
        )


def _run(settings: Settings, drain: bool) -> int:
    check_pool(settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    metrics = Metrics()
    if settings.bridge_metrics_port is not None:
        metrics.serve(settings.bridge_metrics_port)
    engine = _until(stopping, "database", lambda: open_engine(settings, connections(settings)))
    if engine is None:
        return 0
    try:
        if _until(stopping, "database", lambda: migrate(engine)) is None:
            return 0
        consumer = _until(stopping, "broker", lambda: clients.make_consumer(settings))
        if consumer is None:
            return 0
        preflight.log_unwritable(settings)
        preflight.log_compacted(settings)
        owner = settings.kafka_group_instance_id or f"{socket.gethostname()}:{os.getpid()}"
        maintenance = Maintenance(engine, settings)
        bridge = Bridge(
            settings, consumer, BridgeStore(engine, owner, settings), metrics,
            make_producer=lambda **options: clients.make_producer(settings, **options),
            make_scorer=lambda: HttpScorer(settings),
            make_partitions=maintenance.run,
        )  # fmt: skip
        return _drive(bridge, settings, stopping, drain)
    finally:
        engine.dispose()


def _until(stopping: threading.Event, what: str, attempt: Callable[[], T]) -> T | None:
    """Retry until the attempt succeeds; return None if the bridge is stopped before."""
    outage = Outage(what)
    while not stopping.is_set():
        try:
            made = attempt()
            outage.record_success()
            return made
        except (BrokerUnavailable, StorageUnavailable) as error:
            stopping.wait(outage.record_failure(error))
    return None


def _drive(bridge: Bridge, settings: Settings, stopping: threading.Event, drain: bool) -> int:
    bridge.start()
    settle_memory()
    try:
        while not stopping.is_set():
            try:
                bridge.step()
            except kafka_errors.KafkaError as error:
                if clients.is_fatal(error):
                    raise clients.translated(error, settings) from None
                failure = clients.translated(error, settings)
                stopping.wait(bridge.broker_outage.record_failure(failure))
            if (code := _ended(bridge, drain)) is not None:
                return code
        return 0
    finally:
        bridge.stop(settings.bridge_stop_s)


def _ended(bridge: Bridge, drain: bool) -> int | None:
    """Return the exit code if the bridge is to end by itself; None if it goes on."""
    if (ended := bridge.defect()) is not None:
        log.critical(
            "thread %s has ended because of a bug; stopping", ended, extra={"action": "defect"}
        )
        return 1
    if drain and bridge.condition.misconfiguration:
        return 3
    if drain and bridge.drained():
        log.info("drained", extra={"action": "drained"})
        return 4 if bridge.unpublished() else 0
    return None


if __name__ == "__main__":
    run_command(main)
