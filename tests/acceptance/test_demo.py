"""The newcomer's command, as a process: trains, starts all, replays, accounts, leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "var"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small plant in the wide form, with faults in its later part."""
    out = tmp_path_factory.mktemp("plant") / "plant.csv"
    subprocess.run(
        [sys.executable, "-m", "training.simulate", "--out", str(out), "--assets", "3",
         "--readings", "1500", "--seed", "5"],
        cwd=ROOT, check=True,
    )  # fmt: skip
    return out


def start_demo(var: Path, *arguments: str) -> subprocess.Popen[str]:
    env = {**os.environ, "VAR_DIR": str(var), "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    env.pop("BENTOML_HOME", None)
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local", *arguments],
        cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as with `make demo &`
    )  # fmt: skip


def left_behind(var: Path) -> Iterator[str]:
    """Command lines of running processes that were given this VAR_DIR."""
    mark = f"VAR_DIR={var}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue


def account(text: str) -> tuple[int, int, int]:
    """(sent, stored, dead-lettered) of the closing table."""
    found = [re.search(rf"(\d+) {word}", text) for word in ("sent", "stored", "dead letters")]
    assert all(found), text[-3000:]
    sent, stored, dead = (int(match[1]) for match in found if match)
    return sent, stored, dead


@pytest.mark.timeout(1500)
def test_demo_twice_accounts_for_every_reading_and_leaves_no_process(
    var: Path, plant: Path
) -> None:
    first = start_demo(var, "--data", str(plant), "--rate", "0")
    text = first.communicate(timeout=600)[0]
    assert first.returncode == 0, text[-4000:]
    sent, stored, dead = account(text.rsplit("what happened", 1)[-1])
    assert sent == 3 * 1500
    assert stored + dead == sent
    assert dead == 0
    wait_until(lambda: not list(left_behind(var)), "no process is left behind")
    assert text.startswith("> the page: http://127.0.0.1:")
    assert re.search(r" opened +(low|medium|high|critical) +\w+ \S+, expected \S+\n", text), text
    assert re.search(r"^first incident \d+ s after the start$", text, re.MULTILINE)

    # The broker has forgotten everything, PostgreSQL nothing: the second count is its own.
    second = start_demo(var, "--data", str(plant), "--rate", "0", "--limit", "500", "--keep")
    assert second.stdout is not None
    lines = []
    for line in second.stdout:
        lines.append(line)
        if "history query" in line:
            break
    text = "".join(lines)
    address = re.search(r"history query\s+(http\S+)", text)
    assert address, text[-4000:]
    with urllib.request.urlopen(address[1], timeout=30) as answer:
        assert answer.status == 200
    second.send_signal(signal.SIGINT)
    rest = second.communicate(timeout=300)[0]
    assert second.returncode == 130, rest[-4000:]
    sent, stored, dead = account(text.rsplit("what happened", 1)[-1])
    assert (sent, stored + dead) == (500, 500)
    wait_until(lambda: not list(left_behind(var)), "no process is left behind")


def test_a_file_without_a_needed_column_is_refused_by_name(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("asset_id,rms\nA,1.0\n")
    demo = start_demo(tmp_path / "var", "--data", str(bad))
    text = demo.communicate(timeout=120)[0]
    assert demo.returncode == 1
    assert "timestamp" in text
    assert "the demo has no such options; training.fit and consumers.replay have" in text
    assert "Traceback" not in text
