"""Settings become kafka-python's options; its errors become ours."""

from __future__ import annotations

import logging
import socket

import pytest
from kafka import errors as kafka_errors

from config import load_settings
from consumers.broker import clients
from consumers.broker.connection_errors import ConnectionErrorLog
from errors import BrokerUnavailable, SettingsError


def test_sasl_over_tls_is_handed_on(tmp_path):
    authority = tmp_path / "ca.pem"
    authority.write_text("x")
    settings = load_settings(
        kafka_bootstrap_servers="one:9093, two:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="bridge",
        kafka_sasl_password="secret",
        kafka_ssl_cafile=authority,
    )
    options = clients.connection_options(settings)
    assert options["bootstrap_servers"] == ["one:9093", "two:9093"]
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("bridge", "secret")
    assert options["ssl_cafile"] == str(authority)
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "KAFKA_SASL_USERNAME"),
        (
            {"kafka_security_protocol": "SSL", "kafka_ssl_cafile": "/nowhere.pem"},
            "KAFKA_SSL_CAFILE",
        ),
    ],
)
def test_incomplete_security_names_the_setting(wrong, named):
    with pytest.raises(SettingsError, match=named):
        clients.connection_options(load_settings(**wrong))


@pytest.mark.parametrize(
    ("error", "kind", "named"),
    [
        (kafka_errors.SaslAuthenticationFailedError("bad"), SettingsError, "KAFKA_SASL_PASSWORD"),
        (kafka_errors.FencedInstanceIdError(), SettingsError, "KAFKA_GROUP_INSTANCE_ID"),
        (kafka_errors.TopicAuthorizationFailedError("in"), SettingsError, "TopicAuthorization"),
        (kafka_errors.KafkaConnectionError("refused"), BrokerUnavailable, "KAFKA_BOOTSTRAP"),
    ],
)
def test_errors_of_the_broker_name_what_to_look_at(error, kind, named):
    found = clients.translated(error, load_settings())
    assert isinstance(found, kind)
    assert named in found.message


def test_start_that_fails_on_an_open_port_points_at_the_login():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        settings = load_settings(
            kafka_bootstrap_servers=f"127.0.0.1:{port}",
            kafka_security_protocol="SASL_PLAINTEXT",
        )
        error = kafka_errors.KafkaTimeoutError("Unable to bootstrap")
        assert "KAFKA_SASL_PASSWORD" in clients.translated(error, settings).message
    assert "KAFKA_SASL_PASSWORD" not in clients.translated(error, settings).message


def test_refused_login_behind_a_time_out_is_said(monkeypatch):
    ear = ConnectionErrorLog()
    monkeypatch.setattr(clients, "connection_errors", ear)
    error = kafka_errors.KafkaTimeoutError("Unable to bootstrap")
    assert isinstance(clients.translated(error, load_settings()), BrokerUnavailable)
    refused = kafka_errors.SaslAuthenticationFailedError("no such user")
    ear.emit(logging.LogRecord("kafka.net", 30, "f", 1, "failed: %s", (refused,), None))
    found = clients.translated(error, load_settings())
    assert isinstance(found, SettingsError)
    assert "no such user" in found.message
