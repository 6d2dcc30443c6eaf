"""The small file that names the champion, and the one worker that has it written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serving.bundles import champion as module
from serving.bundles.champion import Champion, ChampionFile


def test_the_file_is_read_back_and_its_stamp_moves_with_each_write(tmp_path: Path) -> None:
    file = ChampionFile(tmp_path)
    assert (file.read(), file.stamp()) == ({}, None)
    file.write({"version": "3", "checked_at": 7})
    before = file.stamp()
    assert file.read() == {"version": "3", "checked_at": 7}
    file.write({"version": "4"})
    assert file.stamp() not in (None, before)


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "champion.json").write_text('{"version": "3')
    assert ChampionFile(tmp_path).read() == {}


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
        await champion.start()
        while len(begun) < 3:
            await asyncio.sleep(0)
        await champion.stop()
        assert champion.read() == {"version": "3", "problem": "it hangs"}

    asyncio.run(asyncio.wait_for(scenario(), 20))
