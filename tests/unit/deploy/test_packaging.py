"""The project installs: metadata, wheel, extras, and the pinned packages of the image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.image import lock
from tests.fixtures.tools import in_ci

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = (
    "config",
    "datasets",
    "models",
    "training",
    "serving",
    "consumers",
    "db",
    "notify",
    "deploy",
    "fleet",
)
FIXED = {
    "bentoml", "pyod", "torch", "mlflow", "kafka-python", "sqlmodel", "psycopg2-binary", "pydantic",
}  # fmt: skip
#: What torch brings along when it is not the CPU build.
CUDA = re.compile(r"^(nvidia-c|nvidia-nccl|triton|cuda-)", re.MULTILINE)


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def run(*command: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
def test_installed_packages_agree() -> None:
    done = run(sys.executable, "-m", "pip", "check", "--disable-pip-version-check")
    assert done.returncode == 0, done.stdout


def test_the_demo_installs_what_it_needs_and_a_test_run_the_rest_after_it(tmp_path: Path) -> None:
    def installed(target: str) -> list[str]:
        done = run("make", "-n", target, f"VENV={tmp_path}", cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return re.findall(r"pip install .* -e '(\S+)'", done.stdout)

    assert installed("demo") == [".[embedded]"]
    assert installed("test") == [".[embedded]", ".[embedded,spark,dev]"]


def test_fixed_packages_are_declared_and_servers_are_not_in_the_base() -> None:
    base = names(PROJECT["project"]["dependencies"])
    extras = PROJECT["project"]["optional-dependencies"]
    assert base >= FIXED
    assert "pytest" in names(extras["dev"])
    assert not base & (names(extras["embedded"]) | names(extras["dev"]))


@pytest.mark.parametrize("extra", PROJECT["project"]["optional-dependencies"])
def test_all_that_an_extra_installs_is_pinned(extra: str) -> None:
    if extra == "docs" and not in_ci():
        pytest.importorskip("mkdocs", reason="mkdocs is missing: make docs installs it")
    declared = PROJECT["project"]["optional-dependencies"][extra]
    pins = lock.pins(ROOT / "constraints.txt")
    assert set(lock.closure(declared)) <= set(pins), "what they need in turn, too"


def test_all_that_the_project_itself_installs_is_pinned() -> None:
    pins = lock.pins(ROOT / "constraints.txt")
    declared = PROJECT["project"]["dependencies"]
    assert set(lock.closure(declared)) <= set(pins), "what they need in turn, too"
    for requirement in PROJECT["project"]["dependencies"]:
        wanted = Requirement(requirement)
        version = pins[canonicalize_name(wanted.name)].split("==")[1]
        assert wanted.specifier.contains(version), f"constraints.txt pins {wanted.name} {version}"


def test_image_requirements_hold_neither_servers_nor_tools_nor_cuda() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    pinned = set(lock.pins(lock.TARGET))
    assert not pinned & names(extras["embedded"] + ["pytest", "ruff", "mypy", "hypothesis"])
    assert not CUDA.search(lock.TARGET.read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy so that the work tree stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for module in PROJECT["tool"]["setuptools"]["py-modules"]:
        shutil.copy(ROOT / f"{module}.py", source)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    out = tmp_path_factory.mktemp("wheel")
    done = run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(source),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return next(out.glob("*.whl"))


def page_files() -> set[str]:
    """Templates, scripts and styles of the operator's page."""
    page = ROOT / "serving/page"
    found = [*(page / "templates").rglob("*"), *(page / "static").rglob("*")]
    return {str(path.relative_to(ROOT)) for path in found if path.is_file()}


@pytest.mark.slow
def test_wheel_holds_the_program_and_nothing_else(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        missing = {
            str(path.relative_to(ROOT))
            for path in (ROOT / package).rglob("*.py")
            if "__pycache__" not in path.parts
        } - held
        assert not missing
    assert "db/migrations/script.py.mako" in held
    assert "db/fault_codes.toml" in held
    assert page_files() <= held
    top = {name.split("/")[0].removesuffix(".py") for name in held}
    modules = set(PROJECT["tool"]["setuptools"]["py-modules"])
    assert {name for name in top if not name.endswith(".dist-info")} == modules | set(PACKAGES)


@pytest.mark.slow
def test_wheel_installs_and_its_entry_points_import(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    done = run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--no-compile",
        "--disable-pip-version-check", "--target", str(target), str(wheel),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    modules = (
        "config", "datasets", "db.migrate", "consumers.bridge", "training.fit", "notify.sender",
    )  # fmt: skip
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    module = importlib.import_module(name)\n"
        f"    assert module.__file__.startswith({str(target)!r}), module.__file__\n"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
