"""Which bundles there are: asked for once, described by their files, moved by people."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from errors import AnomalyError, Conflict, NotFound, Unavailable
from models.bundles.bundle import Bundle
from serving.bundles.catalogue import Catalogue, read_groups
from serving.bundles.champion import ChampionFile


class Registry:
    """Answers what the process that follows the registry would."""

    def __init__(self, folder: Path, **aliases: str) -> None:
        self.folder = folder
        self.aliases = aliases
        self.asked: list[str] = []
        self.silent = False
        self.held: asyncio.Event | None = None  # bundles are fetched once it is set

    async def ask(self, what: str, **details: Any) -> Any:
        self.asked.append(what)
        if self.silent:
            await asyncio.Event().wait()
        if what == "versions":
            return [
                {"version": version, "created_at": "2026-01-01", "run_id": None,
                 "aliases": [name for name, at in self.aliases.items() if at == version],
                 "tags": {"source": "plant.csv", "secret": "x", "held_out": "{}"}}
                for version in ("3", "2", "1")
            ]  # fmt: skip
        if what == "alias":
            return self.aliases.get(details["name"])
        if what == "fetch":
            if self.held is not None:
                await self.held.wait()
            if details["version"] == "2":
                raise NotFound("its files are gone")
            return str(self.folder)
        if what == "promote":
            return self.aliases.get("champion")
        assert what == "roll_back"
        return ["3", "1"]


@pytest.fixture
def made(tmp_path: Path, bundle_dir: Path) -> tuple[Catalogue, Registry, ChampionFile]:
    registry = Registry(bundle_dir, champion="3", challenger="2")
    champion = ChampionFile(tmp_path / "bundles")
    return Catalogue(registry, champion), registry, champion  # type: ignore[arg-type]


def test_versions_are_asked_for_once_and_a_bundle_that_cannot_be_read_says_why(made: Any) -> None:
    catalogue, registry, _ = made
    found = asyncio.run(catalogue.models())
    assert [one["version"] for one in found["versions"]] == ["3", "2", "1"]
    assert found["versions"][0]["tags"] == {"source": "plant.csv"}
    assert set(found["champion"]["groups"]) == {"default"}
    assert found["challenger"]["problem"] == "its files are gone"
    count = len(registry.asked)
    assert asyncio.run(catalogue.models()) is found
    assert len(registry.asked) == count


def test_who_is_in_a_hurry_gets_what_is_known(made: Any) -> None:
    catalogue, registry, _ = made
    registry.silent = True

    async def scenario() -> None:
        with pytest.raises(Unavailable) as caught:
            await catalogue.models(patience_s=0.0)
        assert caught.value.code == "registry_asked"
        catalogue._known = (float("-inf"), {"versions": []})
        assert await catalogue.models(patience_s=0.0) == {"versions": []}
        assert not catalogue.fresh
        registry.silent = False
        catalogue._task = None
        assert (await catalogue.models())["versions"]
        assert catalogue.fresh

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("version", "error", "champion"),
    [(None, None, "2"), ("1", None, "1"), ("3", Conflict, None), ("9", NotFound, None)],
)
def test_a_version_is_promoted_and_the_registry_read_again(
    made: Any, version: str | None, error: type[AnomalyError] | None, champion: str | None
) -> None:
    catalogue, registry, file = made
    if error is None:
        done = asyncio.run(catalogue.promote(version, "ANNA: better"))
        assert done == {"champion": champion, "previous": "3"}
    else:
        with pytest.raises(error):
            asyncio.run(catalogue.promote(version, "ANNA: better"))
    assert ("promote" in registry.asked) == file.recheck.exists() == (error is None)


def test_without_a_challenger_a_version_must_be_named(made: Any) -> None:
    catalogue, registry, _ = made
    del registry.aliases["challenger"]
    with pytest.raises(NotFound, match="name a version"):
        asyncio.run(catalogue.promote(None, ""))


def test_the_champion_before_comes_back(made: Any) -> None:
    catalogue, _, file = made
    assert asyncio.run(catalogue.roll_back(None)) == {"champion": "1", "previous": "3"}
    assert file.recheck.exists()


def test_what_was_asked_before_a_promotion_is_not_shown_after_it(made: Any) -> None:
    catalogue, registry, _ = made
    registry.held = asyncio.Event()

    async def scenario() -> None:
        early = asyncio.create_task(catalogue.models())
        while "fetch" not in registry.asked:
            await asyncio.sleep(0)
        await catalogue.promote("2", "ANNA: better")
        registry.aliases = {"champion": "2"}
        registry.held.set()
        await early
        assert (await catalogue.models())["champion"]["version"] == "2"

    asyncio.run(scenario())


def test_groups_are_described_by_the_bundles_files(bundle_dir: Path, bundle: Bundle) -> None:
    group = read_groups(bundle_dir)["default"]
    assert group["feature_names"] == list(bundle.model_set("default").feature_names)
    assert isinstance(group["not_watched"], list)
    for shares in group["power"].values():
        assert all(0 <= share <= 1 for share in shares.values())
