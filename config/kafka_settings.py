"""Settings of the brokers, topics and the consumer group."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from config.section import MAX_WAIT_MS, Section

PublishMode = Literal["anomalies", "events", "incidents", "all"]


class KafkaSettings(Section):
    """Brokers and their security, topics, and the consumer group."""

    kafka_bootstrap_servers: str = "localhost:9092"
    """brokers, comma separated"""
    kafka_consumer_group: str = "detection-anomalies-service"
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
    """interval of heartbeats; below a third of the session timeout"""
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
        if not value.strip():
            raise ValueError("must be brokers like host1:9092,host2:9092")
        return value
