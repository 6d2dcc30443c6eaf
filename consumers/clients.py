"""kafka-python clients out of the settings, and the few private corners of it that are used.

Everything that reaches behind kafka-python's public interface is in this file.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from config import Settings
from errors import BrokerUnavailable, SettingsError

TopicPartitions = Iterable[TopicPartition]

_FATAL = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.FencedInstanceIdError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.KafkaConfigurationError,
    kafka_errors.InvalidSessionTimeoutError,
)


def connection_options(settings: Settings) -> dict[str, Any]:
    """Where the brokers are and how to be let in, for any kafka-python client."""
    options: dict[str, Any] = {
        "bootstrap_servers": [
            server.strip() for server in settings.kafka_bootstrap_servers.split(",")
        ],
        "client_id": settings.service_name,
        "security_protocol": settings.kafka_security_protocol,
        "metadata_max_age_ms": settings.kafka_metadata_max_age_ms,
        "bootstrap_timeout_ms": 10_000,
        "reconnect_backoff_max_ms": 2000,
        # of the client itself: nothing reads it, and it costs time for each record
        "metrics_enabled": False,
    }
    if "SASL" in settings.kafka_security_protocol:
        if settings.kafka_sasl_username is None or settings.kafka_sasl_password is None:
            raise SettingsError(
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD: needed with "
                f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}",
                field="KAFKA_SASL_USERNAME",
            )
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    if "SSL" in settings.kafka_security_protocol:
        options |= _ssl_options(settings)
    return options


def _ssl_options(settings: Settings) -> dict[str, Any]:
    files = {
        "ssl_cafile": settings.kafka_ssl_cafile,
        "ssl_certfile": settings.kafka_ssl_certfile,
        "ssl_keyfile": settings.kafka_ssl_keyfile,
    }
    for name, path in files.items():
        if path is not None and not path.is_file():
            setting = f"KAFKA_{name.upper()}"
            raise SettingsError(f"{setting}: {path} is not a file", field=setting)
    password = settings.kafka_ssl_password
    return {
        "ssl_check_hostname": settings.kafka_ssl_check_hostname,
        "ssl_password": password.get_secret_value() if password else None,
        **{name: str(path) for name, path in files.items() if path is not None},
    }


def make_consumer(settings: Settings) -> KafkaConsumer:
    """A consumer of bytes that commits and resets nothing by itself.

    Raises
    ------
    BrokerUnavailable, SettingsError
    """
    options = connection_options(settings)
    try:
        consumer = KafkaConsumer(
            **options,
            group_id=settings.kafka_consumer_group,
            group_instance_id=settings.kafka_group_instance_id,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
            enable_auto_commit=False,
            # where to start is ours to decide, and a record lost is ours to report
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_poll_records=2000,
            fetch_max_wait_ms=100,
            fetch_max_bytes=16 * 2**20,
            # In pure Python the checksum costs more than all else together (70 us for 700 bytes).
            # The broker has checked it, and so does TCP; with the package crc32c it costs nothing.
            check_crcs=find_spec("crc32c") is not None,
        )
    except kafka_errors.KafkaError as error:
        raise translated(error, settings) from None
    # kafka-python 3.0 forgets to hand this option on; a consumer must not make its own topic
    consumer._client.cluster.config["allow_auto_create_topics"] = False
    return consumer


def make_producer(settings: Settings, **overrides: Any) -> KafkaProducer:
    """An idempotent producer of bytes: acknowledged by all replicas, in order, compressed.

    Raises
    ------
    BrokerUnavailable, SettingsError
    """
    options: dict[str, Any] = {
        **connection_options(settings),
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 5,
        "batch_size": 256 * 1024,
        "compression_type": "gzip",
        "max_block_ms": 5000,
        "delivery_timeout_ms": 30_000,
        "request_timeout_ms": 10_000,
        # the broker decides what is too large, not a default of the client
        "max_request_size": 64 * 2**20,
    }
    try:
        return KafkaProducer(**(options | overrides))
    except kafka_errors.KafkaError as error:
        raise translated(error, settings) from None


def is_fatal(error: Exception) -> bool:
    """No later try can succeed: a password, a right, or another bridge with our identity."""
    return isinstance(error, _FATAL)


def translated(error: Exception, settings: Settings) -> BrokerUnavailable | SettingsError:
    """The project's error for one of kafka-python's, naming the setting to look at."""
    said = str(error) or type(error).__name__
    where = f"Kafka at {settings.kafka_bootstrap_servers}"
    if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
        return SettingsError(
            f"{where} refused the login (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD): {said}",
            code="broker_refused",
        )
    if isinstance(error, kafka_errors.FencedInstanceIdError):
        return SettingsError(
            f"{where}: another bridge uses KAFKA_GROUP_INSTANCE_ID="
            f"{settings.kafka_group_instance_id}; each needs its own",
            code="fenced",
        )
    if is_fatal(error):
        return SettingsError(f"{where}: {type(error).__name__}: {said}", code="broker_refused")
    return BrokerUnavailable(f"{where} (KAFKA_BOOTSTRAP_SERVERS): {said}{_hint(error, settings)}")


def _hint(error: Exception, settings: Settings) -> str:
    """kafka-python says only that it could not start; what the network tells besides."""
    if not isinstance(error, kafka_errors.KafkaTimeoutError):
        return ""
    host, _, port = settings.kafka_bootstrap_servers.split(",")[0].strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, ValueError):
        return ""
    names = "KAFKA_SECURITY_PROTOCOL"
    if "SASL" in settings.kafka_security_protocol:
        names += ", KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD"
    if "SSL" in settings.kafka_security_protocol:
        names += ", KAFKA_SSL_CAFILE"
    return f"; something listens there, so is it the login? See {names}"


def topic_id(consumer: KafkaConsumer, topic: str) -> UUID | None:
    """The id of the topic that now has this name; None while it is not known.

    Brokers before 2.8 have no topic ids: the name stands in, and a topic made anew is then
    taken for the old one.
    """
    cluster = consumer._client.cluster
    if not cluster.partitions_for_topic(topic):
        return None
    found = cluster.topic_id(topic)
    if found is None or found.int == 0:
        return uuid5(NAMESPACE_URL, f"kafka-topic:{topic}")
    return UUID(int=found.int)


def refresh_metadata(consumer: KafkaConsumer) -> None:
    """Ask for fresh metadata soon, without waiting for it."""
    consumer._client.cluster.request_update()


def connected(consumer: KafkaConsumer) -> bool:
    """Whether a connection to any broker is open."""
    return any(conn.connected for conn in list(consumer._manager._conns.values()))


def last_heartbeat(consumer: KafkaConsumer) -> float:
    """``time.monotonic()`` of the last heartbeat that the coordinator confirmed."""
    return float(consumer._coordinator.heartbeat.last_receive)


def finish_joining(consumer: KafkaConsumer) -> None:
    """Have the next ``poll`` take the answer of a join that an earlier one did not wait for.

    kafka-python 3.0 forgets it when the join came from changed metadata: the leader's part of the
    join makes it believe that none is needed any more, and the member stays without partitions.
    """
    coordinator = consumer._coordinator
    if coordinator._join_task is not None and not coordinator.need_rejoin():
        coordinator.request_rejoin()


def hand_out_parked(consumer: KafkaConsumer) -> None:
    """Have the next ``poll`` return records that were fetched before their partition was paused.

    kafka-python 3.0 parks them, and takes them up again only into an empty slot; a slot whose
    records are used up counts as taken, so without this a resumed partition may stand still.
    """
    fetcher = consumer._fetcher
    if fetcher._paused_partition_records and not fetcher._next_partition_records:
        fetcher._next_partition_records = None


def refreshed(consumer: KafkaConsumer, seconds: float) -> None:
    """Wait for fresh metadata.

    Raises
    ------
    kafka.errors.KafkaTimeoutError
    """
    update = consumer._client.cluster.request_update()
    consumer._net.run(consumer._manager.wait_for, update, seconds * 1000)


def is_stable(consumer: KafkaConsumer) -> bool:
    """The group has given this member its partitions (perhaps none), and knows it."""
    return bool(consumer._coordinator.stable() and not consumer._coordinator.need_rejoin())


async def nap(consumer: KafkaConsumer, seconds: float) -> None:
    """Wait inside a rebalance listener while the consumer's loop (heartbeats) goes on."""
    await consumer._net.sleep(seconds)


def placeholder(consumer: KafkaConsumer, partition: TopicPartition) -> None:
    """Keep a newly assigned partition from being read before its place is known.

    Called from the rebalance listener, where no call that waits is allowed: these two only
    mark the subscription.
    """
    consumer.pause(partition)
    consumer.seek(partition, 0)


def commit_async(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Tell lag monitors where we are; a failure is of no consequence."""
    consumer.commit_async(_with_metadata(offsets), callback=lambda *_: None)


def commit(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int], seconds: float) -> None:
    """Like :func:`commit_async`, waiting for it up to ``seconds``."""
    consumer.commit(_with_metadata(offsets), timeout_ms=seconds * 1000)


def _with_metadata(
    offsets: Mapping[TopicPartition, int],
) -> dict[TopicPartition, OffsetAndMetadata]:
    return {place: OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
