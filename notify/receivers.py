"""Define the receivers of the route file: webhook, Alertmanager, mail and Apprise."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0.1, le=86_400)]
Filled = Annotated[str, Meta(min_length=1)]
Several = Annotated[int, Meta(ge=0, le=1_000_000)]


class Table(msgspec.Struct, forbid_unknown_fields=True):
    """Base of the file's tables; an unknown field is an error."""


class Receiver(Table, kw_only=True, tag_field="type"):
    """A receiver of notifications."""

    timeout_s: Seconds = 10.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"  # fields may be secret


class Web(Receiver, kw_only=True):
    """A receiver with an address."""

    url: str
    headers: dict[str, str] = {}
    cafile: str | None = None

    def __post_init__(self) -> None:
        """Check the address."""
        try:
            parts = urlsplit(self.url)
            well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            well = False
        if not well:
            raise ValueError("url: no address like https://host/path")


class Webhook(Web, kw_only=True, tag="webhook"):
    """Receives the incident as signed JSON."""

    secret: Filled | None = None


class Alertmanager(Web, kw_only=True, tag="alertmanager"):
    """Prometheus' Alertmanager: receives the present state repeatedly."""

    repeat_s: Seconds = 60.0


class Email(Receiver, kw_only=True, tag="email"):
    """Receives mails."""

    host: Filled
    sender: str
    to: tuple[str, ...]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    cafile: str | None = None
    user: str | None = None
    password: str | None = None
    summary_above: Several = 20

    def __post_init__(self) -> None:
        """Check the addresses."""
        if not self.to:
            raise ValueError("to: nobody")
        for one in (self.sender, *self.to):
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", one):
                raise ValueError("sender, to: not all are addresses like name@host")


class Apprise(Receiver, kw_only=True, tag="apprise"):
    """A service that the library apprise reaches by a URL."""

    url: Filled
    summary_above: Several = 20


AnyReceiver = Webhook | Alertmanager | Email | Apprise
