"""``--check``: can the bridge reach what it needs? One line each, and an exit code."""

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
    """Whether an output topic can be written."""

    def probe() -> str:
        why = topics.unwritable(settings).get(topic)
        if why is not None:
            raise BrokerUnavailable(f"topic {topic} ({setting}) {why}")
        return f"{topic} can be written"

    return probe


def service_probe(settings: Settings, scorer: HttpScorer) -> Probe:
    def probe() -> str:
        scorer.health()
        return settings.service_url

    return probe


def database_probe(open_engine: Callable[[], Engine]) -> Probe:
    def probe() -> str:
        engine = open_engine()
        try:
            return f"PostgreSQL {server_version(engine)}"
        finally:
            engine.dispose()

    return probe


def run(probes: Sequence[tuple[str, Probe]], say: Callable[[str], None] = print) -> int:
    """Try each; 0 when all answered, else 1."""
    failed = 0
    for name, probe in probes:
        try:
            say(f"{name:<9} ok      {probe()}")
        except AnomalyError as error:
            failed += 1
            say(f"{name:<9} FAILED  {error.message}")
    return 1 if failed else 0
