"""Check that the bridge can reach everything it needs (``--check``): one line per check."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource

from config import Settings
from consumers.broker import clients
from consumers.scoring_client import HttpScorer
from db.migrate import check_usable
from db.session import opened, server_version
from errors import AnomalyError, BrokerUnavailable, NoModel

log = logging.getLogger("consumers.bridge")

Probe = Callable[[], str]

MISSING = kafka_errors.UnknownTopicOrPartitionError.errno
REFUSED = kafka_errors.TopicAuthorizationFailedError.errno
#: The key is the asset, so compaction keeps one reading of each; nothing shows the others.
_LOSES = (
    "is compacted (cleanup.policy): while the bridge is behind, Kafka deletes readings that it has"
    " not read, all but the newest of each asset"
)


def probe_broker(settings: Settings) -> str:
    """Check the brokers and the input topic."""
    consumer = clients.connected(KafkaConsumer, settings)
    try:
        there = settings.kafka_topic_input_features in consumer.topics()
    finally:
        consumer.close()
    state = "exists" if there else "does not exist yet (the bridge will wait for it)"
    topic = settings.kafka_topic_input_features
    if there and is_compacted(settings):
        state += f", but {_LOSES}"
    return f"{settings.kafka_bootstrap_servers}; topic {topic} {state}"


def probe_topic(
    ask: Callable[[], dict[str, str] | BrokerUnavailable], topic: str, setting: str
) -> str:
    """Check that an output topic can be written.

    Parameters
    ----------
    ask
        Returns what :func:`unwritable` does, or its error.
    topic
        The output topic.
    setting
        Name of its setting, for the error.
    """
    answer = ask()
    if isinstance(answer, BrokerUnavailable):
        raise BrokerUnavailable(f"topic {topic}: {answer.message}")
    why = answer.get(topic)
    if why is not None:
        raise BrokerUnavailable(f"topic {topic} ({setting}) {why}")
    return f"{topic} can be written"


def probe_service(settings: Settings, scorer: HttpScorer) -> str:
    """Let the service score no streams, which needs the same key and role as scoring some."""
    try:
        scorer.score(b'{"streams": []}')
    except NoModel:
        return f"{settings.service_url}; it has no model yet (the bridge will wait for one)"
    return settings.service_url


def probe_database(settings: Settings) -> str:
    """Query the database's version; its schema must not be too new, and it must take rows."""
    with opened(settings) as engine:
        check_usable(engine)
        return f"PostgreSQL {server_version(engine)}"


def probes(settings: Settings, scorer: HttpScorer) -> list[tuple[str, Probe]]:
    """List the checks with their names."""

    @cache  # a broker that does not answer is waited for once, however many topics there are
    def ask() -> dict[str, str] | BrokerUnavailable:
        try:
            return unwritable(settings)
        except BrokerUnavailable as error:
            return error

    return [
        ("broker", partial(probe_broker, settings)),
        *(("topic", partial(probe_topic, ask, *one)) for one in output_topics(settings).items()),
        ("service", partial(probe_service, settings, scorer)),
        ("database", partial(probe_database, settings)),
    ]


def run(probes: Sequence[tuple[str, Probe]], write: Callable[[str], None] = print) -> int:
    """Run each check; return 0 if all succeeded, else 1."""
    failed = 0
    for name, probe in probes:
        try:
            write(f"{name:<9} ok      {probe()}")
        except AnomalyError as error:
            failed += 1
            write(f"{name:<9} FAILED  {error.message}")
    return 1 if failed else 0


def output_topics(settings: Settings) -> dict[str, str]:
    """Return the output topics, each with the setting that names it."""
    topics = {
        settings.kafka_topic_output_anomalies: "KAFKA_TOPIC_OUTPUT_ANOMALIES",
        settings.kafka_topic_dead_letter: "KAFKA_TOPIC_DEAD_LETTER",
    }
    if settings.kafka_topic_incidents:
        topics[settings.kafka_topic_incidents] = "KAFKA_TOPIC_INCIDENTS"
    return topics


def unwritable(settings: Settings) -> dict[str, str]:
    """Return output topics that cannot be written, each with the reason.

    A broker that reports no permissions (without an authorizer, or an old one) counts as allowing.

    Raises
    ------
    BrokerUnavailable, SettingsError
    """
    admin = clients.make_admin(settings)
    try:
        topics = list(output_topics(settings))
        described = {one["name"]: one for one in admin.describe_topics(topics)}
        keyed = settings.kafka_topic_incidents
        found = {
            topic: _why(admin, topic, described.get(topic), keyed=topic == keyed)
            for topic in topics
        }
    except kafka_errors.KafkaError as error:
        raise clients.translated(error, settings) from None
    finally:
        admin.close()
    return {topic: why for topic, why in found.items() if why is not None}


def is_compacted(settings: Settings) -> bool:
    """Return whether the input topic is compacted; False if the broker does not say.

    Raises
    ------
    BrokerUnavailable, SettingsError
    """
    admin = clients.make_admin(settings)
    try:
        return _compacted(admin, settings.kafka_topic_input_features)
    finally:
        admin.close()


def log_compacted(settings: Settings) -> None:
    """Log that readings may be lost unread, if the input topic is compacted."""
    try:
        found = is_compacted(settings)
    except AnomalyError as error:
        log.debug("input topic: %s", error.message)
        return
    if found:
        topic = settings.kafka_topic_input_features
        log.error("topic %s (KAFKA_TOPIC_INPUT_FEATURES) %s", topic, _LOSES,
                  extra={"action": "input_compacted"})  # fmt: skip


def log_unwritable(settings: Settings) -> None:
    """Log each output topic that cannot be written; a topic that cannot be checked is skipped."""
    try:
        found = unwritable(settings)
    except AnomalyError as error:
        log.debug("output topics: %s", error.message)
        return
    for topic, why in found.items():
        log.error(
            "topic %s (%s) %s: messages to it wait in the outbox",
            topic, output_topics(settings)[topic], why, extra={"action": "topic_refuses"},
        )  # fmt: skip


def _why(admin: Any, topic: str, described: dict[str, Any] | None, *, keyed: bool) -> str | None:
    code = MISSING if described is None else described["error_code"]
    if described is None or code == MISSING:
        return None if _creates_topics(admin) else f"does not exist ({_creation(topic, keyed)})"
    if code == REFUSED:
        return "cannot be seen with this login (an ACL)"
    allowed = described.get("authorized_operations") or ()
    if allowed and "WRITE" not in allowed:
        return "cannot be written with this login (an ACL)"
    if not keyed and _compacted(admin, topic):
        return "is compacted (cleanup.policy): records without a key are rejected, others are lost"
    return None


def _compacted(admin: Any, topic: str) -> bool:
    return "compact" in _config(admin, "TOPIC", topic, "cleanup.policy").split(",")


def _creation(topic: str, keyed: bool) -> str:
    """Say how to create a topic."""
    compacted = " --config cleanup.policy=compact" if keyed else ""
    return f"create it: kafka-topics.sh --create --topic {topic}{compacted}"


def _creates_topics(admin: Any) -> bool:
    """Return whether the broker creates a topic on the first write; False if unknown."""
    nodes = [str(one["broker_id"]) for one in admin.describe_cluster()["brokers"]]
    names = (_config(admin, "BROKER", node, "auto.create.topics.enable") for node in nodes[:1])
    return any(value == "true" for value in names)


def _config(admin: Any, kind: str, name: str, key: str) -> str:
    """Return one configuration value; empty if the broker does not report it."""
    try:
        asked = ConfigResource(kind, name, [key])
        answer = admin.describe_configs([asked], config_filter="all")
        return str(answer[kind.lower()][name][key]["value"])
    except (kafka_errors.KafkaError, KeyError, TypeError):
        return ""
