"""The commands that the README gives for each task, as they stand there, one after the other."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from config import load_settings
from db.session import open_engine
from deploy.broker import create_topics, start_broker
from deploy.processes import Children, free_port

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("I have a CSV", "I have a Kafka topic", "I operate it", "I retrain it")


def commands(task: str) -> str:
    section = (ROOT / "README.md").read_text().split(f"\n## {task}\n", 1)[1].split("\n## ", 1)[0]
    block = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0]
    assert len(block.splitlines()) <= 10
    return str(block)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder like a clone, into which the commands may write."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".git", ".env", "var", "plant.csv"}:
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.mark.timeout(1000)
def test_the_tasks_of_the_readme(tmp_path: Path, house: Path) -> None:
    assert shutil.which("curl"), "install curl"
    var, port = tmp_path / "var", free_port()
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(house),
        "VAR_DIR": str(var),
        "BENTOML_HOME": str(var / "bentoml"),
        "SERVICE_PORT": str(port),
        "SERVICE_URL": f"http://127.0.0.1:{port}",
    }
    with Children(tmp_path / "log", env) as children:
        broker = start_broker(children)[1]
        topics = ("extracted-features", "anomalies-detected", "extracted-features-dead-letter")
        create_topics(broker, dict.fromkeys(topics, 1))
        script = "set -euo pipefail\ntrap 'kill $(jobs -p) && wait || true' EXIT\n"
        script += "\n".join(f"echo '== {task}'\n{commands(task)}" for task in TASKS)
        script = script.replace("localhost:9092", broker).replace(
            "localhost:8084", f"127.0.0.1:{port}"
        )
        log = tmp_path / "output"
        with log.open("w") as out:
            shell = subprocess.Popen(
                ["bash", "-c", script], cwd=house, env=env, start_new_session=True,
                stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                code = shell.wait(timeout=900)
            finally:
                if shell.poll() is None:
                    os.killpg(shell.pid, signal.SIGKILL)
                    shell.wait()
        output = log.read_text()
        assert code == 0, output[-6000:]
    assert (house / "scores.csv").stat().st_size > 0
    assert (house / "scores.png").stat().st_size > 0
    last = output.split("== I retrain it")[1]
    assert re.search(r"version 2", last), last
    engine = open_engine(load_settings(var_dir=var))
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT count(*) FROM anomaly_detections")).scalar_one()
        dead = connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one()
    engine.dispose()
    assert (stored, dead) == (2 * 1500, 0)
