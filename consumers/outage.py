"""Log an outage once at its start and once at its end, and compute the back-off in between."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable

from db.session import REFUSES_CHANGES
from errors import AnomalyError

log = logging.getLogger("consumers.bridge")

#: First and longest wait between tries, in seconds; each wait is twice the one before.
FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0
#: A failed write is tried again within this time, so until then an answered query proves nothing.
WRITE_SILENCE = 2 * LONGEST_WAIT

#: Called with the name of the failing part and the error's code, or None once it works again.
StateListener = Callable[[str, str | None], None]


class Outage:
    """Track one part that may fail for a while, such as the service or the database.

    Parameters
    ----------
    what : str
        Name of the part in the log.
    listener : callable
        Called with ``what`` and the error's code when an outage starts, and with None at its end.
    """

    def __init__(self, what: str, listener: StateListener = lambda *_: None) -> None:
        self._what = what
        self._listener = listener
        self._lock = threading.Lock()
        self._since: float | None = None
        self._code = ""
        self._tries = 0
        self._write_failed = -math.inf

    @property
    def code(self) -> str | None:
        """The error's code during an outage, else None."""
        return self._code if self._since is not None else None

    def record_failure(
        self, error: AnomalyError, asked: float = 0.0, *, writing: bool = False
    ) -> float:
        """Record a failure; return the seconds to wait, with back-off and jitter, >= ``asked``.

        Parameters
        ----------
        error : AnomalyError
        asked : float
            Minimum of the returned seconds.
        writing : bool
            Whether a write failed: then queries that are answered do not end the outage.
        """
        with self._lock:
            if writing or error.code in REFUSES_CHANGES:  # whoever met that first
                self._write_failed = time.monotonic()
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

    def record_success(self, begun: float = math.inf, *, reading: bool = False) -> None:
        """Record a success, which ends the outage.

        ``begun`` is the start of the successful call (`time.monotonic`). A call that began before
        the outage, as another worker may still finish, does not end it. Neither does a call that
        was only ``reading`` while writes fail: the database is read-only, or its disk is full.
        """
        if self.code is None:
            return
        if reading and time.monotonic() - self._write_failed < WRITE_SILENCE:
            return
        with self._lock:
            since = self._since
            if since is None or begun < since:
                return
            log.warning(
                "%s: works again after %.1f s (%d tries)",
                self._what, time.monotonic() - since, self._tries,
                extra={"action": "resumed"},
            )  # fmt: skip
            self._end()

    def abandon(self) -> None:
        """End the outage, if any, of a part that this bridge no longer has; log nothing."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._since, self._tries, self._code = None, 0, ""
        self._listener(self._what, None)
