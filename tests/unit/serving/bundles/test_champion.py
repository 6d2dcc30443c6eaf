"""The small file that names the champion, and the one worker that has it written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serving.bundles import champion as module
from serving.bundles.champion import Champion, ChampionFile
from serving.bundles.leader_lock import LeaderLock


def test_the_file_is_read_back_and_its_stamp_moves_with_each_write(tmp_path: Path) -> None:
    file = ChampionFile(tmp_path)
    assert (file.read(), file.stamp(), file.checked_at()) == ({}, None, None)
    file.write({"version": "3", "checked_at": 7})
    before = file.stamp()
    assert (file.read()["version"], file.checked_at()) == ("3", 7)
    file.write({"version": "4"})
    assert file.stamp() not in (None, before)


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "champion.json").write_text('{"version": "3')
    assert ChampionFile(tmp_path).read() == {}


def test_one_of_two_leads_until_it_lets_go(tmp_path: Path) -> None:
    first, second = (LeaderLock(tmp_path / "leader.lock") for _ in range(2))
    assert first.held()
    assert first.held()
    assert not second.held()
    first.release()
    assert second.held()
    second.release()


def test_a_lock_that_cannot_be_made_leads_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not LeaderLock(tmp_path / "file" / "leader.lock").held()


def test_whoever_leads_has_the_file_written_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    begun: list[int] = []

    async def follow() -> str:
        begun.append(1)
        if len(begun) == 1:
            raise RuntimeError("a defect")
        return "it hangs"

    async def scenario() -> None:
        champion = Champion(tmp_path, follow)
        champion.write({"version": "3"})
        leading = asyncio.create_task(champion.lead())
        while len(begun) < 3:
            await asyncio.sleep(0)
        leading.cancel()
        assert champion.read() == {"version": "3", "problem": "it hangs"}
        champion.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))
