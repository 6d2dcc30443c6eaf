"""What kafka-python only logs: why no connection came about.

Its clients raise "unable to bootstrap" and write the reason (a wrong password, a certificate of
another authority) to its log, where it repeats for every attempt. This keeps the last ones, so
that they can be logged once, in our words.
"""

from __future__ import annotations

import logging
import time
from collections import deque

from kafka import errors as kafka_errors

#: Of an attempt: kafka-python gives one up after ten seconds.
RECENT_SECONDS = 15.0


class ConnectionErrorLog(logging.Handler):
    """Keeps the errors of the last log records."""

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
        """Forget the errors: a new attempt begins."""
        self._errors.clear()

    def reason(self) -> Exception | None:
        """Return the most telling recent error: a refused login, a failed handshake, or any."""
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
