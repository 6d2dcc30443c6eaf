"""deploy/compose.yaml: valid, complete, and without a password of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import Settings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
FILE = DEPLOY / "compose.yaml"
TEXT = FILE.read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"service", "bridge", "exporter", "sender", "train"}
ONE_SHOT = {"topics", "train"}
NEEDED = {"kafka", "postgres", "mlflow", "service", "bridge", "prometheus", "grafana"}
SECRET = re.compile(r"PASSWORD|KEY|SECRET|TOKEN")


def example() -> dict[str, str]:
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def interpolations() -> list[tuple[str, str, str]]:
    """(name, operator, default or message) of every ``${NAME:-default}`` in the file."""
    found = re.findall(r"\$\{(\w+)(?::([-?])([^}]*))?\}", TEXT)
    assert len(found) == len(re.findall(r"(?<!\$)\$\{", TEXT)), "an interpolation is malformed"
    return found


def test_file_is_valid_by_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(FILE)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def compose(env_file: Path) -> subprocess.CompletedProcess[str]:
    """What docker compose makes of the file with these variables; skipped where there is none."""
    docker = shutil.which("docker")
    probe = [docker or "false", "compose", "version"]
    if subprocess.run(probe, capture_output=True, timeout=30).returncode != 0:
        # In CI, too: it is in none of the registries there; the schema above is checked everywhere.
        pytest.skip("no docker compose here: install Docker's docker-compose-plugin")
    options = ["--env-file", str(env_file), "-f", str(FILE)]
    return subprocess.run(
        ["docker", "compose", *options, "config", "--quiet"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_docker_compose_reads_it_once_the_passwords_are_filled_in(tmp_path: Path) -> None:
    filled = {**example(), **dict.fromkeys(required(), "secret")}
    (tmp_path / ".env").write_text("".join(f"{k}={v}\n" for k, v in filled.items()))
    done = compose(tmp_path / ".env")
    assert done.returncode == 0, done.stderr


def test_docker_compose_refuses_the_example_as_it_is() -> None:
    done = compose(DEPLOY / ".env.example")
    assert done.returncode != 0
    assert "set it in deploy/.env" in done.stderr


def test_everything_that_is_needed_is_there() -> None:
    assert set(SERVICES) >= NEEDED
    assert SERVICES["kafka"]["environment"]["KAFKA_PROCESS_ROLES"] == "broker,controller"
    images = {SERVICES[name]["image"] for name in OURS | {"mlflow"}}
    assert len(images) == 1, "one image serves, trains, bridges and runs MLflow"


@pytest.mark.parametrize("name", SERVICES)
def test_service_restarts_and_is_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["logging"]["options"]["max-size"], "a log without a bound fills the disk"
    if name in ONE_SHOT:
        return
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


@pytest.mark.parametrize("name", SERVICES)
def test_references_lead_somewhere(name: str) -> None:
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        condition = how["condition"]
        if condition == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert condition == "service_completed_successfully"
            assert other in ONE_SHOT
    for volume in service.get("volumes", []):
        source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0]
        if not source.startswith("."):
            assert source in COMPOSE["volumes"]
        elif source != "./data":
            assert (DEPLOY / source).exists(), f"{name} mounts {source}, which is not there"


def test_every_volume_is_used() -> None:
    used = {volume.split(":")[0] for s in SERVICES.values() for volume in s.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


@pytest.mark.parametrize("name", sorted(OURS))
def test_environment_names_settings_that_exist(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields}
    assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", sorted(OURS))
def test_settings_that_compose_does_not_name_can_be_given(name: str) -> None:
    assert {"path": "settings.env", "required": False} in SERVICES[name]["env_file"]


def test_topics_and_ports_are_the_default_settings() -> None:
    fields = Settings.model_fields
    script = SERVICES["topics"]["command"][0]
    made = re.search(r"for topic in (.*); do", script)
    assert made is not None
    assert made.group(1).split() == [
        fields[f"kafka_topic_{name}"].default
        for name in ("input_features", "output_anomalies", "dead_letter")
    ]
    assert SERVICES["service"]["ports"][0].endswith(f":{fields['service_port'].default}")


def test_no_password_has_a_default() -> None:
    for name, operator, default in interpolations():
        if SECRET.search(name):
            assert operator == "?" or default == "", f"{name} has a default"
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                assert str(value).startswith("${"), f"{name} is written down"


def required() -> set[str]:
    """Variables without which compose starts nothing; an empty one counts as none."""
    return {name for name, operator, _ in interpolations() if operator == "?"}


def test_example_names_what_is_required_without_a_password_and_nothing_unknown() -> None:
    assert {name: example()[name] for name in required()} == dict.fromkeys(required(), "")
    assert set(example()) <= {name for name, _, _ in interpolations()}


def test_only_what_asks_for_a_password_is_published_with_the_service() -> None:
    published = {
        name: port.rsplit(":", 2)[0]
        for name, service in SERVICES.items()
        for port in service.get("ports", [])
    }
    assert published == {
        "service": "${BIND:-127.0.0.1}",  # API_KEYS
        "grafana": "${BIND:-127.0.0.1}",
        "kafka": "${KAFKA_BIND:-127.0.0.1}",
        "mlflow": "127.0.0.1",
        "prometheus": "127.0.0.1",
    }


def test_images_are_named_by_an_exact_version() -> None:
    template = (DEPLOY / "image/Dockerfile.template").read_text()
    (base,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", template, re.MULTILINE)
    images = {
        re.sub(r"^\$\{IMAGE:-(.*)\}$", r"\1", service["image"]) for service in SERVICES.values()
    }
    for image in images | {base, example()["IMAGE"]}:
        tag = image.rpartition(":")[2]
        # PostgreSQL's minor releases have two parts, all others three
        exact = r"\d+\.\d+" if "/postgres:" in image else r"v?\d+\.\d+\.\d+(-[\w-]+)?"
        assert re.fullmatch(exact, tag), f"{image} is another one tomorrow"


def test_our_image_is_this_version() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    kustomization = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    assert example()["IMAGE"] == f"detection-anomalies-service:{project['version']}"
    assert f"{{IMAGE:-{example()['IMAGE']}}}" in SERVICES["service"]["image"]
    assert [image["newTag"] for image in kustomization["images"]] == [project["version"]]


@pytest.mark.parametrize("name", sorted(OURS | {"mlflow"}))
def test_our_containers_can_change_nothing_but_their_volume(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert any(":/var/lib/anomalies" in volume for volume in service["volumes"])
