"""Incidents in a database, a file of routes, and deliveries in this process or another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from db.incident_actions import Action, perform
from db.incident_recording import record
from db.queries.notifications import register
from db.session import transaction
from notify.delivery import Delivery, Dependencies
from notify.metrics import Metrics
from notify.route_file import load
from notify.senders import make_all
from tests.fixtures.incidents import row
from tests.fixtures.settings import SETTINGS
from tests.fixtures.waiting import DEADLINE

HOOK = """
[receivers.hook]
type = "webhook"
url = "{url}"
[routes.all]
receivers = ["hook"]
"""


class Stage:
    """One database and one file of routes."""

    def __init__(self, engine: Engine, database_url: str, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.path = folder / "routes.toml"
        self.environment = {
            **os.environ, "DATABASE_URL": database_url, "NOTIFY_ROUTES": str(self.path),
            "VAR_DIR": str(folder / "var"),
        }  # fmt: skip
        self.deliveries: dict[str, Delivery] = {}
        self.metrics = Metrics()
        self.stop = threading.Event()

    def routes(self, toml: str, **environment: str) -> None:
        """Write the file, and make the deliveries of this process; who is in it is registered."""
        self.path.write_text(toml)
        routes = load(str(self.path), environment)
        senders = make_all(routes, str(self.path))
        shared = Dependencies(self.engine, routes, self.metrics, self.stop, wait_days=7)
        self.deliveries = {name: Delivery(name, one, shared) for name, one in senders.items()}
        self.metrics.set_receivers(senders)
        with transaction(self.engine) as connection:
            register(connection, senders)

    def step(self, name: str = "hook") -> float:
        return self.deliveries[name].step()

    def read(self, *readings: tuple[Any, ...], **same: Any) -> None:
        """Store readings of an event, as the bridge does: (second, severity) each."""
        with transaction(self.engine) as connection:
            record(connection, [row(*one, **same) for one in readings], SETTINGS, "bridge")

    def act(self, verb: str, asset: str = "A", **arguments: Any) -> None:
        """Do something to the incidents of an asset, as REST does."""
        with transaction(self.engine) as connection:
            found = text("SELECT id FROM incidents WHERE asset_id = :asset")
            ids = connection.execute(found, {"asset": asset}).scalars()
            action = Action(verb, "ANNA", arguments)
            targets = [(one, None) for one in ids]
            done = perform(connection, action, targets, SETTINGS)
        assert not done.errors

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with transaction(self.engine) as connection:
            return [tuple(one) for one in connection.execute(text(query), values)]

    def waiting(self) -> int:
        return int(self.rows("SELECT count(*) FROM notifications WHERE settled_at IS NULL")[0][0])

    def due_now(self) -> None:
        """Let what waits after a failure be due."""
        with transaction(self.engine) as connection:
            connection.execute(text("UPDATE notifications SET due_at = now()"))

    def start(self, *options: str, module: str = "notify.sender", **more: str) -> Process:
        return Process([sys.executable, "-m", module, *options], self.environment | more,
                       self.folder)  # fmt: skip

    def run(self, *options: str, module: str = "notify.sender", **more: str) -> Process:
        """Run a command to its end."""
        process = self.start(*options, module=module, **more)
        process.wait()
        return process


class Process:
    """A command of notify/, its output in a file."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._log = folder / f"{uuid.uuid4().hex}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    @property
    def text(self) -> str:
        return self._log.read_text()

    @property
    def code(self) -> int | None:
        return self.process.returncode

    def wait(self) -> int:
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.kill()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
