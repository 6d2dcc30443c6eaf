"""The Bento store: tagged, labelled, and never a second copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import NotFound
from models.bundles.bundle import Bundle
from models.registry.base import CHAMPION, FileRegistry
from models.registry.bento_store import MODEL_NAME, import_alias, import_version, stored

pytestmark = pytest.mark.usefixtures("bento_home")


@pytest.fixture
def registry(bundle_dir: Path, tmp_path: Path) -> FileRegistry:
    made = FileRegistry(tmp_path / "registry")
    made.set_alias(CHAMPION, made.register(bundle_dir, run_id="run-1"))
    return made


def test_import_by_alias_is_tagged_with_version_and_run(
    registry: FileRegistry, tmp_path: Path
) -> None:
    kept = import_alias(registry, CHAMPION, tmp_path / "cache")
    assert kept.fresh
    assert kept.tag.startswith(f"{MODEL_NAME}:v1-")
    listed = stored()
    assert [str(one.tag) for one in listed] == [kept.tag]
    assert listed[0].info.labels == {"registry_version": "1", "run_id": "run-1"}
    assert Bundle.load(kept.path).groups == ["default"]


def test_import_twice_makes_no_second_copy(registry: FileRegistry, tmp_path: Path) -> None:
    first = import_alias(registry, CHAMPION, tmp_path / "cache")
    again = import_version(registry, "1", tmp_path / "cache")
    assert not again.fresh
    assert again.tag == first.tag
    assert len(stored()) == 1


def test_another_version_is_another_model(
    registry: FileRegistry, bundle_dir: Path, tmp_path: Path
) -> None:
    import_version(registry, "1", tmp_path / "cache")
    second = registry.register(bundle_dir)
    kept = import_version(registry, second, tmp_path / "cache")
    assert kept.fresh
    assert str(stored()[0].tag) == kept.tag


def latest() -> str:
    """What BentoML itself takes ``:latest`` for."""
    import bentoml

    return str(bentoml.models.get(f"{MODEL_NAME}:latest").tag)


def test_the_champion_is_latest_whatever_was_made_last(
    registry: FileRegistry, bundle_dir: Path, tmp_path: Path
) -> None:
    import_version(registry, registry.register(bundle_dir), tmp_path / "cache")
    champion = import_alias(registry, CHAMPION, tmp_path / "cache")
    assert latest() == champion.tag
    import_version(registry, "2", tmp_path / "cache")
    again = import_alias(registry, CHAMPION, tmp_path / "cache")
    assert not again.fresh
    assert latest() == champion.tag


def test_the_store_keeps_the_newest_and_latest(
    registry: FileRegistry, bundle_dir: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    for _ in range(4):
        import_version(registry, registry.register(bundle_dir), cache, kept=2)
    assert [one.info.labels["registry_version"] for one in stored()] == ["5", "4"]
    import_version(registry, "1", cache, kept=2)  # made last, as it was gone
    assert [one.info.labels["registry_version"] for one in stored()] == ["1", "5"]
    again = import_version(registry, "5", cache, kept=1)
    assert latest() == again.tag
    assert {one.info.labels["registry_version"] for one in stored()} == {"1", "5"}


def test_nothing_to_import(tmp_path: Path) -> None:
    empty = FileRegistry(tmp_path / "registry")
    with pytest.raises(NotFound, match="champion"):
        import_alias(empty, CHAMPION, tmp_path / "cache")
    with pytest.raises(NotFound, match="'9'"):
        import_version(empty, "9", tmp_path / "cache")
    assert stored() == []
