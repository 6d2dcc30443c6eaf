"""Who uses the embedded server: the dead are struck off its list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from db.embedded import _leave, embedded_url, forget_dead_processes, revive
from errors import SettingsError


def test_processes_that_are_gone_are_struck_off_and_others_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    noted = tmp_path / ".handle_pids.json"
    noted.write_text(json.dumps([gone.pid, os.getpid(), 1]))  # 1: of another user
    forget_dead_processes(tmp_path)
    assert json.loads(noted.read_text()) == [os.getpid(), 1]


def test_a_process_that_was_given_the_number_of_the_server_is_left_alone(tmp_path: Path) -> None:
    """Whoever leaves last stops the process that the server found last."""
    looks: list[str] = []
    server = SimpleNamespace(
        _lock=nullcontext(), ensure_postgres_running=lambda: looks.append("found")
    )
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "postmaster.pid").write_text(f"{other.pid}\n{tmp_path}\n")
    _leave(server, tmp_path)
    assert looks == []
    other.communicate(b"\n", timeout=30)


def test_a_server_that_this_process_never_joined_is_not_started(tmp_path: Path) -> None:
    assert not revive(tmp_path)


def test_without_a_list_there_is_nobody(tmp_path: Path) -> None:
    forget_dead_processes(tmp_path)
    (tmp_path / ".handle_pids.json").write_text("")
    forget_dead_processes(tmp_path)
    assert (tmp_path / ".handle_pids.json").read_text() == ""


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"VAR_DIR: the folder .*/file/var cannot be made: Not"):
        embedded_url(tmp_path / "file/var/postgres", "plant")
