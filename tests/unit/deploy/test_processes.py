"""Children of the local system: they log, are waited for, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.processes import ChildError, Children, free_port, port_is_free

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has reaped answers signals but runs no more.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def gone(pid: int, within: float = 20.0) -> bool:
    deadline = time.monotonic() + within
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_children_are_stopped_on_leaving_the_block_even_after_an_error(tmp_path: Path) -> None:
    pids = []

    def fail_midway() -> None:
        with Children(tmp_path, dict(os.environ)) as children:
            child = children.start("sleeper", sys.executable, "-c", SLEEP)
            child.wait_ready(lambda: "up" in child.tail(), within=20)
            pids.append(child.process.pid)
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail_midway()
    assert not alive(pids[0])


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with Children(tmp_path, dict(os.environ)) as children:
        child = children.start("stubborn", sys.executable, "-c", STUBBORN)
        child.wait_ready(lambda: "up" in child.tail(), within=20)
        child.stop(patience=0.2)
        assert child.process.returncode == -signal.SIGKILL


def test_a_child_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Children(tmp_path, dict(os.environ)) as children:
        child = children.start("broken", sys.executable, "-c", "raise SystemExit('no disk')")
        with pytest.raises(ChildError, match=r"(?s)broken ended with exit code 1.*no disk"):
            child.wait_ready(lambda: False, within=20)


def test_a_child_that_is_late_is_reported(tmp_path: Path) -> None:
    with Children(tmp_path, dict(os.environ)) as children:
        child = children.start("slow", sys.executable, "-c", SLEEP)
        with pytest.raises(ChildError, match=r"slow was not ready in 0\.2 s"):
            child.wait_ready(lambda: False, within=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_children_die_when_the_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys, time\n"
            "from pathlib import Path\n"
            "from deploy.processes import Children\n"
            "children = Children(Path(sys.argv[1]), dict(os.environ))\n"
            f"child = children.start('orphan', sys.executable, '-c', {SLEEP!r})\n"
            "print(child.process.pid, flush=True)\n"
            "time.sleep(600)\n",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid)


def test_free_port_is_free() -> None:
    assert port_is_free(free_port())
