"""Settings of the brokers, topics and the consumer group."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from config.section import MAX_WAIT_MS, Section

#: A broker, as kafka-python reads it: a scheme may precede the host, an IPv6 address may have
#: brackets, and needs them with a port.
_HOST: Final = r"\[[^\s\]]+\]|[^\s:\[\]'\";@?#/]+"
_BROKER: Final = re.compile(
    rf"(\w+://)?(({_HOST})(:(?P<port>\d{{1,5}}))?|([0-9A-Fa-f]*:){{2,7}}[0-9A-Fa-f.]*)"
)
#: Kafka's own rule.
_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")

PublishMode = Literal["anomalies", "events", "incidents", "all"]


class KafkaSettings(Section):
    """Brokers and their security, topics, and the consumer group."""

    kafka_bootstrap_servers: str = "localhost:9092"
    """brokers, comma separated"""
    kafka_consumer_group: str = Field("detection-anomalies-service", min_length=1)
    """consumer group id of the bridge"""
    kafka_auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """where to start in a partition without a stored offset"""
    kafka_topic_input_features: str = "extracted-features"
    """input topic of readings"""
    kafka_topic_output_anomalies: str = "anomalies-detected"
    """output topic of anomalies"""
    kafka_topic_dead_letter: str = "extracted-features-dead-letter"
    """output topic of records that could not be scored"""
    kafka_publish: PublishMode = "anomalies"
    """messages on the output topic: anomalies (each anomalous reading), events, incidents (openings
    and rises of severity; choose this if each message opens a work order) or all"""
    kafka_topic_incidents: str = ""
    """compacted output topic of incidents: the whole incident at every change, key = id; empty:
    none"""
    kafka_group_instance_id: str | None = None
    """static membership: unique per bridge and unchanged by its restart"""
    kafka_session_timeout_ms: int = Field(45_000, ge=1000, le=MAX_WAIT_MS)
    """the group removes a member that is silent for this long"""
    kafka_heartbeat_interval_ms: int = Field(3000, ge=100, le=MAX_WAIT_MS)
    """interval of heartbeats; below the session timeout, best below a third of it"""
    kafka_metadata_max_age_ms: int = Field(5_000, ge=500, le=MAX_WAIT_MS)
    """maximum time until a change of a topic is noticed"""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """security protocol of the brokers' listener"""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """used with SASL_PLAINTEXT and SASL_SSL"""
    kafka_sasl_username: str | None = None
    """required with a SASL protocol"""
    kafka_sasl_password: SecretStr | None = None
    """required with a SASL protocol; never logged"""
    kafka_ssl_cafile: Path | None = None
    """certificate of the CA that signed the brokers' certificates"""
    kafka_ssl_certfile: Path | None = None
    """client certificate"""
    kafka_ssl_keyfile: Path | None = None
    """key of the client certificate"""
    kafka_ssl_password: SecretStr | None = None
    """password of this key"""
    kafka_ssl_check_hostname: bool = True
    """verify that the brokers' certificates match their host names"""

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _brokers(cls, value: str) -> str:
        brokers = [part.strip() for part in value.split(",") if part.strip()]
        found = [_BROKER.fullmatch(broker) for broker in brokers]
        if not found or not all(one and int(one["port"] or 1) < 65536 for one in found):
            raise ValueError("must be brokers like host1:9092,host2:9092")
        return value

    @field_validator(
        "kafka_topic_input_features", "kafka_topic_output_anomalies", "kafka_topic_dead_letter",
        "kafka_topic_incidents",
    )  # fmt: skip
    @classmethod
    def _topic(cls, value: str, info: ValidationInfo) -> str:
        off = not value and info.field_name == "kafka_topic_incidents"
        if not off and not _TOPIC.fullmatch(value):
            raise ValueError("must be the name of one topic: letters, digits, and . _ - only")
        return value

    @model_validator(mode="after")
    def _heartbeats_within_a_session(self) -> KafkaSettings:
        """Refuse heartbeats so rare that the group would remove the bridge between two."""
        interval, session = self.kafka_heartbeat_interval_ms, self.kafka_session_timeout_ms
        if interval >= session:
            raise ValueError(
                "KAFKA_HEARTBEAT_INTERVAL_MS must be below KAFKA_SESSION_TIMEOUT_MS, best below a"
                f" third of it (got {interval} and {session})"
            )
        return self

    @model_validator(mode="after")
    def _no_output_is_read_again(self) -> KafkaSettings:
        """Each dead letter of the input topic would become another dead letter, without end."""
        for name in ("output_anomalies", "dead_letter", "incidents"):
            if getattr(self, f"kafka_topic_{name}") == self.kafka_topic_input_features:
                raise ValueError(
                    f"KAFKA_TOPIC_{name.upper()} and KAFKA_TOPIC_INPUT_FEATURES must not be the"
                    f" same topic (got {self.kafka_topic_input_features!r} twice)"
                )
        return self
