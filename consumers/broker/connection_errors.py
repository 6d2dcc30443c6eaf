"""Collect the reasons for failed connections, which kafka-python only logs.

Its clients raise "unable to bootstrap" and log the reason (a wrong password, an unknown CA) at
every attempt. This handler keeps the last errors, so that the bridge can log the reason once.
"""

from __future__ import annotations

import logging
import time
from collections import deque

from kafka import errors as kafka_errors

#: kafka-python gives up an attempt after ten seconds.
RECENT_SECONDS = 15.0


class ConnectionErrorLog(logging.Handler):
    """Keep the errors of recent log records."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._errors: deque[tuple[float, Exception]] = deque(maxlen=50)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the errors among a record's arguments."""
        given = record.args if isinstance(record.args, tuple) else ()
        now = time.monotonic()
        self._errors.extend(
            (now, one)
            for one in given
            if isinstance(one, Exception) and not isinstance(one, kafka_errors.KafkaTimeoutError)
        )

    def forget(self) -> None:
        """Forget the errors before a new attempt."""
        self._errors.clear()

    def reason(self) -> Exception | None:
        """Return the most specific recent error: a refused login, a failed handshake, or any."""
        since = time.monotonic() - RECENT_SECONDS
        recent = [error for at, error in self._errors if at >= since]
        for telling in (_is_login, _is_handshake):
            found = next((error for error in reversed(recent) if telling(error)), None)
            if found is not None:
                return found
        return recent[-1] if recent else None


def _is_login(error: Exception) -> bool:
    return isinstance(error, kafka_errors.SaslAuthenticationFailedError)


def _is_handshake(error: Exception) -> bool:
    return "Handshake" in str(error)


connection_errors = ConnectionErrorLog()
logging.getLogger("kafka.net").addHandler(connection_errors)
