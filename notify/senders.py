"""Define one sender per type of receiver; it delivers, or raises the reason.

A sender raises :class:`~errors.Unavailable` if the receiver cannot be reached now,
:class:`Refused` if it rejects this message, and :class:`Ended` if it wants no more messages. Each
receiver has its own sender.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import smtplib
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import apprise
import httpx
import orjson

from db.queries.notifications import Change
from errors import AnomalyError, SettingsError, Unavailable
from notify import messages, receivers
from notify.routes import Routes
from runtime import tls_context

#: Alertmanager drops an alert that is not repeated for this many intervals.
KEPT_INTERVALS: Final = 4
#: Alerts in one request: about a megabyte.
ALERTS_PER_POST: Final = 500
#: Ended alerts are repeated for this time in seconds (Prometheus: 15 minutes).
RESOLVED_S: Final = 300.0
#: Maximum wait for a receiver, even if its Retry-After is longer.
LONGEST_RETRY_AFTER_S: Final = 86_400.0
#: Lines of a summary for a chat, whose messages are short.
CHAT_LINES: Final = 30
_APPRISE_LOG = logging.getLogger("apprise")
_HEARD: ContextVar[list[str]] = ContextVar("heard")
#: HTTP statuses that a repetition of the same message would meet again.
_MESSAGE_AT_FAULT = (400, 405, 413, 414, 415, 422)


class Refused(AnomalyError):
    """The receiver rejects this message."""


class Ended(AnomalyError):
    """The receiver wants no more messages (HTTP 410)."""


class Sender(ABC):
    """Send to one receiver.

    ``summary_above``: more changes than this at once are sent as one message; 0: never.
    ``repeat_s``: interval of sending the present state; None: send each change once.
    """

    summary_above: int = 0
    repeat_s: float | None = None

    @abstractmethod
    def send(self, changes: Sequence[Change]) -> None:
        """Deliver the changes as one message."""

    @abstractmethod
    def check(self) -> str:
        """Reach the receiver without sending a message; return the result."""


def make_all(found: Routes, path: str) -> dict[str, Sender]:
    """Make the sender of each receiver, by its name.

    Raises
    ------
    SettingsError
        Names the file, the receiver and the field.
    """
    made: dict[str, Sender] = {}
    for name, receiver in found.receivers.items():
        try:
            made[name] = _SENDERS[type(receiver)](receiver, found.link)
        except (SettingsError, ValueError) as error:  # httpx rejects an invalid header
            problem = f"NOTIFY_ROUTES: {path}: receiver {name!r}: {found.reason(error)}"
            raise SettingsError(problem, field="NOTIFY_ROUTES") from None
    return made


def _trust(cafile: str | None) -> ssl.SSLContext:
    return tls_context(None if cafile is None else Path(cafile), "cafile")


class _WebSender(Sender):
    """An HTTP connection to one receiver; redirects are not followed, bodies not read."""

    def __init__(self, receiver: receivers.Web, link: str | None) -> None:
        self._url = receiver.url
        self._link = link
        headers = {"User-Agent": "anomaly-detection", **receiver.headers}
        tls, timeout = _trust(receiver.cafile), receiver.timeout_s
        self._client = httpx.Client(verify=tls, headers=headers, timeout=timeout)

    def _request(self, method: str, path: str = "", **options: Any) -> int:
        url = self._url.rstrip("/") + path if path else self._url
        try:
            with self._client.stream(method, url, **options) as answer:
                if not answer.is_success and method == "POST":
                    raise _http_error(answer)
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"{type(error).__name__} {error}"
            raise Unavailable(reason, code="unreachable", retry_after=0) from None

    def _post(self, body: bytes, path: str = "", **headers: str) -> None:
        headers = {"Content-Type": "application/json", **headers}
        self._request("POST", path, content=body, headers=headers)


def _http_error(answer: httpx.Response) -> AnomalyError:
    status = answer.status_code
    reason = f"HTTP {status} {answer.reason_phrase}"
    if status == 410:
        return Ended(f"{reason}: it wants no more")
    if status in _MESSAGE_AT_FAULT:
        return Refused(reason)
    after = _seconds(answer.headers.get("Retry-After", ""))
    return Unavailable(reason, code=f"http_{status}", retry_after=after)


def _seconds(retry_after: str) -> float:
    """Parse a Retry-After header, in seconds or as a date; 0 if it is missing."""
    seconds = 0.0
    with suppress(ValueError, TypeError):
        if retry_after.strip().isdigit():
            seconds = float(retry_after)
        elif retry_after:
            at = parsedate_to_datetime(retry_after)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


class WebhookSender(_WebSender):
    """POST each change, signed according to https://www.standardwebhooks.com."""

    def __init__(self, receiver: receivers.Webhook, link: str | None) -> None:
        super().__init__(receiver, link)
        self._key = None if receiver.secret is None else _key(receiver.secret)

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver each change; ``webhook-id`` lets the receiver recognise repeats."""
        for change in changes:
            body, stamp = messages.body(change), str(int(time.time()))
            name = messages.change_id(change)
            headers = {"webhook-id": name, "webhook-timestamp": stamp}
            if self._key is not None:
                headers["webhook-signature"] = sign(self._key, name, stamp, body)
            self._post(body, **headers)

    def check(self) -> str:
        """Send a HEAD request: any status shows that the receiver can be reached."""
        signed = "signed" if self._key is not None else "NOT signed: it has no secret"
        return f"reached (HEAD: HTTP {self._request('HEAD')}), {signed}"


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise SettingsError("secret: is not base64 after whsec_")
    return key


def sign(key: bytes, name: str, stamp: str, body: bytes) -> str:
    """Sign a message by HMAC-SHA256 over id, time and body.

    Parameters
    ----------
    key : bytes
        The receiver's secret.
    name : str
        ``webhook-id``.
    stamp : str
        ``webhook-timestamp``, seconds since 1970.
    body : bytes
    """
    digest = hmac.digest(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


class EmailSender(Sender):
    """Send a mail per change, as text and HTML; the mails of an incident form one thread."""

    def __init__(self, receiver: receivers.Email, link: str | None) -> None:
        self._receiver = receiver
        self._link = link
        self._tls = _trust(receiver.cafile)
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
    text = f"{type(error).__name__} {code or ''} {_text(answer)}"
    if isinstance(error, smtplib.SMTPDataError) and 500 <= error.smtp_code < 600:
        return Refused(text)
    return Unavailable(text, code="smtp_failed", retry_after=0)


def _text(text: bytes | str) -> str:
    return messages.clean(text.decode(errors="replace") if isinstance(text, bytes) else text)


class AlertmanagerSender(_WebSender):
    """Send an alert per incident, repeated while it is open and for a while afterwards."""

    def __init__(self, receiver: receivers.Alertmanager, link: str | None) -> None:
        super().__init__(receiver, link)
        self.repeat_s = receiver.repeat_s
        self._kept = timedelta(seconds=KEPT_INTERVALS * receiver.repeat_s)

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver all at once; of two changes of one alert the later wins."""
        alerts = self.alerts(changes)
        for first in range(0, len(alerts), ALERTS_PER_POST):
            self._post(orjson.dumps(alerts[first : first + ALERTS_PER_POST]), "/api/v2/alerts")

    def check(self) -> str:
        """Request the status."""
        status = self._request("GET", "/api/v2/status")
        if status != 200:
            raise Unavailable(f"/api/v2/status answers HTTP {status}: this is no Alertmanager")
        return "reached"

    def alerts(self, changes: Iterable[Change]) -> list[dict[str, Any]]:
        """Convert changes to alerts.

        The severity is a label, so a rise of severity makes a new alert and ends the previous one.
        """
        now, found = datetime.now(UTC), dict[tuple[str, str], dict[str, Any]]()
        for change in changes:
            incident = change.incident
            if change.what == "escalated":
                before = str(change.before.get("severity", ""))
                ended = self._alert(incident | {"severity": before}, change, now, stands=False)
                found[str(incident["id"]), before] = ended
            stands = str(change.incident["state"]).startswith("open-") and (
                change.state_now not in ("shelved", "suppressed")
            )
            alert = self._alert(incident, change, now, stands=stands)
            found[str(incident["id"]), incident["severity"]] = alert
        return list(found.values())

    def _alert(
        self, incident: dict[str, Any], change: Change, now: datetime, *, stands: bool
    ) -> dict[str, Any]:
        labels = {
            "alertname": "AnomalyIncident", "asset": incident["asset_id"],
            "sensor": incident["sensor_id"], "feature": incident["feature"],
            "group": incident["group_name"], "kind": incident["kind"],
            "severity": incident["severity"], "incident": str(incident["id"]),
        }  # fmt: skip
        notes = {"summary": messages.title(change), "description": messages.plain([change], None)}
        began = min(incident["started_at"], now)
        alert = {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": notes,
            "startsAt": began,
            "endsAt": now + self._kept if stands else max(began, min(change.at, now)),
        }
        if self._link:
            alert["generatorURL"] = self._link.replace("{id}", str(incident["id"]))
        return alert


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


_SENDERS: Final[dict[type, Callable[[Any, str | None], Sender]]] = {
    receivers.Webhook: WebhookSender, receivers.Email: EmailSender,
    receivers.Alertmanager: AlertmanagerSender, receivers.Apprise: AppriseSender,
}  # fmt: skip
