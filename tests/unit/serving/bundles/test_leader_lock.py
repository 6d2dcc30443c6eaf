"""One process of the service leads."""

from __future__ import annotations

from pathlib import Path

from serving.bundles.leader_lock import LeaderLock


def test_one_of_two_leads_until_it_lets_go(tmp_path: Path) -> None:
    first, second = (LeaderLock(tmp_path / "leader.lock") for _ in range(2))
    assert first.try_acquire()
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()


def test_a_lock_that_cannot_be_made_leads_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not LeaderLock(tmp_path / "file" / "leader.lock").try_acquire()
