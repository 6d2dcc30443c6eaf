"""One sender for each type of receiver: it delivers, or says why not.

A sender raises :class:`~errors.Unavailable` when the receiver cannot be told anything now,
:class:`Refused` when it answers but does not take this message, :class:`Ended` when it wants no
more. Nothing is told from another receiver's: each has a sender of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import smtplib
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import apprise
import httpx
import orjson

from db.queries.notifications import Change
from errors import AnomalyError, SettingsError, Unavailable
from notify import messages, routes
from runtime import tls_context

#: Alertmanager drops an alert that was not sent again for so many intervals.
KEPT_INTERVALS: Final = 4
#: Alerts sent in one go: a megabyte or so.
ALERTS_PER_POST: Final = 500
#: What has ended is sent again for so long (seconds), as Prometheus does (15 minutes there).
RESOLVED_S: Final = 300.0
#: A receiver is not waited for longer than this, whatever its Retry-After says.
LONGEST_RETRY_AFTER_S: Final = 86_400.0
#: Lines of a summary for a chat, whose messages are short.
CHAT_LINES: Final = 30
_APPRISE_LOG = logging.getLogger("apprise")
_MESSAGE_AT_FAULT = (400, 405, 413, 414, 415, 422)


class Refused(AnomalyError):
    """The receiver answers, but does not take this message."""

    code = "refused"


class Ended(AnomalyError):
    """The receiver wants nothing more (HTTP 410)."""

    code = "ended"


class Sender(ABC):
    """Tell one receiver.

    ``summary_above``: more changes than this at once are told as one message; 0: never.
    ``repeat_s``: the receiver is told the state over and over; None: each change once.
    """

    summary_above: int = 0
    repeat_s: float | None = None

    @abstractmethod
    def send(self, changes: Sequence[Change]) -> None:
        """Deliver, all as one message."""

    @abstractmethod
    def check(self) -> str:
        """Reach the receiver without telling it anything; say what was found."""


def make(receiver: routes.AnyReceiver, link: str | None) -> Sender:
    """Make a receiver's sender.

    Raises
    ------
    SettingsError
        Names the field.
    """
    match receiver:
        case routes.Webhook():
            return WebhookSender(receiver)
        case routes.Email():
            return EmailSender(receiver, link)
        case routes.Alertmanager():
            return AlertmanagerSender(receiver, link)
        case routes.Apprise():
            return AppriseSender(receiver, link)


def make_all(routes_file: routes.Routes, path: str) -> dict[str, Sender]:
    """Make the sender of each receiver, by its name.

    Raises
    ------
    SettingsError
        Names the file, the receiver and the field.
    """
    made = {}
    for name, receiver in routes_file.receivers.items():
        try:
            made[name] = make(receiver, routes_file.link)
        except SettingsError as error:
            said = f"NOTIFY_ROUTES: {path}: receiver {name!r}: {error.message}"
            raise SettingsError(routes_file.scrub(said), field="NOTIFY_ROUTES") from None
    return made


class _HttpClient:
    """A connection to one receiver; a redirect is not followed, an answer not read."""

    def __init__(self, receiver: routes.Web) -> None:
        self._url = receiver.url
        self._client = httpx.Client(
            verify=_trust(receiver.cafile),
            headers={"User-Agent": "anomaly-detection", **receiver.headers},
            timeout=receiver.timeout_s,
        )

    def request(self, method: str, path: str = "", **options: Any) -> int:
        try:
            url = self._url.rstrip("/") + path if path else self._url
            with self._client.stream(method, url, **options) as answer:
                if not answer.is_success and method == "POST":
                    raise _http_error(answer)
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(
                f"{type(error).__name__} {error}", code="unreachable", retry_after=0
            ) from None


def _trust(cafile: str | None) -> ssl.SSLContext:
    return tls_context(None if cafile is None else Path(cafile), "cafile")


def _http_error(answer: httpx.Response) -> AnomalyError:
    status = answer.status_code
    said = f"HTTP {status} {answer.reason_phrase}"
    if status == 410:
        return Ended(f"{said}: it wants no more")
    if status in _MESSAGE_AT_FAULT:
        return Refused(said)
    after = _seconds(answer.headers.get("Retry-After", ""))
    return Unavailable(said, code=f"http_{status}", retry_after=after)


def _seconds(retry_after: str) -> float:
    """Read a Retry-After header, seconds or a date; 0 where there is none."""
    seconds = 0.0
    with suppress(ValueError, TypeError):
        if retry_after.strip().isdigit():
            seconds = float(retry_after)
        elif retry_after:
            at = parsedate_to_datetime(retry_after)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


class WebhookSender(Sender):
    """POST each change, signed as https://www.standardwebhooks.com says."""

    def __init__(self, receiver: routes.Webhook) -> None:
        self._http = _HttpClient(receiver)
        self._key = None if receiver.secret is None else _key(receiver.secret)

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver each; the receiver knows by ``webhook-id`` what it had before."""
        for change in changes:
            body, stamp = messages.body(change), str(int(time.time()))
            name = messages.change_id(change)
            headers = {
                "Content-Type": "application/json",
                "webhook-id": name,
                "webhook-timestamp": stamp,
            }
            if self._key is not None:
                headers["webhook-signature"] = sign(self._key, name, stamp, body)
            self._http.request("POST", content=body, headers=headers)

    def check(self) -> str:
        """Connect and ask for nothing: a receiver of POST may answer it with any status."""
        return f"reached (HEAD: HTTP {self._http.request('HEAD')}), {self._signed()}"

    def _signed(self) -> str:
        return "signed" if self._key is not None else "NOT signed: it has no secret"


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise SettingsError("secret: no base64 after whsec_", field="secret") from None


def sign(key: bytes, name: str, stamp: str, body: bytes) -> str:
    """Sign a message: HMAC-SHA256 over its id, its time and its body."""
    digest = hmac.digest(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


class EmailSender(Sender):
    """A mail for each change, as text and as HTML; an incident's mails are one thread."""

    def __init__(self, receiver: routes.Email, link: str | None) -> None:
        self._receiver = receiver
        self._link = link
        self._tls = _trust(receiver.cafile)
        self.summary_above = receiver.summary_above

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver; a recipient that is refused costs the others nothing, and is logged."""
        try:
            with self._connected() as server:
                refused = server.send_message(self._message(changes))
        except smtplib.SMTPDataError as error:
            if 500 <= error.smtp_code < 600:
                raise Refused(f"SMTP {error.smtp_code} {_said(error.smtp_error)}") from None
            raise _smtp_error(error) from None
        except (OSError, smtplib.SMTPException) as error:
            raise _smtp_error(error) from None
        for address, (code, said) in refused.items():
            logging.getLogger("notify").warning(
                "mail: %s is refused: SMTP %d %s", messages.clean(address), code, _said(said)
            )

    def check(self) -> str:
        """Log in, and leave."""
        try:
            with self._connected() as server:
                code, said = server.noop()
        except (OSError, smtplib.SMTPException) as error:
            raise _smtp_error(error) from None
        return f"reached: SMTP {code} {_said(said)}"

    def _connected(self) -> smtplib.SMTP:
        given = self._receiver
        if given.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                given.host, given.port, timeout=given.timeout_s, context=self._tls
            )
        else:
            server = smtplib.SMTP(given.host, given.port, timeout=given.timeout_s)
        try:
            if given.tls == "starttls":
                server.starttls(context=self._tls)
            if given.user is not None:
                server.login(given.user, given.password or "")
        except BaseException:
            server.close()
            raise
        return server

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


def _smtp_error(error: Exception) -> Unavailable:
    code: int | None = getattr(error, "smtp_code", None)
    said: bytes | str = getattr(error, "smtp_error", None) or str(error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
    text = _said(said) if code is None else f"SMTP {code} {_said(said)}"
    return Unavailable(f"{type(error).__name__} {text}", code="smtp_failed", retry_after=0)


def _said(text: bytes | str) -> str:
    return messages.clean(text.decode(errors="replace") if isinstance(text, bytes) else text)


class AlertmanagerSender(Sender):
    """An alert for each incident, sent again while it stands and a while after it ended."""

    def __init__(self, receiver: routes.Alertmanager, link: str | None) -> None:
        self._http = _HttpClient(receiver)
        self._link = link
        self.repeat_s = receiver.repeat_s
        self._kept = timedelta(seconds=KEPT_INTERVALS * receiver.repeat_s)

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver all at once; of two about one alert the later counts."""
        alerts = self.alerts(changes)
        for first in range(0, len(alerts), ALERTS_PER_POST):
            body = orjson.dumps(alerts[first : first + ALERTS_PER_POST])
            headers = {"Content-Type": "application/json"}
            self._http.request("POST", "/api/v2/alerts", content=body, headers=headers)

    def check(self) -> str:
        """Ask for its status."""
        status = self._http.request("GET", "/api/v2/status")
        if status != 200:
            raise Unavailable(f"/api/v2/status answers HTTP {status}: no Alertmanager")
        return "reached"

    def alerts(self, changes: Iterable[Change]) -> list[dict[str, Any]]:
        """Write the alerts that changes amount to.

        The severity is a label, so that a rise of it is another alert: the one before ends.
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
            "alertname": "AnomalyIncident",
            "asset": incident["asset_id"],
            "sensor": incident["sensor_id"],
            "feature": incident["feature"],
            "group": incident["group_name"],
            "kind": incident["kind"],
            "severity": incident["severity"],
            "incident": str(incident["id"]),
        }
        began = min(incident["started_at"], now)
        alert = {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": {
                "summary": messages.title(change),
                "description": messages.plain([change], None),
            },
            "startsAt": began,
            "endsAt": now + self._kept if stands else max(began, min(change.at, now)),
        }
        if self._link:
            alert["generatorURL"] = self._link.replace("{id}", str(incident["id"]))
        return alert


class _Heard(logging.Handler):
    """What this thread logs."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


class AppriseSender(Sender):
    """A message to any service that Apprise knows."""

    def __init__(self, receiver: routes.Apprise, link: str | None) -> None:
        self._link = link
        self.summary_above = receiver.summary_above
        _APPRISE_LOG.propagate = False  # it may name the address, which is a secret
        found = apprise.Apprise.instantiate(receiver.url, suppress_exceptions=True)
        if found is None:
            raise SettingsError("url: no address that apprise knows", field="url")
        self._service = found
        found.socket_connect_timeout = found.socket_read_timeout = receiver.timeout_s

    def send(self, changes: Sequence[Change]) -> None:
        """Deliver; why it failed is what the library logs meanwhile."""
        body, heard = messages.plain(changes, self._link, CHAT_LINES), _Heard(logging.WARNING)
        _APPRISE_LOG.addHandler(heard)
        try:
            sent = self._service.notify(body=body, title=messages.subject(changes))
        finally:
            _APPRISE_LOG.removeHandler(heard)
        if not sent:
            said = messages.clean(" ".join(heard.lines)) or "not sent"
            raise Unavailable(said, code="apprise_failed", retry_after=0)

    def check(self) -> str:
        """Say that nothing was asked: there is no way to, but to send."""
        return "its address is well formed; python -m notify.test tells whether it arrives"
