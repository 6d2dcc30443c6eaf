"""The process that follows the registry: what it is asked, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from errors import NotFound, Unavailable
from models.registry.base import CHAMPION, FileRegistry, open_registry
from serving.bundles import follower as follower_module
from serving.bundles.champion import Champion, ChampionFile
from serving.bundles.follower import Follower, run_process
from serving.bundles.registry_client import RegistryClient, questions_folder


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 180))


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.02)


async def end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_is_asked_is_answered_and_leaves_nothing_behind(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry, home = FileRegistry(tmp_path / "registry"), tmp_path / "bundles"

    async def scenario() -> None:
        client = RegistryClient(home)
        early = asyncio.create_task(client.ask("alias", name=CHAMPION))  # nobody is there yet
        await until(lambda: questions_folder(home).is_dir())
        following = asyncio.create_task(Follower(lambda: registry, ChampionFile(home)).run())
        assert await early is None
        version = registry.register(bundle_dir)
        assert await client.ask("promote", version=version, why="by hand") is None
        assert await client.ask("alias", name=CHAMPION) == version
        assert [one["version"] for one in await client.ask("versions")] == [version]
        folder = await client.ask("fetch", version=version, into=str(home))
        assert (Path(folder) / "bundle.json").is_file()
        assert (await client.ask("runs", limit=5))["enabled"] is False
        with pytest.raises(NotFound, match="no version '9'"):
            await client.ask("fetch", version="9", into=str(home))
        with pytest.raises(Unavailable):
            await client.ask("nonsense")
        assert list(questions_folder(home).iterdir()) == []
        await end(following)

    run(scenario)


def test_one_whose_file_was_replaced_ends_so_that_the_next_reads_the_new_file(
    tmp_path: Path,
) -> None:
    registry, home = FileRegistry(tmp_path / "registry"), tmp_path / "bundles"
    file = tmp_path / "mlflow.db"
    file.touch()

    async def scenario() -> None:
        one = Follower(lambda: registry, ChampionFile(home), 0.05, file)
        following = asyncio.create_task(one.run())
        await until(lambda: ChampionFile(home).stamp() is not None)
        file.rename(tmp_path / "old.db")
        before = ChampionFile(home).stamp()
        await until(lambda: ChampionFile(home).stamp() != before)  # it may come back
        assert not following.done()
        file.touch()
        assert await following == f"{file} was replaced by another file"

    run(scenario)


def test_what_a_killed_service_asked_is_not_done_after_its_restart(
    tmp_path: Path, bundle_dir: Path
) -> None:
    registry, home = FileRegistry(tmp_path / "registry"), tmp_path / "bundles"
    first, second = registry.register(bundle_dir), registry.register(bundle_dir)
    registry.set_alias(CHAMPION, first)

    async def scenario() -> None:
        asking = asyncio.create_task(
            RegistryClient(home).ask("promote", version=second, why="before the crash")
        )
        await until(lambda: any(questions_folder(home).glob("*.question")))
        (left,) = questions_folder(home).glob("*.question")
        question = json.loads(left.read_text()) | {"until": time.time()}
        await end(asking)
        left.write_text(json.dumps(question))  # a killed worker does not take its question back
        following = asyncio.create_task(Follower(lambda: registry, ChampionFile(home)).run())
        assert await RegistryClient(home).ask("alias", name=CHAMPION) == first
        await until(lambda: not left.exists())
        assert await RegistryClient(home).ask("alias", name=CHAMPION) == first
        await end(following)

    run(scenario)


def test_what_an_older_service_left_behind_does_not_end_the_follower(tmp_path: Path) -> None:
    folder = questions_folder(tmp_path)
    folder.mkdir(parents=True)
    old = folder / "old.question"
    old.write_text('{"what": "promote", "details": {"version": "1", "why": "before the update"}}')

    async def scenario() -> None:
        registry = FileRegistry(tmp_path / "registry")
        following = asyncio.create_task(Follower(lambda: registry, ChampionFile(tmp_path)).run())
        await until(lambda: not old.exists())
        assert await RegistryClient(tmp_path).ask("alias", name=CHAMPION) is None
        await end(following)

    run(scenario)


def test_a_registry_out_of_reach_is_said_and_what_was_known_stays(tmp_path: Path) -> None:
    def connect() -> FileRegistry:
        raise OSError("no route to http://me:secret@registry")

    async def scenario() -> None:
        file = ChampionFile(tmp_path / "bundles")
        file.write({"version": "1", "folder": "1-abc"})
        following = asyncio.create_task(Follower(connect, file).run())
        await until(lambda: "problem" in file.read())
        known = file.read()
        assert (known["version"], known["folder"]) == ("1", "1-abc")
        assert "no route to http://registry" in known["problem"]
        with pytest.raises(Unavailable, match="no route"):
            await RegistryClient(file.home).ask("versions")
        await end(following)

    run(scenario)


def test_one_that_hangs_ends_and_is_followed_by_another(
    tmp_path: Path, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = FileRegistry(tmp_path / "registry")
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    monkeypatch.setattr(follower_module, "ANSWER_S", 0.2)
    monkeypatch.setattr("serving.bundles.champion.AGAIN_S", 0.05)

    async def scenario() -> None:
        hung = asyncio.Event()

        async def follow() -> str:
            one = Follower(lambda: registry, champion, 0.05)
            if not hung.is_set():
                one._connecting = asyncio.Lock()
                await one._connecting.acquire()  # as where MLflow's import or its server hangs
            ended = await one.run()
            hung.set()
            return ended

        champion = Champion(tmp_path / "bundles", follow)
        await champion.start()
        await hung.wait()
        await until(lambda: "did not answer" in champion.read().get("problem", ""))
        await until(lambda: champion.read().get("version") == "1")
        assert "problem" not in champion.read()
        await champion.stop()

    run(scenario)


def test_a_service_that_is_stopped_does_not_call_the_registry_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[asyncio.subprocess.Process] = []
    execute = asyncio.create_subprocess_exec

    async def sleeping(*_: str, **options: Any) -> asyncio.subprocess.Process:
        begun.append(await execute("sleep", "60", **options))
        return begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", sleeping)
    champion = Champion(tmp_path, run_process)

    async def ended_by(number: signal.Signals) -> None:
        following = asyncio.create_task(champion.once())
        known = len(begun)
        await until(lambda: len(begun) > known)
        begun[-1].send_signal(number)
        await following

    async def scenario() -> None:
        await ended_by(signal.SIGTERM)  # as supervisors do to all processes of the service
        assert "problem" not in champion.read()
        await ended_by(signal.SIGKILL)
        assert "ended with -9" in champion.read()["problem"]

    run(scenario)


@pytest.mark.slow
def test_mlflow_is_asked_by_one_process_that_may_die(
    tmp_path: Path, mlflow_uri: str, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started again, ends when it is no longer wanted, and shows no password."""
    registry = open_registry(mlflow_uri, "anomaly-detection", tmp_path)
    for name, value in {
        "VAR_DIR": str(tmp_path), "MLFLOW_TRACKING_URI": mlflow_uri, "MLFLOW_ENABLED": "true",
        "CHAMPION_POLL_S": "0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    def children() -> list[psutil.Process]:
        return [c for c in psutil.Process().children() if "serving.bundles.follower" in c.cmdline()]

    async def scenario() -> None:
        champion = Champion(tmp_path / "bundles", run_process)
        client = RegistryClient(champion.home)
        await champion.start()
        assert (await client.ask("runs", limit=5))["runs"] == []
        [first] = children()
        assert mlflow_uri not in " ".join(first.cmdline())
        os.kill(first.pid, signal.SIGKILL)
        registry.set_alias(CHAMPION, await asyncio.to_thread(registry.register, bundle_dir))
        await until(lambda: champion.read().get("version") == "1")
        assert (champion.home / champion.read()["folder"] / "bundle.json").is_file()
        [second] = children()
        assert second.pid != first.pid
        await champion.stop()
        assert children() == []

    run(scenario)
