"""Which bundle is in force: followed, switched, and kept when its successor is broken."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from errors import NoModel, Unavailable
from models.bundles.bundle import Bundle
from models.registry.base import CHAMPION, FileRegistry, open_registry
from models.registry.mlflow_lookup import LookupUnsupported, alias_lookup
from serving.bundles.champion import Champion
from serving.bundles.leader_lock import LeaderLock
from serving.bundles.manager import BundleManager
from serving.bundles.registry_client import DirectRegistryClient, ProcessRegistryClient


async def no_warming(_: Bundle) -> None:
    """The engine's part, not this test's."""


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.01)


def champion(tmp_path: Path, registry: FileRegistry, poll_s: float) -> Champion:
    return Champion(DirectRegistryClient(registry), tmp_path / "bundles", poll_s)


def keeper(tmp_path: Path, registry: FileRegistry, **options: Any) -> BundleManager:
    return BundleManager(champion(tmp_path, registry, 0.05), no_warming, **options)


def test_it_follows_the_champion_and_survives_a_broken_one(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    broken = tmp_path / "broken"
    shutil.copytree(bundle_dir, broken)
    (broken / "bundle.json").write_text("{}")

    async def scenario() -> None:
        kept = keeper(tmp_path, registry)
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


class SlowAsker(DirectRegistryClient):
    """A registry whose bundles, or answers, are a long time on their way."""

    def __init__(self, registry: FileRegistry, what: str) -> None:
        super().__init__(registry)
        self._what = what
        self.arrived = asyncio.Event()
        self.arrived.set()

    async def ask(self, what: str, **details: Any) -> Any:
        if what == self._what:
            await self.arrived.wait()
        return await super().ask(what, **details)


@pytest.mark.parametrize("slow", ["fetch", "alias"])
@pytest.mark.slow
def test_a_state_of_the_champion_waits_for_a_slow_registry(
    tmp_path: Path, bundle_dir: Path, slow: str
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    registry.set_alias(CHAMPION, registry.register(bundle_dir))

    async def scenario() -> None:
        asker = SlowAsker(registry, slow)
        kept = BundleManager(Champion(asker, tmp_path / "bundles", 0.05), no_warming)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        asker.arrived.clear()
        registry.set_alias(CHAMPION, registry.register(bundle_dir))
        for _ in range(2):
            with pytest.raises(Unavailable) as waiting:
                await kept.ensure_versions({"3"}, in_time())
            assert waiting.value.code == "bundle_loading"
            assert waiting.value.retry_after > 0
        # what was champion before goes on, a slow registry or not
        await kept.ensure_versions({"1"}, in_time())
        assert kept.current().version == "2"
        asker.arrived.set()
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
        kept = keeper(tmp_path, registry)
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
        assert loop.time() - began < 3
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
        reading, go_on = asyncio.Event(), asyncio.Event()

        class Stopped(DirectRegistryClient):
            async def ask(self, what: str, **details: Any) -> Any:
                answer = await super().ask(what, **details)
                if what == "alias":
                    reading.set()
                    await go_on.wait()
                return answer

        leader = Champion(Stopped(registry), home, 3600)
        home.mkdir()
        leading = asyncio.create_task(leader.lead())
        await reading.wait()
        other = Champion(DirectRegistryClient(registry), home, 3600)  # a worker that does not lead
        registry.set_alias(CHAMPION, registry.register(bundle_dir))
        other.ask_again()
        go_on.set()
        await until(lambda: other.read().get("version") == "2")
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        await leader.close()

    run(scenario)


def test_the_packed_bundle_serves_until_there_is_a_champion(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry = FileRegistry(tmp_path / "registry")

    async def scenario() -> None:
        kept = keeper(tmp_path, registry, packed=bundle_dir)
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
    loaded: list[str] = []

    async def note(bundle: Bundle) -> None:
        loaded.append(bundle.version)

    async def scenario() -> None:
        kept = BundleManager(champion(tmp_path, registry, 3600), note)
        await kept.start()
        await until(lambda: kept.bundle is not None)
        await kept.stop()

    run(scenario)
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    pointer = tmp_path / "bundles" / "champion.json"
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | {"checked_at": 1}))
    run(scenario)
    assert loaded == ["1", "2"]


def test_one_process_leads(tmp_path: Path) -> None:
    first, second = LeaderLock(tmp_path / "lock"), LeaderLock(tmp_path / "lock")
    assert first.held()
    assert not second.held()
    assert first.held()
    first.release()
    assert second.held()
    second.release()


@pytest.mark.slow
def test_the_registry_is_asked_through_a_process_that_may_die(
    tmp_path: Path, mlflow_uri: str, bundle_dir: Path
) -> None:
    registry = open_registry(mlflow_uri, "anomaly-detection", tmp_path)

    async def scenario() -> None:
        asker = ProcessRegistryClient(mlflow_uri, "anomaly-detection", tmp_path)
        assert (await asker.ask("runs", limit=5))["runs"] == []
        assert asker._process is not None
        asker._process.kill()
        await asker._process.wait()
        registry.set_alias(CHAMPION, await asyncio.to_thread(registry.register, bundle_dir))
        folder = await asker.ask("fetch", version="1", into=str(tmp_path / "bundles"))
        assert Bundle.load(Path(folder)).groups == ["default"]
        await asker.close()

    asyncio.run(asyncio.wait_for(scenario(), 180))


def test_a_password_of_the_registry_is_in_no_command_line(tmp_path: Path) -> None:
    """Everyone on the host may read those."""

    async def scenario() -> None:
        uri = "http://mlflow:s3cret@127.0.0.1:9"
        asker = ProcessRegistryClient(uri, "anomaly-detection", tmp_path)
        asking = asyncio.create_task(asker.ask("runs", limit=5))
        while asker._process is None:
            await asyncio.sleep(0.01)
        command = Path(f"/proc/{asker._process.pid}/cmdline").read_bytes()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asker.close()
        assert b"registry_client" in command
        assert b"s3cret" not in command

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_what_is_known_without_mlflow_needs_no_process(
    tmp_path: Path, mlflow_uri: str, bundle_dir: Path
) -> None:
    registry = open_registry(mlflow_uri, "anomaly-detection", tmp_path)

    async def scenario() -> None:
        asker = ProcessRegistryClient(mlflow_uri, "anomaly-detection", tmp_path)
        assert await asker.ask("alias", name=CHAMPION) is None
        registry.set_alias(CHAMPION, await asyncio.to_thread(registry.register, bundle_dir))
        there = await asyncio.to_thread(registry.fetch, "1", tmp_path / "bundles")
        assert await asker.ask("alias", name=CHAMPION) == "1"
        found = await asker.ask("fetch", version="1", into=str(tmp_path / "bundles"))
        assert Path(found) == there
        assert asker._process is None
        await asker.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_only_mlflow_tells_what_a_look_from_outside_cannot(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert alias_lookup(f"sqlite:///{path}", "x").alias(CHAMPION) is None
    assert not path.exists()
    path.write_bytes(b"no database")
    with pytest.raises(LookupUnsupported):
        alias_lookup(f"sqlite:///{path}", "x").alias(CHAMPION)
    with pytest.raises(LookupUnsupported):
        alias_lookup("http://127.0.0.1:1", "x").alias(CHAMPION)
    with pytest.raises(LookupUnsupported):
        alias_lookup("databricks", "x")
