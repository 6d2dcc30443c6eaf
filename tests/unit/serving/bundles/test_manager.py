"""Which bundle is in force: followed, switched, and kept when its successor is broken."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from errors import NoModel, Unavailable
from models.bundles.bundle import Bundle
from models.registry.base import CHAMPION, FileRegistry
from serving.bundles.champion import Champion, ChampionFile
from serving.bundles.follower import Follower
from serving.bundles.manager import BundleManager


async def no_warming(_: Bundle) -> None:
    """The engine's part, not this test's."""


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.01)


def champion(tmp_path: Path, registry: FileRegistry, poll_s: float) -> Champion:
    """A champion that is followed in this process."""
    home = tmp_path / "bundles"
    return Champion(home, Follower(lambda: registry, ChampionFile(home), poll_s).run)


def manager(tmp_path: Path, registry: FileRegistry, **options: Any) -> BundleManager:
    return BundleManager(champion(tmp_path, registry, 0.05), no_warming, **options)


def test_it_follows_the_champion_and_survives_a_broken_one(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    broken = tmp_path / "broken"
    shutil.copytree(bundle_dir, broken)
    (broken / "bundle.json").write_text("{}")

    async def scenario() -> None:
        kept = manager(tmp_path, registry)
        with pytest.raises(NoModel, match=r"python -m training\.fit"):
            kept.current()
        await kept.start()
        first = registry.register(bundle_dir)
        registry.set_alias(CHAMPION, first)
        await until(lambda: kept.bundle is not None)
        assert kept.current().version == first
        registry.set_alias(CHAMPION, registry.register(broken))
        await until(lambda: kept.status()["problem"] is not None)
        assert kept.current().version == first
        await kept.stop()

    run(scenario)


def test_why_no_bundle_is_loaded_names_what_is_wrong_with_the_registry(tmp_path: Path) -> None:
    """The alias is read, but the store of the bundles does not answer."""
    kept = manager(tmp_path, FileRegistry(tmp_path / "registry"))
    (tmp_path / "bundles").mkdir()
    champion_file = ChampionFile(tmp_path / "bundles")
    champion_file.write({"coming": "3", "problem": "the store is down"})
    with pytest.raises(NoModel, match=r"^bundle 3 is being loaded \(the store is down\)$"):
        kept.current()
    champion_file.write({"problem": "MLflow is down"})
    with pytest.raises(NoModel, match=r"^no trained bundle .* \(MLflow is down\)$"):
        kept.current()


def test_while_a_bundle_is_loaded_nobody_is_told_to_train_one(
    tmp_path: Path, bundle_dir: Path
) -> None:
    """As where a worker was killed and starts again."""
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    warm = asyncio.Event()

    async def warming(_: Bundle) -> None:
        await warm.wait()

    async def scenario() -> None:
        followed = champion(tmp_path, registry, 3600)
        kept = BundleManager(followed, warming)
        await kept.start()
        await until(lambda: "folder" in followed.read())
        with pytest.raises(NoModel, match=r"^bundle 1 is being loaded$"):
            kept.current()
        warm.set()
        await until(lambda: kept.bundle is not None)
        await kept.stop()

    run(scenario)


def in_time() -> float:
    return asyncio.get_running_loop().time() + 30


def test_a_state_of_the_new_champion_makes_it_switch_before_scoring(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))

    async def scenario() -> None:
        kept = BundleManager(champion(tmp_path, registry, 3600), no_warming)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        registry.set_alias(CHAMPION, registry.register(bundle_dir))
        await kept.ensure_versions({"0", "2"}, in_time())
        assert kept.current().version == "2"
        await kept.ensure_versions({"1"}, in_time())  # an old one changes nothing
        assert kept.current().version == "2"
        await kept.stop()

    run(scenario)


class SlowRegistry(FileRegistry):
    """A registry whose bundles, or answers, are a long time on their way."""

    def __init__(self, root: Path, what: str) -> None:
        super().__init__(root)
        self._what = what
        self.asked = threading.Event()
        self.arrived = threading.Event()
        self.arrived.set()

    def alias(self, name: str) -> str | None:
        found = super().alias(name)
        self._wait("alias")
        return found

    def fetch(self, version: str, into: Path) -> Path:
        self._wait("fetch")
        return super().fetch(version, into)

    def _wait(self, what: str) -> None:
        if what == self._what:
            self.asked.set()
            assert self.arrived.wait(60)


@pytest.mark.parametrize("slow", ["fetch", "alias"])
@pytest.mark.slow
def test_a_state_of_the_champion_waits_for_a_slow_registry(
    tmp_path: Path, bundle_dir: Path, slow: str
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    registry.set_alias(CHAMPION, registry.register(bundle_dir))

    async def scenario() -> None:
        distant = SlowRegistry(tmp_path / "registry", slow)
        kept = BundleManager(champion(tmp_path, distant, 0.05), no_warming)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        distant.arrived.clear()
        registry.set_alias(CHAMPION, registry.register(bundle_dir))
        for _ in range(2):
            with pytest.raises(Unavailable) as waiting:
                await kept.ensure_versions({"3"}, in_time())
            assert waiting.value.code == "bundle_loading"
            assert waiting.value.retry_after > 0
        # what was champion before goes on, a slow registry or not
        await kept.ensure_versions({"1"}, in_time())
        assert kept.current().version == "2"
        distant.arrived.set()
        await until(lambda: kept.current().version == "3")
        await kept.ensure_versions({"3"}, in_time())
        await kept.stop()

    run(scenario)


@pytest.mark.slow
def test_a_slow_warming_up_is_waited_for_too(tmp_path: Path, bundle_dir: Path) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))

    async def scenario() -> None:
        warm = asyncio.Event()
        warm.set()

        async def warming(_: Bundle) -> None:
            await warm.wait()

        kept = BundleManager(champion(tmp_path, registry, 0.05), warming)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        warm.clear()
        registry.set_alias(CHAMPION, registry.register(bundle_dir))
        with pytest.raises(Unavailable, match="bundle 2"):
            await kept.ensure_versions({"2"}, in_time())
        assert kept.current().version == "1"
        warm.set()
        await kept.ensure_versions({"2"}, in_time())
        assert kept.current().version == "2"
        await kept.stop()

    run(scenario)


def test_a_champion_that_cannot_be_loaded_holds_nobody_up(tmp_path: Path, bundle_dir: Path) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    broken = tmp_path / "broken"
    shutil.copytree(bundle_dir, broken)
    (broken / "bundle.json").write_text("{}")

    async def scenario() -> None:
        kept = manager(tmp_path, registry)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        registry.set_alias(CHAMPION, registry.register(broken))
        await until(lambda: kept.status()["problem"] is not None)
        await kept.ensure_versions({"2"}, in_time())
        assert kept.current().version == "1"
        await kept.stop()

    run(scenario)


def test_many_unknown_versions_are_asked_about_once(tmp_path: Path, bundle_dir: Path) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))

    async def scenario() -> None:
        kept = BundleManager(champion(tmp_path, registry, 3600), no_warming)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await kept.ensure_versions({f"v{number}" for number in range(500)}, in_time())
        assert loop.time() - began < 15  # one by one each would wait for its answer
        await kept.ensure_versions({"w"}, loop.time() - 1)  # the deadline is over: no waiting
        await kept.stop()

    run(scenario)


def test_who_asks_while_the_alias_is_being_read_is_answered_by_a_later_look(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    home = tmp_path / "bundles"

    async def scenario() -> None:
        distant = SlowRegistry(tmp_path / "registry", "alias")
        distant.arrived.clear()
        leader = champion(tmp_path, distant, 3600)
        await leader.start()
        await until(distant.asked.is_set)
        registry.set_alias(CHAMPION, registry.register(bundle_dir))
        other = ChampionFile(home)  # of a worker that does not lead
        other.ask_again()
        distant.arrived.set()
        await until(lambda: other.read().get("version") == "2")
        await leader.stop()

    run(scenario)


def test_the_packed_bundle_serves_until_there_is_a_champion(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry = FileRegistry(tmp_path / "registry")

    async def scenario() -> None:
        kept = manager(tmp_path, registry, packed=bundle_dir)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        assert kept.source == "packed in the Bento"
        registry.set_alias(CHAMPION, registry.register(bundle_dir))
        await until(lambda: kept.current().version == "1")
        await kept.stop()

    run(scenario)


def test_a_start_takes_the_champion_of_now_not_of_last_time(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    in_force: list[str] = []
    warmed: list[str] = []

    async def note(bundle: Bundle) -> None:
        warmed.append(bundle.version)

    async def scenario() -> None:
        kept = BundleManager(champion(tmp_path, registry, 3600), note)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        in_force.append(kept.current().version)
        await kept.stop()

    run(scenario)
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    pointer = tmp_path / "bundles" / "champion.json"
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | {"checked_at": 1}))
    run(scenario)
    assert in_force == ["1", "2"]
    run(scenario)
    assert warmed.count("2") == 2  # once a start: what is loaded ahead is not loaded again
