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


def start_user(folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)
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
    killed.communicate(timeout=30)
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
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "store: embedded PostgreSQL under" in done.stderr
    assert "schema is at revision" in done.stdout
