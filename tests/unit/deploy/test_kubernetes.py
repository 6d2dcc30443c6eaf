"""deploy/kubernetes: valid against the published schemas, hardened, and consistent."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config import Settings
from notify.sender import STOP_S
from tests.fixtures.tools import needs

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy/kubernetes"
#: The oldest version still in use at the time of writing, and the newest that the tool knows.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
#: Environment names that are not the project's own settings.
FOREIGN = {"OMP_NUM_THREADS"}
UID = 1034  # of the image's user

Resource = dict[str, Any]


def documents() -> Iterator[tuple[str, Resource]]:
    for file in sorted(FOLDER.glob("*.yaml")):
        if file.name != "kustomization.yaml":
            for document in yaml.safe_load_all(file.read_text()):
                yield f"{document['kind']}/{document['metadata']['name']}", document


RESOURCES = dict(documents())


def pod(resource: Resource) -> Resource:
    """The pod template of a Deployment, Job or CronJob."""
    spec = resource["spec"]
    template: Resource = spec.get("jobTemplate", {}).get("spec", spec)["template"]
    return template


WORKLOADS = {
    name: resource
    for name, resource in RESOURCES.items()
    if resource["kind"] in {"Deployment", "Job", "CronJob"}
}
DEPLOYMENTS = {name: r for name, r in WORKLOADS.items() if r["kind"] == "Deployment"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", RESOURCES)
def test_resource_is_valid(name: str, version: str) -> None:
    kubernetes_validate.validate(RESOURCES[name], version, strict=True)


def test_validation_refuses_what_is_wrong() -> None:
    # Strictness is the point of the test above: a misspelt field must not pass.
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_kustomization_lists_all_but_the_secret_template() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    files = {f.name for f in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(listed) == files


@needs("kubectl", "kubernetes-client")
def test_kustomize_builds_all_of_it_into_one_namespace() -> None:
    command = ["kubectl", "kustomize", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    names = {f"{resource['kind']}/{resource['metadata']['name']}" for resource in built}
    assert names == {name for name in RESOURCES if not name.startswith("Secret/")}
    for resource in built:
        kubernetes_validate.validate(resource, VERSIONS[1], strict=True)
        if resource["kind"] != "Namespace":
            assert resource["metadata"]["namespace"] == "anomalies"


@needs("kubectl", "kubernetes-client")
def test_data_sets_lie_where_every_replica_and_the_training_job_look(tmp_path: Path) -> None:
    copy = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, copy)
    with (copy / "kustomization.yaml").open("a") as file:
        file.write("components: [datasets]\n")
    command = ["kubectl", "kustomize", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = {
        f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(done.stdout)
    }
    dockerfile = (ROOT / "deploy/image/Dockerfile.template").read_text()
    for name in ("Deployment/anomaly-service", "CronJob/anomaly-train"):
        kubernetes_validate.validate(built[name], VERSIONS[1], strict=True)
        spec = pod(built[name])["spec"]
        (mount,) = (m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "data")
        assert f"DATA_DIR={mount['mountPath']} " in dockerfile
        (volume,) = (v for v in spec["volumes"] if v["name"] == "data")
        claim = volume["persistentVolumeClaim"]["claimName"]
        assert built[f"PersistentVolumeClaim/{claim}"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_every_resource_says_what_it_is_part_of() -> None:
    # In the files themselves: not every kubectl knows the kustomization's field for labels.
    for name, resource in RESOURCES.items():
        part = resource["metadata"].get("labels", {}).get("app.kubernetes.io/part-of")
        assert part == "anomaly-detection", name


def test_everything_that_is_needed_is_there() -> None:
    names = ("service", "bridge", "exporter", "sender")
    assert set(DEPLOYMENTS) == {f"Deployment/anomaly-{name}" for name in names}
    autoscaler = RESOURCES["HorizontalPodAutoscaler/anomaly-service"]["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == "anomaly-service"
    assert "replicas" not in DEPLOYMENTS["Deployment/anomaly-service"]["spec"]
    assert (
        pod(RESOURCES["Job/anomaly-migrate"])["spec"]["containers"][0]["args"][-1] == "db.migrate"
    )


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_deployment_is_selected_by_service_and_disruption_budget(name: str) -> None:
    labels = pod(DEPLOYMENTS[name])["metadata"]["labels"]
    short = name.split("/")[1]
    assert DEPLOYMENTS[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert RESOURCES[f"Service/{short}"]["spec"]["selector"].items() <= labels.items()
    if short != "anomaly-exporter":  # one is enough, and a while without it harms nothing
        budget = RESOURCES[f"PodDisruptionBudget/{short}"]["spec"]["selector"]["matchLabels"]
        assert budget.items() <= labels.items()
    policy = RESOURCES[f"NetworkPolicy/{short}"]["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= labels.items()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_deployment_has_probes_on_ports_that_exist(name: str) -> None:
    template = pod(DEPLOYMENTS[name])
    container = template["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    scraped = template["metadata"]["annotations"]["prometheus.io/port"]
    assert int(scraped) in ports.values()
    policy = RESOURCES[f"NetworkPolicy/{name.split('/')[1]}"]["spec"]["ingress"][0]["ports"]
    assert {port["port"] for port in policy} == set(ports.values())


@pytest.mark.parametrize("name", WORKLOADS)
def test_pod_is_not_root_and_changes_nothing_but_its_volumes(name: str) -> None:
    spec = pod(WORKLOADS[name])["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == UID
    mounts = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == set(container["resources"]["limits"])
        assert {m["name"] for m in container["volumeMounts"]} == mounts


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_runs_a_module_that_the_image_has(name: str) -> None:
    container = pod(WORKLOADS[name])["spec"]["containers"][0]
    if "args" not in container:
        return  # the image's own entry: it serves
    assert container["args"][:2] == ["python", "-m"]
    assert (ROOT / (container["args"][2].replace(".", "/") + ".py")).exists()


def test_settings_are_known_and_secrets_are_apart() -> None:
    known = {field.upper() for field in Settings.model_fields}
    public = RESOURCES["ConfigMap/anomalies"]["data"]
    secret = RESOURCES["Secret/anomalies"]["stringData"]
    assert set(public) <= known | FOREIGN
    assert set(secret) <= known
    assert not [name for name in public if "PASSWORD" in name or name.endswith("KEY")]
    assert not [name for name, value in secret.items() if value and "USER" not in name]


def test_config_map_makes_valid_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    values = RESOURCES["ConfigMap/anomalies"]["data"] | RESOURCES["Secret/anomalies"]["stringData"]
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    bridge = pod(RESOURCES["Deployment/anomaly-bridge"])["spec"]
    assert settings.bridge_metrics_port == bridge["containers"][0]["ports"][0]["containerPort"]
    assert bridge["terminationGracePeriodSeconds"] > settings.bridge_stop_s
    sender = pod(RESOURCES["Deployment/anomaly-sender"])["spec"]
    assert settings.notify_metrics_port == sender["containers"][0]["ports"][0]["containerPort"]
    assert sender["terminationGracePeriodSeconds"] > STOP_S
    assert f":{settings.service_port}" in settings.service_url
    service = RESOURCES["Service/anomaly-service"]
    assert service["metadata"]["name"] in settings.service_url
    assert service["spec"]["ports"][0]["port"] == settings.service_port
