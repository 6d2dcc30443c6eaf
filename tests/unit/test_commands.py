"""Every command helps, and the commands that the documents give are ones it takes."""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["training", "consumers", "db", "deploy", "benchmarks", "serving", "fleet", "notify"]
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
    and re.search("ArgumentParser|command_parser", path.read_text())
)
GIVEN = sorted(
    {
        (command, shlex.join(shlex.split(rest, comments=True)))
        for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        for command, rest in re.findall(r"^python -m (\S+)(.*)$", block, re.MULTILINE)
    }
)


class Taken(Exception):
    """Raised in place of running a command."""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_shown(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [command, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(command).main()
    assert not ended.value.code
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "arguments"), GIVEN)
def test_a_command_of_the_documents_is_taken(
    command: str, arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_only(*args: Any, **options: Any) -> None:
        parse(*args, **options)
        raise Taken

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    with pytest.raises(Taken):
        importlib.import_module(command).main(shlex.split(arguments))


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_ends_a_command_that_inherited_sigint_as_ignored(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell starts what goes to the background."""

    def interrupted(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        raise Taken

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", interrupted)
    monkeypatch.setattr("sys.argv", [command])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(command, run_name="__main__")
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
