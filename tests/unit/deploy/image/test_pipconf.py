"""What of pip's settings a build elsewhere is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.image.pipconf import local_paths, main, settings

LISTING = """\
:env:.default-timeout='180'
:env:.index-url='https://one.example/simple'
:env:.disable-pip-version-check='1'
global.index-url='https://two.example/simple'
global.find-links='/wheels file:///more/wheels'
install.cert='/ca.pem'
"""


def test_settings_are_those_of_where_packages_are_and_the_environment_wins() -> None:
    assert settings(LISTING) == {
        "timeout": "180",
        "index-url": "https://one.example/simple",
        "find-links": "/wheels file:///more/wheels",
        "cert": "/ca.pem",
    }


def test_local_paths_are_the_paths_that_exist(tmp_path: Path) -> None:
    (tmp_path / "index/simple").mkdir(parents=True)
    (tmp_path / "ca.pem").touch()
    options = {
        "index-url": "https://one.example/simple",
        "extra-index-url": f"file://{tmp_path}/index/simple",
        "find-links": f"/not/there {tmp_path}/ca.pem",
    }
    assert local_paths(options) == [f"{tmp_path}/index", f"{tmp_path}/ca.pem"]


def test_a_build_gets_one_file_and_what_it_has_to_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    mine = tmp_path / "mine.conf"
    mine.write_text(f"[global]\nfind-links = {wheels}\ntimeout = 7\nno-color = true\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(mine))
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    main(tmp_path)
    lines = (tmp_path / "pip.conf").read_text().splitlines()
    assert lines[0] == "[global]"
    assert {f"find-links = {wheels}", "timeout = 9"} <= set(lines)
    assert not any("no-color" in line for line in lines)
    assert str(wheels) in capsys.readouterr().out.splitlines()
