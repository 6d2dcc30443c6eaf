"""BentoML's containerize, started from a folder that is not the Bento's."""

from __future__ import annotations

from pathlib import Path

import pytest
from bentoml._internal.container import generate
from bentoml_cli.containerize import containerize_command
from click.testing import CliRunner

from deploy.image.containerize import containerize


def test_is_bentomls_command_without_the_check_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "Dockerfile.template"
    template.write_text("FROM scratch")
    inside = tmp_path / "elsewhere"
    inside.mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setattr(generate, "resolve_user_filepath", generate.resolve_user_filepath)
    with pytest.raises(ValueError, match="outside"):
        generate.resolve_user_filepath("../Dockerfile.template", None)
    assert containerize.name == containerize_command.name
    given: list[list[str]] = []
    monkeypatch.setattr(
        containerize_command, "main", lambda args, prog_name: given.append([prog_name, *args])
    )
    done = CliRunner().invoke(containerize, ["demo:latest", "-t", "demo:1", "--opt", "x=y"])
    assert done.exit_code == 0, done.output
    assert given == [["bentoml containerize", "demo:latest", "-t", "demo:1", "--opt", "x=y"]]
    assert generate.resolve_user_filepath("../Dockerfile.template", None) == str(template)
