"""What the documents name exists, and docs/architecture.md draws the house as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_architecture import ALLOWED, ROOMS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
MODULES = {path.name for name in ALLOWED for path in ROOT.glob(f"{name}*/**/*.py")} | {
    path.name for path in ROOT.glob("*.py")
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_of_the_source_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`([\w./-]+\.py)`", document.read_text())
    missing = [
        name for name in named if not ((ROOT / name).exists() if "/" in name else name in MODULES)
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [one for one in targets if not (document.parent / one).exists()] == []


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    assert [d.name for d in DOCUMENTS if f"]({d.name})" not in index] == ["README.md"] * 2


def test_every_document_is_on_the_site() -> None:
    site = (ROOT / "deploy" / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    named = re.findall(r"[\w.-]+\.md", site)
    assert sorted(named) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_architecture_draws_every_room_and_their_order(package: str) -> None:
    house = ARCHITECTURE.split("```")[3]
    drawn = house
    for depth, part in enumerate(package.split("/")):
        indent = "  " * depth
        drawn = re.split(rf"\n{indent}{part}/", drawn, maxsplit=1)[1]
        drawn = re.split(rf"\n(?=\n|{indent}\w)", drawn, maxsplit=1)[0]
    rooms = re.findall(rf"^{indent}  (\w+)/ ", drawn, re.MULTILINE)
    others = {"migrations"} if package == "db" else set()
    assert [room for room in rooms if room not in others] == ROOMS[package]
    assert f"| `{package}/` | {', '.join(ROOMS[package])} |" in ARCHITECTURE


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_architecture_names_what_a_package_may_import(package: str) -> None:
    table = ARCHITECTURE.split("## Who may import whom")[1].split("never import each other")[0]
    for row in [line for line in table.splitlines() if line.startswith("|")]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if re.search(rf"`{package}(/|\.py)?`", cells[0]):
            documented = set(re.findall(r"\w+", cells[1].split(";")[0])) & set(ALLOWED)
            assert documented == ALLOWED[package] - {package}
            return
    pytest.fail(f"no row for {package}")
