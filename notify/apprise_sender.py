"""Send to any service that Apprise supports, such as chats."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

import apprise

from db.queries.notifications import Change
from errors import SettingsError, Unavailable
from notify import messages, receivers
from notify.sender_interface import Sender

#: Lines of a summary for a chat, whose messages are short.
CHAT_LINES: Final = 30
_APPRISE_LOG = logging.getLogger("apprise")
_HEARD: ContextVar[list[str]] = ContextVar("heard")


class _Hear(logging.Handler):
    """Collect what Apprise logs during a delivery: its threads inherit the sender's context."""

    def emit(self, record: logging.LogRecord) -> None:
        _HEARD.get([]).append(record.getMessage())


class AppriseSender(Sender):
    """Send a message to any service that Apprise supports."""

    def __init__(self, receiver: receivers.Apprise, link: str | None) -> None:
        self._link = link
        self.summary_above = receiver.summary_above
        if not any(isinstance(one, _Hear) for one in _APPRISE_LOG.handlers):
            _APPRISE_LOG.addHandler(_Hear(logging.WARNING))
            _APPRISE_LOG.propagate = False  # its log lines may contain the address, a secret
        found = apprise.Apprise.instantiate(receiver.url, suppress_exceptions=True)
        if found is None:
            raise SettingsError("url: is not an address that apprise knows")
        self._service = apprise.Apprise()  # escapes text as the service requires
        self._service.add(found)
        found.socket_connect_timeout = found.socket_read_timeout = receiver.timeout_s

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver; a failure's reason is taken from the library's log."""
        heard: list[str] = []
        _HEARD.set(heard)
        sent = self._service.notify(
            body=messages.plain(changes, self._link, CHAT_LINES),
            title=messages.subject(changes),
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not sent:
            reason = messages.clean(" ".join(heard)) or "not sent"
            raise Unavailable(reason, code="apprise_failed", retry_after=0)

    def check(self) -> str:
        """Return that the address cannot be checked without sending."""
        return "its address is well-formed; python -m notify.test shows whether messages arrive"
