"""Outages: each logged once at its start and once at its end, with a back-off in between."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable

from errors import AnomalyError

log = logging.getLogger("consumers.bridge")

FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0

#: Called with what has an outage and the reason's code, or None once it works again.
StateListener = Callable[[str, str | None], None]


class Outage:
    """One thing that may fail for a while (a service, a store): its log lines and its back-off.

    Parameters
    ----------
    what : str
        Names it in the log.
    listener : callable
        Called with ``what`` and the reason's code when an outage starts, None when it ends.
    """

    def __init__(self, what: str, listener: StateListener = lambda *_: None) -> None:
        self._what = what
        self._listener = listener
        self._lock = threading.Lock()
        self._since: float | None = None
        self._code = ""
        self._tries = 0

    @property
    def code(self) -> str | None:
        """The reason's code while it lasts, else None."""
        return self._code if self._since is not None else None

    def record_failure(self, error: AnomalyError, asked: float = 0.0) -> float:
        """Record a failure; return the seconds to wait, with jitter, at least ``asked``."""
        with self._lock:
            if self._since is None or error.code != self._code:
                log.warning(
                    "%s: %s; waiting", self._what, error.message, extra={"action": "paused"}
                )
                self._since = self._since or time.monotonic()
                self._code = error.code
                self._listener(self._what, error.code)
            self._tries += 1
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._tries - 1, 10))
        return max(float(wait * random.uniform(0.5, 1.0)), asked)

    def record_success(self, begun: float = math.inf) -> None:
        """Record that it works (again).

        ``begun`` is when what succeeded was begun (`time.monotonic`): an answer to something asked
        before the outage, as another worker may still get, does not end it.
        """
        if self.code is None:
            return
        with self._lock:
            since = self._since
            if since is None or begun < since:
                return
            self._since = None
            log.warning(
                "%s: works again after %.1f s (%d tries)",
                self._what, time.monotonic() - since, self._tries,
                extra={"action": "resumed"},
            )  # fmt: skip
            self._tries, self._code = 0, ""
            self._listener(self._what, None)
