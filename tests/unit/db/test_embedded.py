"""Who uses the embedded server: the dead are struck off its list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from db.embedded import embedded_url, forget_dead_processes
from errors import SettingsError


def test_processes_that_are_gone_are_struck_off_and_others_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    noted = tmp_path / ".handle_pids.json"
    noted.write_text(json.dumps([gone.pid, os.getpid(), 1]))  # 1: of another user
    forget_dead_processes(tmp_path)
    assert json.loads(noted.read_text()) == [os.getpid(), 1]


def test_without_a_list_there_is_nobody(tmp_path: Path) -> None:
    forget_dead_processes(tmp_path)
    (tmp_path / ".handle_pids.json").write_text("")
    forget_dead_processes(tmp_path)
    assert (tmp_path / ".handle_pids.json").read_text() == ""


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"VAR_DIR: the folder .*/file/var cannot be made: Not"):
        embedded_url(tmp_path / "file/var/postgres", "plant")
