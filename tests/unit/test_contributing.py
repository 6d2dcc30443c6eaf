"""CONTRIBUTING.md and what a newcomer uses by it: names that exist, hooks that are valid."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = sorted(set(re.findall(r"(?<![\w.])((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|toml))", TEXT)))


def test_what_is_named_exists() -> None:
    made = (".venv/", "__init__.py")  # by `make setup`, and in every folder
    missing = [n for n in NAMED if not n.startswith(made) and not (ROOT / n).exists()]
    assert len(NAMED) > 20
    assert missing == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake (\w+)", TEXT))))
def test_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_hooks_are_valid_and_run_the_pinned_ruff() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config"]
    done = subprocess.run(
        [*command, str(ROOT / ".pre-commit-config.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"].split()[:2] for hook in hooks] == [
        [".venv/bin/ruff", "check"], [".venv/bin/ruff", "format"],
    ]  # fmt: skip


def test_issue_templates_have_a_name_and_say_what_they_are_for() -> None:
    templates = list((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md"))
    assert templates
    for template in templates:
        head = yaml.safe_load(template.read_text().split("---")[1])
        assert {"name", "about", "labels"} <= set(head)


def test_every_folder_of_unit_tests_is_a_package() -> None:
    # Else `tests/unit/models` would stand before `models` wherever pytest looks for modules.
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []
