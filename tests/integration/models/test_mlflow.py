"""The MLflow registry against a SQLite file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from errors import NotFound, Unavailable
from models.registry.base import CHALLENGER, CHAMPION, Registry, open_registry

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "default").mkdir(parents=True)
    (made / "bundle.json").write_text('{"groups": ["default"]}')
    (made / "default" / "weights.npz").write_bytes(bytes(range(256)))
    return made


@pytest.fixture
def registry(mlflow_uri: str, tmp_path: Path) -> Registry:
    return open_registry(mlflow_uri, "anomaly-detection", tmp_path)


def test_no_database_is_an_empty_registry_and_is_not_made(tmp_path: Path) -> None:
    registry = open_registry(f"sqlite:///{tmp_path}/mlflow.db", "x", tmp_path)
    assert registry.alias(CHAMPION) is None
    assert registry.versions() == []
    assert registry.runs()["runs"] == []
    with pytest.raises(NotFound):
        registry.fetch("1", tmp_path / "cache")
    assert not (tmp_path / "mlflow.db").exists()


def test_empty_database_has_no_aliases(registry: Registry) -> None:
    assert registry.alias(CHAMPION) is None
    assert registry.versions() == []


def test_register_alias_fetch(registry: Registry, folder: Path, tmp_path: Path) -> None:
    one = registry.register(folder, tags={"groups": "1"})
    two = registry.register(folder)
    assert (one, two) == ("1", "2")
    registry.set_alias(CHAMPION, one)
    registry.set_alias(CHALLENGER, two)
    assert registry.alias(CHAMPION) == one
    listed = registry.versions()
    assert [v["version"] for v in listed] == ["2", "1"]
    assert [v["aliases"] for v in listed] == [[CHALLENGER], [CHAMPION]]
    assert listed[1]["tags"]["groups"] == "1"
    assert listed[0]["run_id"]
    fetched = registry.fetch(one, tmp_path / "cache")
    assert (fetched / "default" / "weights.npz").read_bytes() == bytes(range(256))
    assert registry.fetch(one, tmp_path / "cache") == fetched
    registry.drop_alias(CHALLENGER)
    assert registry.alias(CHALLENGER) is None


def test_a_copy_that_is_whole_is_not_looked_for_elsewhere(
    registry: Registry, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.register(folder)
    fetched = registry.fetch(version, tmp_path / "cache")
    monkeypatch.delattr("mlflow.MlflowClient.get_model_version_download_uri")
    assert registry.fetch(version, tmp_path / "cache") == fetched


def test_two_processes_that_make_the_file_at_once_both_can(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from models.registry.base import open_registry;"
        "r = open_registry(sys.argv[1], 'anomaly-detection', Path('.')); r.prepare();"
        "print('champion', r.alias('champion'))"
    )
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script, uri], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in started:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, "champion None"), err


def test_artifacts_lie_beside_the_database(
    registry: Registry, folder: Path, tmp_path: Path
) -> None:
    registry.register(folder)
    assert list((tmp_path / "mlflow" / "artifacts").rglob("weights.npz"))


def test_a_version_that_does_not_exist(registry: Registry, folder: Path, tmp_path: Path) -> None:
    registry.register(folder)
    with pytest.raises(NotFound):
        registry.fetch("7", tmp_path / "cache")
    with pytest.raises(NotFound):
        registry.set_alias(CHAMPION, "7")


def test_a_server_that_is_down_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = open_registry("http://me:secret@127.0.0.1:9", "anomaly-detection", tmp_path)
    with pytest.raises(Unavailable) as caught:
        registry.alias(CHAMPION)
    assert caught.value.code == "registry_unavailable"
    assert "http://127.0.0.1:9/" in caught.value.message
    assert "secret" not in caught.value.message
