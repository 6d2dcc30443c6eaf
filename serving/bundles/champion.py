"""Know the champion from a small file, which one process keeps up to date for all workers.

``champion.json`` under ``VAR_DIR/bundles`` names the bundle in force; while another one is fetched,
it names the version that is coming. The worker that leads (it holds a file lock) starts the process
that writes it (:mod:`serving.bundles.follower`), and starts it again when it ends. Whoever wants
the registry read again touches ``recheck`` beside the file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from models.bundles.atomic_files import write_text_atomically
from serving.background import PeriodicWork
from serving.bundles.leader_lock import LeaderLock

log = logging.getLogger("bentoml.serving.champion")

#: How often a worker looks at ``champion.json``: a stat, no more.
WATCH_S = 0.25
#: A process that ended is started again after so long, and a leader that died is followed.
AGAIN_S = 2.0


class ChampionFile:
    """Read and write ``champion.json`` below ``home``, which is ``VAR_DIR/bundles``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.recheck = home / "recheck"
        self._pointer = home / "champion.json"

    def read(self) -> dict[str, Any]:
        """Read the pointer file, as far as known.

        Its keys are ``version, folder, coming, problem`` and ``checked_at``: when the alias was
        last begun to be read, as ``time.time_ns()``.
        """
        try:
            pointer: dict[str, Any] = json.loads(self._pointer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return pointer

    def write(self, pointer: dict[str, Any]) -> None:
        """Replace the pointer file."""
        write_text_atomically(self._pointer, json.dumps(pointer))

    def stamp(self) -> tuple[int, int] | None:
        """Return a mark that changes whenever the file is written; None without a file."""
        try:
            stat = self._pointer.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def ask_again(self) -> None:
        """Have the alias read again soon."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.recheck.touch()


class Champion(ChampionFile, PeriodicWork):
    """The file, and seeing to it, where this worker leads, that somebody writes it.

    Parameters
    ----------
    home : Path
    follow : async callable
        Keeps the file up to date; where it returns, the text is why it ended.
    """

    failure = "following the champion failed"

    def __init__(self, home: Path, follow: Callable[[], Awaitable[str]]) -> None:
        ChampionFile.__init__(self, home)
        PeriodicWork.__init__(self, AGAIN_S)
        self.leadership = LeaderLock(home / "leader.lock")
        self._follow = follow

    async def stop(self) -> None:
        """Let another worker lead."""
        await super().stop()
        self.leadership.release()

    async def once(self) -> None:
        """Have the file kept up to date while this worker is the leader."""
        if self.leadership.try_acquire():
            ended = await self._follow()
            log.warning("%s; it is started again", ended)
            self.write({**self.read(), "problem": ended})
