"""Send by HTTP: signed webhooks, and the alerts of an Alertmanager."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx
import orjson

from db.queries.notifications import Change
from errors import AnomalyError, SettingsError, Unavailable
from notify import messages, receivers
from notify.sender_interface import Ended, Refused, Sender, about_certificate
from runtime import tls_context

#: Alertmanager drops an alert that is not repeated for this many intervals.
KEPT_INTERVALS: Final = 4
#: Alerts in one request: about a megabyte.
ALERTS_PER_POST: Final = 500
#: Maximum wait for a receiver, even if its Retry-After is longer.
LONGEST_RETRY_AFTER_S: Final = 86_400.0
#: HTTP statuses that a repetition of the same message would meet again.
_MESSAGE_AT_FAULT = (400, 405, 413, 414, 415, 422)


class _WebSender(Sender):
    """An HTTP connection to one receiver; redirects are not followed, bodies not read."""

    def __init__(self, receiver: receivers.Web, link: str | None) -> None:
        self._url = receiver.url
        self._link = link
        headers = {"User-Agent": "anomaly-detection", **receiver.headers}
        cafile = None if receiver.cafile is None else Path(receiver.cafile)
        tls = tls_context(cafile, "cafile")
        self._client = httpx.Client(verify=tls, headers=headers, timeout=receiver.timeout_s)

    def _request(self, method: str, path: str = "", **options: Any) -> int:
        url = self._url.rstrip("/") + path if path else self._url
        try:
            with self._client.stream(method, url, **options) as answer:
                if not answer.is_success and method == "POST":
                    raise _http_error(answer)
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"{type(error).__name__} {error}{about_certificate(error)}"
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
    reason += _redirection(answer)
    after = _seconds(answer.headers.get("Retry-After", ""))
    return Unavailable(reason, code=f"http_{status}", retry_after=after)


def _redirection(answer: httpx.Response) -> str:
    """Return where a redirect leads, without its path, which may be secret."""
    if not answer.has_redirect_location:
        return ""
    to = urlsplit(urljoin(str(answer.url), answer.headers["Location"]))
    return f": a redirect to {to.scheme}://{to.netloc.rpartition('@')[2]}, not followed (url)"


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
