"""What the page brings along from elsewhere, and how much it weighs."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from serving.page.pages import TEMPLATES
from serving.page.static_files import FOLDER, StaticFiles

VENDOR = FOLDER / "vendor"
AXE = Path(__file__).resolve().parents[3] / "fixtures/vendor"
#: Bytes of all scripts and styles of the heaviest screen, unpacked.
MAX_BYTES = 150_000
LICENCES = {"0BSD": "Zero-Clause BSD", "MIT": "The MIT License (MIT)", "MPL-2.0": "Mozilla Public"}


@pytest.mark.parametrize("folder", [VENDOR, AXE], ids=["page", "tests"])
def test_vendored_files_are_what_the_manifest_says(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    listed = {"manifest.json"}
    for name, package in manifest.items():
        assert package["source"] == f"npm: {name}@{package['version']}"
        assert package["files"], name
        for file, digest in package["files"].items():
            assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest, file
            listed.add(file)
        [licence] = [file for file in package["files"] if "LICENSE" in file]
        assert LICENCES[package["licence"]] in (folder / licence).read_text()
    assert {path.name for path in folder.iterdir()} == listed


def test_uplot_says_the_version_that_the_manifest_does() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())
    assert f"(v{manifest['uplot']['version']})" in (VENDOR / "uPlot.iife.min.js").read_text()
    assert f'version:"{manifest["htmx.org"]["version"]}"' in (VENDOR / "htmx.min.js").read_text()


def test_all_assets_together_stay_light() -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in (".js", ".css", ".svg")]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_templates_hold_no_script_style_or_address_of_another_host() -> None:
    """The policy forbids them; a browser would leave them out without a word."""
    templates = list(TEMPLATES.rglob("*.html"))
    assert len(templates) > 10
    for path in templates:
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*src=)", text), path.name
        assert not re.search(r"""<style|\sstyle=|\son\w+=|javascript:|https?://""", text), path.name
        assert "|safe" not in text.replace(" ", ""), path.name


def test_addresses_of_files_change_with_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p {}")
    first = StaticFiles(tmp_path).url("a.css")
    (tmp_path / "a.css").write_text("q {}")
    assert StaticFiles(tmp_path).url("a.css") != first
    with pytest.raises(KeyError):
        StaticFiles(tmp_path).url("b.css")
