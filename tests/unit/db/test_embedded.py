"""Who uses the embedded server: the dead are struck off its list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from db.embedded import forget_dead_processes


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
