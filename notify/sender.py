"""Notify receivers of incidents: ``python -m notify.sender``.

NOTIFY_ROUTES names a TOML file with the receivers and routes, see docs/notifications.md.
Each change of an incident is delivered to each receiver at least once, in order per incident, and
recorded. Of several senders only the leader sends; another takes over when it ends.

exit codes:
  0  stopped by SIGTERM or SIGINT, or drained, or every check passed
  1  a check failed, or the database rejects the login
  2  a setting or the file of routes is wrong
  3  --drain: another sender is running
  4  --drain: a receiver does not accept its messages
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from sqlalchemy import Engine

from config import Settings, load_settings
from db.leadership import Leadership
from db.migrate import migrate
from db.queries.notifications import SENDER_LOCK, register, waiting
from db.session import open_engine, transaction
from errors import AnomalyError, SettingsError, StorageUnavailable
from notify.delivery import Delivery, Dependencies
from notify.metrics import Metrics
from notify.route_file import load
from notify.routes import Routes
from notify.sender_interface import Sender
from notify.senders import make_all
from runtime import command_parser, configure_logging, run_command, serve_metrics

log = logging.getLogger("notify")

#: Interval at which the leader confirms its lock and checks the file; others try to get the lock.
TICK_S = 1.0
#: Interval of counting waiting changes.
MEASURE_EVERY_S = 5.0
#: Deliveries in progress may take this long after SIGTERM.
STOP_S = 15.0


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code, see ``--help``."""
    parser = command_parser("notify.sender", __doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--drain", action="store_true", help="send waiting changes, then exit")
    what.add_argument(
        "--check", action="store_true", help="check the file, the database and the receivers"
    )
    options = parser.parse_args(argv)
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_json)
        if options.check:
            return _check(settings)
        return _Process(settings).run(options.drain)
    except SettingsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    except AnomalyError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1


class _Process:
    """A sender: it waits until it becomes the leader, then sends until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._metrics = Metrics()
        self._seen: tuple[int, ...] = ()
        self._measure_at = 0.0
        self._database_down = False
        self._routes: Routes
        self._senders: dict[str, Sender]

    def run(self, drain: bool) -> int:
        """Send until stopped, or with ``drain`` until nothing waits; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        if self._settings.notify_metrics_port is not None:
            serve_metrics(
                self._settings.notify_metrics_port, self._metrics.registry, "NOTIFY_METRICS_PORT"
            )
        if not self._settings.notify_routes:
            log.warning("NOTIFY_ROUTES is empty: nobody is notified of incidents")
            if not drain:
                self._stop.wait()
            return 0
        self._read()
        engine = open_engine(self._settings)
        leader = Leadership(engine, SENDER_LOCK)
        try:
            while not self._stop.is_set():
                if (code := self._try_to_lead(engine, leader, drain)) is not None:
                    return code
                self._stop.wait(TICK_S)
            return 0
        finally:
            engine.dispose()

    def _read(self) -> None:
        path = self._settings.notify_routes
        self._seen = _fingerprint(path)
        routes = load(path, os.environ)
        self._routes, self._senders = routes, make_all(routes, path)

    def _try_to_lead(self, engine: Engine, leader: Leadership, drain: bool) -> int | None:
        """Send if no other process does; return the exit code if this one is to end."""
        try:
            migrate(engine)
            self._note_database(None)
            if leader.try_acquire():
                return self._lead(engine, leader, drain)
            if drain:
                print("another sender is at work", file=sys.stderr)
                return 3
        except StorageUnavailable as error:
            self._note_database(error)
            if drain:
                raise
        finally:
            self._metrics.leader.set(0)
            self._metrics.set_receivers(())
            leader.release()
        return None

    def _note_database(self, error: StorageUnavailable | None) -> None:
        """Log the start and the end of an outage, once each."""
        was_down, self._database_down = self._database_down, error is not None
        if error is not None and not was_down:
            log.warning("waiting for the database: %s", error.message)
        elif error is None and was_down:
            log.warning("the database answers again")

    def _lead(self, engine: Engine, leader: Leadership, drain: bool) -> int | None:
        """Send until drained (return the exit code), stopped, or the file changed (None)."""
        log.info("sending to %s", ", ".join(self._senders), extra={"action": "leading"})
        self._metrics.set_receivers(self._senders)
        self._metrics.leader.set(1)
        with transaction(engine) as connection:
            register(connection, self._senders)
        over = threading.Event()
        shared = Dependencies(
            engine, self._routes, self._metrics, over, self._settings.notify_wait_days
        )
        deliveries = [Delivery(*one, shared, drain=drain) for one in self._senders.items()]
        for one in deliveries:
            one.start()
        try:
            while not self._stop.is_set() and any(one.is_alive() for one in deliveries):
                if not leader.confirm():
                    log.warning("the lock is lost: another sender may send now")
                    return None
                if self._read_again():
                    return None
                self._measure(engine)
                for one in deliveries:
                    one.report_stuck()
                self._stop.wait(0.05 if drain else TICK_S)
        finally:
            over.set()
            _join(deliveries)
        return 4 * any(one.failed for one in deliveries) if drain else None

    def _read_again(self) -> bool:
        """Read the file again if it has changed, unless it has an error; return whether it did."""
        if _fingerprint(self._settings.notify_routes) == self._seen:
            return False
        try:
            self._read()
        except SettingsError as error:
            log.error("%s; the previous routes stay in use", error.message)
            return False
        log.info("the file of routes has changed", extra={"action": "reloaded"})
        return True

    def _measure(self, engine: Engine) -> None:
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + MEASURE_EVERY_S
        with transaction(engine) as connection:
            for name, found in waiting(connection).items():
                self._metrics.waiting.labels(name).set(found.changes)


def _fingerprint(path: str) -> tuple[int, ...]:
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _join(deliveries: list[Delivery]) -> None:
    deadline = time.monotonic() + STOP_S
    for one in deliveries:
        one.join(max(0.0, deadline - time.monotonic()))
        if one.is_alive():
            log.warning("%s hangs: its present message may be sent twice", one.receiver)


def _check(settings: Settings) -> int:
    """Print one line per check; return 1 if one failed."""
    path = settings.notify_routes
    if not path:
        print("routes: off (NOTIFY_ROUTES is empty)")
        return 0
    routes = load(path, os.environ)
    senders = make_all(routes, path)
    print(f"routes: ok: {path}: {len(routes.routes)} routes, {len(senders)} receivers")
    answers = [routes.attempt(name, sender.check) for name, sender in senders.items()]
    for name in (one for one in senders if not routes.of(one)):
        print(f"{name}: no route leads to it")
    try:
        with transaction(open_engine(settings)) as connection:
            found = waiting(connection)
    except AnomalyError as error:
        print(f"database: FAILED: {error.message}")
        return 1
    print("database: ok")
    well = all(answers)
    for name, about in found.items():
        if reason := about.problem or about.error:
            waits = f"{about.changes} changes wait, the oldest for {about.oldest_s:.0f} s"
            print(f"{name}: FAILED: {waits}: {reason}")
            well = False
    return 0 if well else 1


if __name__ == "__main__":
    run_command(main)
