"""Define what every sender of notifications does, and how it reports a failure.

A sender raises :class:`~errors.Unavailable` if the receiver cannot be reached now,
:class:`Refused` if it rejects this message, and :class:`Ended` if it wants no more messages. Each
receiver has its own sender.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from db.queries.notifications import Change
from errors import AnomalyError

#: An incident that has ended is repeated for this time in seconds (Prometheus: 15 minutes).
RESOLVED_S: Final = 300.0


class Refused(AnomalyError):
    """The receiver rejects this message."""


class Ended(AnomalyError):
    """The receiver wants no more messages (HTTP 410)."""


def about_certificate(error: Exception) -> str:
    """Return what to add to an error of TLS: the field of the file that decides."""
    return " (cafile)" if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""


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
