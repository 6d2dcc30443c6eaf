"""The file registry: versions that never change, aliases replaced at once."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from errors import BundleError, NotFound
from models.registry.base import CHALLENGER, CHAMPION, FileRegistry, open_registry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that stands for a bundle: the registry never looks inside."""
    made = tmp_path / "made"
    (made / "default").mkdir(parents=True)
    (made / "bundle.json").write_text('{"groups": ["default"]}')
    (made / "default" / "weights.npz").write_bytes(bytes(range(256)))
    return made


@pytest.fixture
def registry(tmp_path: Path) -> FileRegistry:
    return FileRegistry(tmp_path / "registry")


def test_empty_registry_has_nothing_and_writes_nothing(registry: FileRegistry) -> None:
    assert registry.alias(CHAMPION) is None
    assert registry.versions() == []
    assert not registry.root.exists()


def test_fetch_returns_what_was_registered(
    registry: FileRegistry, folder: Path, tmp_path: Path
) -> None:
    version = registry.register(folder, run_id="abc", tags={"groups": "1"})
    fetched = registry.fetch(version, tmp_path / "cache")
    assert (fetched / "bundle.json").read_text() == '{"groups": ["default"]}'
    assert (fetched / "default" / "weights.npz").read_bytes() == bytes(range(256))


def test_fetch_again_uses_the_copy(registry: FileRegistry, folder: Path, tmp_path: Path) -> None:
    version = registry.register(folder)
    first = registry.fetch(version, tmp_path / "cache")
    before = (first / "bundle.json").stat().st_ino
    assert registry.fetch(version, tmp_path / "cache") == first
    assert (first / "bundle.json").stat().st_ino == before
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [first.name]


def test_fetch_replaces_a_damaged_copy(
    registry: FileRegistry, folder: Path, tmp_path: Path
) -> None:
    version = registry.register(folder)
    first = registry.fetch(version, tmp_path / "cache")
    (first / "bundle.json").write_text("{")
    again = registry.fetch(version, tmp_path / "cache")
    assert (again / "bundle.json").read_text() == '{"groups": ["default"]}'


def test_fetch_refuses_a_version_whose_files_changed(
    registry: FileRegistry, folder: Path, tmp_path: Path
) -> None:
    version = registry.register(folder)
    (registry.root / "versions" / version / "bundle" / "bundle.json").write_text("{}")
    with pytest.raises(BundleError, match="damaged"):
        registry.fetch(version, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_aliases_move_and_drop(registry: FileRegistry, folder: Path) -> None:
    one, two = registry.register(folder), registry.register(folder)
    registry.set_alias(CHAMPION, one)
    registry.set_alias(CHALLENGER, two)
    assert [v["aliases"] for v in registry.versions()] == [[CHALLENGER], [CHAMPION]]
    registry.set_alias(CHAMPION, two)
    registry.drop_alias(CHALLENGER)
    registry.drop_alias(CHALLENGER)
    assert registry.alias(CHAMPION) == two
    assert registry.alias(CHALLENGER) is None


def test_alias_to_an_unknown_version_is_refused(registry: FileRegistry, folder: Path) -> None:
    registry.register(folder)
    with pytest.raises(NotFound, match="'7'"):
        registry.set_alias(CHAMPION, "7")


def test_tags_are_kept(registry: FileRegistry, folder: Path) -> None:
    version = registry.register(folder, tags={"a": "1"})
    registry.tag(version, "b", "2")
    assert registry.versions()[0]["tags"] == {"a": "1", "b": "2"}


def test_versions_number_past_nine_in_order(registry: FileRegistry, folder: Path) -> None:
    made = [registry.register(folder) for _ in range(11)]
    assert made == [str(n) for n in range(1, 12)]
    assert [v["version"] for v in registry.versions()] == made[::-1]


def test_registering_at_once_gives_distinct_versions(registry: FileRegistry, folder: Path) -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(registry.register(folder))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made, key=int) == [str(n) for n in range(1, 9)]


def test_unreadable_version_file_is_a_bundle_error(registry: FileRegistry, folder: Path) -> None:
    version = registry.register(folder)
    (registry.root / "versions" / version / "version.json").write_text("{")
    with pytest.raises(BundleError):
        registry.versions()


def test_runs_say_that_mlflow_is_off(registry: FileRegistry) -> None:
    answer = registry.runs()
    assert answer["enabled"] is False
    assert "MLFLOW_ENABLED" in answer["message"]


def test_open_registry_without_mlflow_is_the_file_registry(tmp_path: Path, folder: Path) -> None:
    registry = open_registry(None, "anomaly-detection", tmp_path)
    registry.set_alias(CHAMPION, registry.register(folder))
    about = json.loads((tmp_path / "registry" / "versions" / "1" / "version.json").read_text())
    assert about["version"] == "1"
    assert (tmp_path / "registry" / "aliases" / "champion").read_text().strip() == "1"
