"""Read the champion from a small file that one process maintains for all workers.

``champion.json`` under ``VAR_DIR/bundles`` names the bundle to use and, while a new one is being
fetched, its version. The leading worker (holder of a file lock) starts the process that writes the
file (:mod:`serving.bundles.follower`), and restarts it when it ends. To have the registry read
again, a worker touches ``recheck`` beside the file.
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

#: Interval at which a worker checks ``champion.json`` (one stat call).
WATCH_S = 0.25
#: Seconds until an ended process is restarted, and until a dead leader is replaced.
AGAIN_S = 2.0


class ChampionFile:
    """Read and write ``champion.json`` below ``home``, which is ``VAR_DIR/bundles``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.recheck = home / "recheck"
        self._pointer = home / "champion.json"

    def read(self) -> dict[str, Any]:
        """Read the pointer file.

        Its keys are ``version, folder, coming, problem`` and ``checked_at``: when the last reading
        of the alias began, as ``time.time_ns()``.
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
        """Return a value that changes whenever the file is written; None without a file."""
        try:
            stat = self._pointer.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def ask_again(self) -> None:
        """Request another reading of the alias."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.recheck.touch()


class Champion(ChampionFile, PeriodicWork):
    """The pointer file; the leading worker also runs the process that writes it.

    Parameters
    ----------
    home : Path
    follow : async callable
        Maintains the file; if it returns, the text says why it failed (None: it was ended).
    """

    failure = "following the champion failed"

    def __init__(self, home: Path, follow: Callable[[], Awaitable[str | None]]) -> None:
        ChampionFile.__init__(self, home)
        PeriodicWork.__init__(self, AGAIN_S)
        self.leadership = LeaderLock(home / "leader.lock")
        self._follow = follow

    async def stop(self) -> None:
        """Stop, and let another worker lead."""
        await super().stop()
        self.leadership.release()

    async def once(self) -> None:
        """Maintain the file while this worker is the leader."""
        if self.leadership.try_acquire():
            failed = await self._follow()
            if failed is not None:
                log.warning("%s; it is restarted", failed)
                self.write({**self.read(), "problem": failed})
