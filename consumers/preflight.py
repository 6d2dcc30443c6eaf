"""``--check``: try whether the bridge reaches what it needs; one line each, and an exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kafka import KafkaConsumer
from sqlalchemy import Engine

from config import Settings
from consumers import topics
from consumers.broker import clients
from consumers.scoring_client import HttpScorer
from db.session import server_version
from errors import AnomalyError, BrokerUnavailable

Probe = Callable[[], str]


def broker_probe(settings: Settings) -> Probe:
    """Look for the brokers and the input topic."""

    def probe() -> str:
        consumer = clients.connected(KafkaConsumer, settings)
        try:
            there = settings.kafka_topic_input_features in consumer.topics()
        finally:
            consumer.close()
        state = "is there" if there else "does not exist yet (the bridge will wait for it)"
        return (
            f"{settings.kafka_bootstrap_servers}; "
            f"topic {settings.kafka_topic_input_features} {state}"
        )

    return probe


def topic_probe(settings: Settings, topic: str, setting: str) -> Probe:
    """Check that an output topic can be written."""

    def probe() -> str:
        why = topics.unwritable(settings).get(topic)
        if why is not None:
            raise BrokerUnavailable(f"topic {topic} ({setting}) {why}")
        return f"{topic} can be written"

    return probe


def service_probe(settings: Settings, scorer: HttpScorer) -> Probe:
    """Ask for the service's health."""

    def probe() -> str:
        scorer.health()
        return settings.service_url

    return probe


def database_probe(open_engine: Callable[[], Engine]) -> Probe:
    """Ask for the database's version."""

    def probe() -> str:
        engine = open_engine()
        try:
            return f"PostgreSQL {server_version(engine)}"
        finally:
            engine.dispose()

    return probe


def run(probes: Sequence[tuple[str, Probe]], write: Callable[[str], None] = print) -> int:
    """Try each probe; return 0 when all answered, else 1."""
    failed = 0
    for name, probe in probes:
        try:
            write(f"{name:<9} ok      {probe()}")
        except AnomalyError as error:
            failed += 1
            write(f"{name:<9} FAILED  {error.message}")
    return 1 if failed else 0
