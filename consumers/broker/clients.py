"""Make kafka-python's clients from the settings, and translate its errors."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from config import Settings
from consumers.broker import fetching, internals
from consumers.broker.connection_errors import connection_errors
from errors import BrokerUnavailable, SettingsError
from runtime import tls_context

T = TypeVar("T")

#: Maximum time in which a client must reach a broker.
BOOTSTRAP_MS = 10_000
_FATAL = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.FencedInstanceIdError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.KafkaConfigurationError,
    kafka_errors.InvalidSessionTimeoutError,
)


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return address, TLS and login for any kafka-python client."""
    options: dict[str, Any] = {
        "bootstrap_servers": [
            server.strip() for server in settings.kafka_bootstrap_servers.split(",")
        ],
        "client_id": settings.service_name,
        "security_protocol": settings.kafka_security_protocol,
        "metadata_max_age_ms": settings.kafka_metadata_max_age_ms,
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "reconnect_backoff_max_ms": 2000,
        # the client's own metrics: nobody reads them, and they cost time for each record
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
    options = {
        "ssl_check_hostname": settings.kafka_ssl_check_hostname,
        "ssl_password": password.get_secret_value() if password else None,
        **{name: str(path) for name, path in files.items() if path is not None},
    }
    _check_certificates(options)
    return options


def _check_certificates(options: dict[str, Any]) -> None:
    """Load the files once: kafka-python retries a file that it cannot read until a time-out."""
    if "ssl_cafile" in options:
        tls_context(Path(options["ssl_cafile"]), "KAFKA_SSL_CAFILE")
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if certificate is None:
        return
    asked: list[str] = []

    def password() -> str:  # without one, OpenSSL asks for it on the terminal
        asked.append("KAFKA_SSL_PASSWORD")
        return options["ssl_password"] or ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        files = f"KAFKA_SSL_CERTFILE: {certificate}"
        if key is not None:
            files += f" with KAFKA_SSL_KEYFILE={key}"
        secret = " (the key needs the right KAFKA_SSL_PASSWORD)" if asked else ""
        raise SettingsError(
            f"{files} cannot be used: {error}{secret}", field="KAFKA_SSL_CERTFILE"
        ) from None


def connected(make: Callable[..., T], settings: Settings, **options: Any) -> T:
    """Make a client of kafka-python's class ``make`` with the settings' connection and ``options``.

    Raises
    ------
    BrokerUnavailable, SettingsError
    """
    connection_errors.forget()
    try:
        return make(**(connection_options(settings) | options))
    except kafka_errors.KafkaError as error:
        raise translated(error, settings) from None


def make_consumer(settings: Settings) -> KafkaConsumer:
    """Make a consumer of bytes without automatic commits and resets; see :func:`connected`."""
    consumer = connected(
        KafkaConsumer, settings,
        group_id=settings.kafka_consumer_group,
        group_instance_id=settings.kafka_group_instance_id,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
        enable_auto_commit=False,
        # the bridge decides where to start, and reports lost records
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        isolation_level="read_committed",  # records of aborted transactions must not be read
        max_poll_records=2000,
        fetch_max_wait_ms=100,
        fetch_max_bytes=16 * 2**20,
        check_crcs=True,  # needs the package crc32c: in pure Python it costs more than all the rest
    )  # fmt: skip
    internals.forbid_topic_creation(consumer)
    fetching.install(consumer, int(settings.bridge_buffer_mb * 2**20))
    return consumer


def make_producer(settings: Settings, **overrides: Any) -> KafkaProducer:
    """Make an idempotent producer of bytes: acknowledged by all replicas, in order, compressed.

    See :func:`connected`.
    """
    options: dict[str, Any] = {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 5,
        "batch_size": 256 * 1024,
        "compression_type": "gzip",
        "max_block_ms": 5000,
        "delivery_timeout_ms": 30_000,
        "request_timeout_ms": 10_000,
        # the broker's limit decides what is too large, not a default of the client
        "max_request_size": 64 * 2**20,
    }
    internals.compress_quickly()
    return connected(KafkaProducer, settings, **(options | overrides))


def make_admin(settings: Settings) -> KafkaAdminClient:
    """Make an admin client; see :func:`connected`."""

    def make(*, metrics_enabled: bool, **options: Any) -> KafkaAdminClient:
        return KafkaAdminClient(**options)  # it does not accept metrics_enabled

    return connected(make, settings)


def is_fatal(error: Exception) -> bool:
    """Return whether no retry can succeed: wrong password, missing permission, or fenced."""
    return isinstance(error, _FATAL)


def translated(error: Exception, settings: Settings) -> BrokerUnavailable | SettingsError:
    """Translate an error of kafka-python into the project's, naming the setting to look at."""
    where = f"Kafka at {settings.kafka_bootstrap_servers}"
    reason = (
        connection_errors.reason() if isinstance(error, kafka_errors.KafkaTimeoutError) else None
    )
    if reason is not None and is_fatal(reason):
        error, reason = reason, None
    text = str(error) or type(error).__name__
    if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
        return SettingsError(
            f"{where} refused the login (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD): {text}",
            code="broker_refused",
        )
    if isinstance(error, kafka_errors.FencedInstanceIdError):
        return SettingsError(
            f"{where}: another bridge uses KAFKA_GROUP_INSTANCE_ID="
            f"{settings.kafka_group_instance_id}; each needs its own",
            code="fenced",
        )
    if is_fatal(error):
        return SettingsError(f"{where}: {type(error).__name__}: {text}", code="broker_refused")
    if reason is not None:
        text += f": {reason}"
    return BrokerUnavailable(f"{where} (KAFKA_BOOTSTRAP_SERVERS): {text}{_hint(error, settings)}")


def _hint(error: Exception, settings: Settings) -> str:
    """Name the settings to check if a server listens but the connection fails."""
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
