"""The demo's own parts: its children's environment, the training, who may end and what is shown.

The whole of it runs in tests/acceptance/test_demo.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config import Settings
from db.session import transaction
from deploy import local
from deploy.processes import ChildError, Children
from errors import SettingsError
from tests.fixtures.answering import Answering


@pytest.mark.parametrize("given", [("--limit", "0"), ("--rate", "-1"), ("--rate", "nan")])
def test_a_number_that_the_replay_cannot_use_is_refused_before_the_training(
    given: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        local.parser().parse_args(given)
    assert f"{given[0]}: {given[1]} is not" in capsys.readouterr().err


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines of ``training.fit``, in the place of which ``PROGRAM`` runs."""
    seen: list[list[str]] = []
    real = subprocess.Popen

    def start(command: Sequence[str], **options: Any) -> Any:
        seen.append(list(command))
        return real([sys.executable, "-c", os.environ["PROGRAM"]], **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setenv("PROGRAM", "pass")
    return seen


def train(var: Path, file: Path | None = None, *, again: bool = False) -> None:
    with local.training(dict(os.environ), file, var, again) as trained:
        trained()


def test_the_bundle_of_an_earlier_run_is_used_unless_another_is_asked_for(
    tmp_path: Path, trainings: list[list[str]]
) -> None:
    train(tmp_path)
    train(tmp_path)
    assert len(trainings) == 1
    train(tmp_path, again=True)
    assert len(trainings) == 2


def test_a_plants_file_is_trained_on_and_the_simulated_plant_by_its_groups(
    tmp_path: Path, trainings: list[list[str]]
) -> None:
    train(tmp_path, Path("train.csv"))
    train(tmp_path, again=True)
    assert trainings[0][1:] == ["-m", "training.fit", "--no-native", "--data", "train.csv"]
    assert trainings[1][4] == "--groups"
    assert Path(trainings[1][5]).exists()


def test_a_training_that_fails_is_no_bundle_for_the_next_run(
    tmp_path: Path, trainings: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRAM", "raise SystemExit(3)")
    with pytest.raises(ChildError, match="exit code 3"):
        train(tmp_path)
    with pytest.raises(ChildError):
        train(tmp_path)


def test_leaving_early_ends_the_training(
    tmp_path: Path, trainings: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRAM", "import time; time.sleep(600)")
    with pytest.raises(KeyboardInterrupt), local.training(dict(os.environ), None, tmp_path, False):
        raise KeyboardInterrupt
    assert not (tmp_path / "trained").exists()


def test_only_the_sender_may_end_and_only_well(tmp_path: Path) -> None:
    with Children(tmp_path, dict(os.environ)) as children:
        sender = children.start("replay", "true")
        sender.process.wait(20)
        local.check(children, sender)
        with pytest.raises(ChildError, match="replay ended with 0"):
            local.check(children)
        failed = children.start("replay", sys.executable, "-c", "raise SystemExit('no broker')")
        failed.process.wait(20)
        with pytest.raises(ChildError, match=r"(?s)ended with 1:.*no broker"):
            local.check([failed], failed)


def test_children_have_a_store_of_their_own_unless_the_environment_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    monkeypatch.delenv("KAFKA_SESSION_TIMEOUT_MS", raising=False)
    env = local.environment(tmp_path)
    assert env["VAR_DIR"] == str(tmp_path)
    assert env["BENTOML_HOME"] == str(tmp_path / "bentoml")
    assert env["PATH"] == os.environ["PATH"]
    monkeypatch.setenv("BENTOML_HOME", "/mine")
    monkeypatch.setenv("KAFKA_SESSION_TIMEOUT_MS", "45000")
    env = local.environment(tmp_path)
    assert (env["BENTOML_HOME"], env["KAFKA_SESSION_TIMEOUT_MS"]) == ("/mine", "45000")


def test_ready_is_a_service_that_answers_200_and_a_bridge_with_all_partitions(
    tmp_path: Path, engine, answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = "00000000-0000-0000-0000-00000000000a"
    with Children(tmp_path, dict(os.environ)) as children:
        service, bridge = (children.start(name, "sleep", "600") for name in ("service", "bridge"))
        flow = local.Flow(topic, service, bridge)
        service.stop()
        with pytest.raises(ChildError, match="service ended"):
            local.wait_until_ready(flow, engine, answering.url)
        answering.answers["/readyz"] = (200, {})
        bridge.stop()
        with pytest.raises(ChildError, match="bridge ended"):
            local.wait_until_ready(flow, engine, answering.url)
        with transaction(engine) as connection:
            connection.execute(
                text("INSERT INTO source_offsets (topic_id, partition, epoch)"
                     " SELECT :topic, n, 1 FROM generate_series(0, 2) n"),
                {"topic": topic},
            )  # fmt: skip
        local.wait_until_ready(flow, engine, answering.url)
    assert "has its partitions" in capsys.readouterr().out


def test_a_champion_of_other_data_is_named_before_anything_is_replayed(
    tmp_path: Path, answering: Answering
) -> None:
    file = tmp_path / "plant.csv"
    file.write_text("asset_id,timestamp,rms,flow\nA,2026-01-01T00:00:00Z,1,2\n")

    def check(*groups: list[str]) -> None:
        models = [{"lstm_autoencoder": {"feature_names": names}} for names in groups]
        named = dict(zip("ab", models, strict=False))
        answering.answers["/api/v1/anomalies/status"] = (
            200, {"models": models[0], **({"groups": named} if len(groups) > 1 else {})},
        )  # fmt: skip
        local.check_champion(answering.url, file, tmp_path)

    check(["rms"])
    check(["rms"], ["flow", "rms"])
    with pytest.raises(SettingsError, match=r"needs torque, which plant\.csv lacks"):
        check(["rms", "torque"])
    with pytest.raises(SettingsError, match=r"needs a, b, c, \.\.\., which"):
        check(["rms"], ["d", "c", "b", "a"])


def test_where_to_look_is_shown_when_all_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    children = Children(tmp_path, {"SERVICE_URL": "http://127.0.0.1:8084"})
    local.addresses(Settings(), children, keep=False)
    out = capsys.readouterr().out
    assert "http://127.0.0.1:8084/api/v1/anomalies/docs" in out
    assert "--keep" in out
    assert str(tmp_path) in out.replace("\n", "")


def test_bad_input_is_one_line_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert local.main(["--data", str(tmp_path / "none.csv")]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    out = "".join(capsys.readouterr().out.split())  # lines are broken anywhere
    assert "none.csvdoesnotexist" in out
    assert (tmp_path / "var/demo-none").is_dir()  # other data, another bundle and database
    assert not (tmp_path / "var/demo-none/log/service.log").exists()


def test_readings_of_an_earlier_run_are_pointed_out(
    engine, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = "00000000-0000-0000-0000-00000000000a"
    local.say_earlier(engine, topic)
    assert capsys.readouterr().out == ""
    with transaction(engine) as connection:
        connection.execute(
            text("INSERT INTO anomaly_detections (id, asset_id, timestamp, final_score, is_anomaly,"
                 " criticality, scores, features, metadata, topic_id, partition, source_offset)"
                 " VALUES (gen_random_uuid(), 'A', now(), 0.1, false, 'low', '[]', '[]', '{}',"
                 " :topic, 0, 1)"),
            {"topic": topic},
        )  # fmt: skip
    local.say_earlier(engine, topic)
    assert capsys.readouterr().out == ""
    local.say_earlier(engine, "00000000-0000-0000-0000-00000000000b")
    assert "readings of an earlier run" in capsys.readouterr().out
