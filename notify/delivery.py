"""Deliver changes to one receiver in its own thread: in order per incident, at least once.

After a failure the changes of that incident wait with a back-off that is stored; an unreachable
receiver is retried less and less often. Failures do not affect other receivers.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from db.queries import notifications
from db.queries.notifications import Change
from db.session import transaction
from errors import StorageUnavailable, Unavailable
from notify.metrics import Metrics
from notify.routes import Routes, decide
from notify.sender_interface import RESOLVED_S, Ended, Refused, Sender

log = logging.getLogger("notify")

#: Interval of queries for due changes.
POLL_S = 0.5
#: Interval of expiring changes that have waited too long.
KEEP_UP_EVERY_S = 60.0
#: Maximum changes processed at once and in one summary.
CHUNK = 1000
#: A delivery that takes longer (seconds) is reported: time-outs limit each read, not their sum.
STUCK_S = 120.0
#: First and longest wait in seconds of a receiver, and of one incident's changes.
RECEIVER_WAITS = (0.5, 60.0)
CHANGE_WAITS = (1.0, 3600.0)


def back_off(tries: int, waits: tuple[float, float]) -> float:
    """Return the seconds to wait after so many failures, with jitter."""
    first, longest = waits
    return min(longest, first * 2.0 ** min(tries, 20)) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The objects that all deliveries share."""

    engine: Engine
    routes: Routes
    metrics: Metrics
    stop: threading.Event
    wait_days: float


class Delivery(threading.Thread):
    """Send one receiver its changes, until ``stop`` is set.

    Parameters
    ----------
    name : str
        Name of the receiver.
    sender : Sender
    shared : Dependencies
    drain : bool
        End as soon as nothing is due, or after a failure.
    """

    def __init__(
        self, name: str, sender: Sender, shared: Dependencies, *, drain: bool = False
    ) -> None:
        super().__init__(name=f"receiver {name}", daemon=True)  # a hanging one ends with us
        self.receiver = name
        self.failed = False
        self._sender = sender
        self._shared = shared
        self._routes = shared.routes.of(name)
        self._drain = drain
        self._delivered: list[int] = []  # delivered, but not yet recorded as sent
        self._failures = 0
        self._problem: str | None = None
        self._repeat_at = self._keep_up_at = 0.0
        self._sending_since: float | None = None
        self._is_stuck = False
        self._ended = False

    def report_stuck(self) -> None:
        """Log, once, that a delivery takes too long; called from another thread."""
        since = self._sending_since
        if since is None or time.monotonic() - since < STUCK_S:
            self._is_stuck = False
        elif not self._is_stuck:
            self._is_stuck = True
            self._shared.metrics.failing.labels(self.receiver).set(1)
            log.error(
                "%s has not finished one message for %g s; still waiting",
                self.receiver, STUCK_S, extra={"action": "stuck"},
            )  # fmt: skip

    def _send(self, group: Sequence[Change]) -> None:
        self._sending_since = time.monotonic()
        try:
            self._sender.send(group)
        finally:
            self._sending_since = None
            if self._is_stuck and self._problem is None:
                self._shared.metrics.failing.labels(self.receiver).set(0)

    def run(self) -> None:
        """Deliver until stopped."""
        stop = self._shared.stop
        while not stop.is_set():
            try:
                wait = self.step()
            except StorageUnavailable as error:
                log.debug("%s waits for the database: %s", self.receiver, error.message)
                wait, self.failed = 2.0, True
            except Exception:
                log.exception("%s: a defect", self.receiver)
                wait, self.failed = RECEIVER_WAITS[1], True
            if self._drain and (self.failed or wait):
                break
            stop.wait(wait)
        if self._delivered:  # the database was unavailable after the delivery
            with suppress(StorageUnavailable), transaction(self._shared.engine) as connection:
                self._settle(connection)

    def step(self) -> float:
        """Send the due changes; return the seconds to wait before the next step."""
        if self._ended:
            with transaction(self._shared.engine) as connection:
                self._keep_up(connection)
            return KEEP_UP_EVERY_S
        changes = self._due()
        groups, failed = deque(self._grouped(self._wanted(changes))), set[UUID]()
        while groups:
            group = groups.popleft()
            if self._shared.stop.is_set():
                return 0.0
            if not failed.isdisjoint(_incidents(group)):
                continue  # an earlier change of the incident failed, so this one waits, too
            try:
                self._send(group)
            except Refused as error:
                if len(group) > 1:  # perhaps because of one, for which the others must not wait
                    groups.extendleft([change] for change in reversed(group))
                    continue
                self._postpone(group, error, back_off(group[0].tries, CHANGE_WAITS))
                failed |= _incidents(group)
            except Exception as error:  # whatever a library raises
                return self._receiver_failed(group, error)
            else:
                self._record(group)
        if self._sender.repeat_s is not None and time.monotonic() >= self._repeat_at:
            return self._repeat(self._sender.repeat_s)
        return 0.0 if len(changes) == CHUNK else POLL_S

    def _due(self) -> list[Change]:
        """Return the due changes, after recording the delivered ones."""
        with transaction(self._shared.engine) as connection:
            self._settle(connection)
            if time.monotonic() >= self._keep_up_at:
                self._keep_up_at = time.monotonic() + KEEP_UP_EVERY_S
                self._keep_up(connection)
            found = notifications.due_changes(connection, self.receiver, CHUNK)
        self._delivered.clear()
        return found

    def _keep_up(self, connection: Connection) -> None:
        """Keep the receiver known, so that changes are queued for it, and give up its oldest."""
        days = self._shared.wait_days
        if expired := notifications.renew_receiver(connection, self.receiver, days):
            self._shared.metrics.expired.labels(self.receiver).inc(expired)
            log.error(
                "%s: %d changes waited for %g days (NOTIFY_WAIT_DAYS) and are given up",
                self.receiver, expired, days, extra={"action": "expired"},
            )  # fmt: skip

    def _wanted(self, changes: Sequence[Change]) -> list[Change]:
        """Remove changes that no route sends to this receiver or that quiet hours hold."""
        wanted, dropped, held = list[Change](), list[int](), dict[UUID, datetime]()
        now, all_changes = datetime.now(UTC), self._sender.repeat_s is not None
        for change in changes:
            incident = change.incident["id"]
            decided = decide(self._routes, change, now, all_changes=all_changes)
            if decided is False:
                dropped.append(change.log_id)
            elif incident not in held and decided is True:
                wanted.append(change)
            elif isinstance(decided, datetime):
                held.setdefault(incident, decided)
        if dropped or held:
            with transaction(self._shared.engine) as connection:
                notifications.discard(connection, self.receiver, dropped)
                for incident, until in held.items():
                    notifications.hold(connection, self.receiver, incident, until)
        return wanted

    def _grouped(self, changes: list[Change]) -> list[list[Change]]:
        """Group the changes into messages: one each, or one for all if they are too many."""
        above = self._sender.summary_above
        if changes and (self._sender.repeat_s is not None or 0 < above < len(changes)):
            return [changes]
        return [[change] for change in changes]

    def _record(self, group: Sequence[Change]) -> None:
        self._delivered += [change.log_id for change in group]
        self._shared.metrics.sent.labels(self.receiver).inc(len(group))
        self._failures = 0
        with transaction(self._shared.engine) as connection:
            self._settle(connection)
        self._delivered.clear()
        self._set_problem(None)

    def _settle(self, connection: Connection) -> None:
        notifications.settle(connection, self.receiver, self._delivered, "sent")

    def _repeat(self, every_s: float) -> float:
        """Send the present state: open incidents and recently ended ones."""
        with transaction(self._shared.engine) as connection:
            ended = notifications.recent_changes(connection, self.receiver, RESOLVED_S)
            standing = notifications.standing_incidents(connection)
        now, all_of = datetime.now(UTC), (*ended, *standing)
        wanted = [one for one in all_of if decide(self._routes, one, now, all_changes=True)]
        self._repeat_at = time.monotonic() + every_s
        try:
            if wanted:
                self._send(wanted)
                self._failures = 0
                self._set_problem(None)
        except Exception as error:
            return self._receiver_failed([], error)
        return POLL_S

    def _postpone(self, group: Sequence[Change], error: Exception, seconds: float) -> None:
        reason = self._shared.routes.reason(error)
        self._shared.metrics.failures.labels(self.receiver).inc()
        self.failed = True
        log.warning(
            "%s rejects %s (try %d): %s", self.receiver,
            group[0].incident["id"] if group else "what stands",
            group[0].tries + 1 if group else self._failures, reason, extra={"action": "failed"},
        )  # fmt: skip
        if group:
            with transaction(self._shared.engine) as connection:
                notifications.postpone(
                    connection, self.receiver, _incidents(group), seconds, reason
                )

    def _receiver_failed(self, group: Sequence[Change], error: Exception) -> float:
        """Record that the receiver cannot be reached; return the seconds to wait.

        The change waits longer than the receiver, so that a change that makes the receiver fail
        does not block the others.
        """
        after = error.retry_after if isinstance(error, Unavailable) else 0.0
        wait = max(after, back_off(self._failures, RECEIVER_WAITS))
        self._failures += 1
        own = back_off(group[0].tries, CHANGE_WAITS) if group else 0.0
        self._postpone(group, error, max(2 * wait, own))
        self._set_problem(self._shared.routes.reason(error))
        if isinstance(error, Ended):
            log.error("%s: stopped until a restart or an edit of the file of routes", self.receiver)
            self._ended = True
        return min(wait, threading.TIMEOUT_MAX)

    def _set_problem(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._shared.metrics.failing.labels(self.receiver).set(problem is not None)
        with transaction(self._shared.engine) as connection:
            notifications.set_problem(connection, self.receiver, problem)
        self._problem = problem
        if problem is None:
            log.info("%s can be reached again", self.receiver, extra={"action": "resumed"})


def _incidents(group: Sequence[Change]) -> set[UUID]:
    return {change.incident["id"] for change in group}
