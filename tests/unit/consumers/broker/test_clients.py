"""Settings become kafka-python's options; its errors become ours."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from kafka import errors as kafka_errors

from config import load_settings
from consumers.broker import clients
from consumers.broker.connection_errors import ConnectionErrorLog
from errors import BrokerUnavailable, SettingsError
from tests.integration.tls import certificates


def test_sasl_over_tls_is_handed_on(tmp_path):
    authority = certificates(tmp_path / "tls").authority
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


def locked(key: Path) -> Path:
    """The same key behind the password ``right``."""
    secret = serialization.BestAvailableEncryption(b"right")
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    form = serialization.PrivateFormat.PKCS8
    out = key.with_suffix(".locked")
    out.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, form, secret))
    return out


@pytest.mark.parametrize(
    ("certificate", "key", "password", "named"),
    [
        ("garbage", "server.key", None, "KAFKA_SSL_CERTFILE: .*garbage .*cannot be used"),
        ("server.pem", "garbage", None, "with KAFKA_SSL_KEYFILE=.*garbage cannot be used"),
        ("server.pem", None, None, "KAFKA_SSL_CERTFILE: .*server.pem cannot be used"),
        ("ca.pem", "server.key", None, "KAFKA_SSL_CERTFILE: .*ca.pem .*cannot be used"),
        ("server.pem", "server.locked", None, "needs the right KAFKA_SSL_PASSWORD"),
        ("server.pem", "server.locked", "wrong", "needs the right KAFKA_SSL_PASSWORD"),
    ],
)
def test_client_certificate_that_cannot_be_used_is_named_at_once(
    tmp_path, certificate, key, password, named
):
    folder = tmp_path / "tls"
    locked(certificates(folder).key)
    (folder / "garbage").write_text("x")
    # the authority's key is another one
    settings = load_settings(
        kafka_security_protocol="SSL",
        kafka_ssl_certfile=folder / certificate,
        kafka_ssl_keyfile=None if key is None else folder / key,
        kafka_ssl_password=password,
    )
    with pytest.raises(SettingsError, match=named):
        clients.connection_options(settings)


def test_client_certificate_with_a_locked_key_is_handed_on(tmp_path):
    made = certificates(tmp_path / "tls")
    key = locked(made.key)
    settings = load_settings(
        kafka_security_protocol="SSL",
        kafka_ssl_certfile=made.certificate,
        kafka_ssl_keyfile=key,
        kafka_ssl_password="right",
    )
    options = clients.connection_options(settings)
    assert (options["ssl_keyfile"], options["ssl_password"]) == (str(key), "right")


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
