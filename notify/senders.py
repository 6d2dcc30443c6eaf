"""Make the sender of each receiver, by its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from errors import SettingsError
from notify import receivers
from notify.apprise_sender import AppriseSender
from notify.mail_sender import EmailSender
from notify.routes import Routes
from notify.sender_interface import Sender
from notify.web_senders import AlertmanagerSender, WebhookSender

_SENDERS: Final[dict[type, Callable[[Any, str | None], Sender]]] = {
    receivers.Webhook: WebhookSender, receivers.Email: EmailSender,
    receivers.Alertmanager: AlertmanagerSender, receivers.Apprise: AppriseSender,
}  # fmt: skip


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
