"""Send by SMTP: one mail per change, or a summary."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from pathlib import Path

from db.queries.notifications import Change
from errors import AnomalyError, Unavailable
from notify import messages, receivers
from notify.sender_interface import Refused, Sender, about_certificate
from runtime import tls_context


class EmailSender(Sender):
    """Send a mail per change, as text and HTML; the mails of an incident form one thread."""

    def __init__(self, receiver: receivers.Email, link: str | None) -> None:
        self._receiver = receiver
        self._link = link
        cafile = None if receiver.cafile is None else Path(receiver.cafile)
        self._tls = tls_context(cafile, "cafile")
        self.summary_above = receiver.summary_above

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver; a rejected recipient is logged and does not affect the others."""
        with self._connected() as server:
            refused = server.send_message(self._message(changes))
        for address, (code, answer) in refused.items():
            about = messages.clean(address), code, _text(answer)
            logging.getLogger("notify").warning("mail: %s is refused: SMTP %d %s", *about)

    def check(self) -> str:
        """Log in and out."""
        with self._connected() as server:
            code, answer = server.noop()
        return f"reached: SMTP {code} {_text(answer)}"

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        given = self._receiver
        connect: Callable[..., smtplib.SMTP] = smtplib.SMTP
        if given.tls == "tls":
            connect = partial(smtplib.SMTP_SSL, context=self._tls)
        try:
            server = connect(given.host, given.port, timeout=given.timeout_s)
            try:
                if given.tls == "starttls":
                    server.starttls(context=self._tls)
                if given.user is not None:
                    server.login(given.user, given.password or "")
                yield server
            finally:
                _hang_up(server)
        except (OSError, smtplib.SMTPException) as error:
            raise _smtp_error(error) from None

    def _message(self, changes: Sequence[Change]) -> EmailMessage:
        last, domain = changes[-1], self._receiver.sender.rpartition("@")[2]
        message = EmailMessage()
        message["From"] = self._receiver.sender
        message["To"] = ", ".join(self._receiver.to)
        message["Subject"] = messages.subject(changes)
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{messages.change_id(last)}-{len(changes)}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        if len(changes) == 1:
            message["References"] = f"<{last.incident['id']}@{domain}>"
        message.set_content(messages.plain(changes, self._link))
        message.add_alternative(messages.html(changes, self._link), subtype="html")
        return message


def _hang_up(server: smtplib.SMTP) -> None:
    """End a connection; an odd answer must not make a delivered mail count as failed."""
    with suppress(OSError, smtplib.SMTPException):
        server.quit()
    server.close()


def _smtp_error(error: Exception) -> AnomalyError:
    code: int | None = getattr(error, "smtp_code", None)
    answer: bytes | str = getattr(error, "smtp_error", None) or str(error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
    text = f"{type(error).__name__} {code or ''} {_text(answer)}{about_certificate(error)}"
    if isinstance(error, smtplib.SMTPDataError) and 500 <= error.smtp_code < 600:
        return Refused(text)
    return Unavailable(text, code="smtp_failed", retry_after=0)


def _text(text: bytes | str) -> str:
    return messages.clean(text.decode(errors="replace") if isinstance(text, bytes) else text)
