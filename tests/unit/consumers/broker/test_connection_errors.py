"""Errors that kafka-python only logs are kept, the most telling first."""

from __future__ import annotations

import logging

from kafka import errors as kafka_errors

from consumers.broker.connection_errors import ConnectionErrorLog


def test_reason_that_is_only_logged_is_found():
    ear = ConnectionErrorLog()
    refused = kafka_errors.SaslAuthenticationFailedError("no such user")

    def say(error: Exception) -> None:
        ear.emit(logging.LogRecord("kafka.net", 30, "f", 1, "failed: %s", (error,), None))

    assert ear.reason() is None
    for error in (refused, kafka_errors.KafkaConnectionError("socket disconnected")):
        say(error)
    assert ear.reason() is refused
    ear = ConnectionErrorLog()
    handshake = kafka_errors.KafkaConnectionError("Handshake failed: wrong certificate")
    for error in (handshake, kafka_errors.KafkaConnectionError("socket disconnected")):
        say(error)
    assert ear.reason() is handshake
