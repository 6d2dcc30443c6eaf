"""The champion, as the leader tells it to all workers.

One worker, the leader (it holds a file lock), reads the registry's alias and fetches the bundle
under ``VAR_DIR/bundles``, then names it in ``champion.json`` there. The others read that file,
and ask the leader to look again by touching ``recheck`` beside it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

from errors import AnomalyError
from models.files import write_text_atomically
from serving.agent import Asker
from serving.leadership import Leadership

log = logging.getLogger("bentoml.serving.champion")

#: How often a worker looks at ``champion.json`` (a stat, no more), and the leader at ``recheck``.
WATCH_S = 0.25


class Champion:
    """Reads and, where this worker leads, writes ``champion.json``.

    Parameters
    ----------
    asker : Asker
        The registry.
    home : Path
        ``VAR_DIR/bundles``.
    poll_s : float
        How often the leader reads the alias.
    """

    def __init__(self, asker: Asker, home: Path, poll_s: float = 5.0) -> None:
        self._asker = asker
        self._poll_s = poll_s
        self._pointer = home / "champion.json"
        self._recheck = home / "recheck"
        self._wanted = asyncio.Event()
        self.home = home
        self.leadership = Leadership(home / "leader.lock")

    def read(self) -> dict[str, Any]:
        """``version, folder, checked_at, problem``, as far as known."""
        try:
            pointer: dict[str, Any] = json.loads(self._pointer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return pointer

    def stamp(self) -> tuple[int, int] | None:
        """Another one whenever the file was written; None: it is not there."""
        try:
            stat = self._pointer.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def checked_at(self) -> int | None:
        """When the leader last read the alias, as ``time.time_ns()``."""
        return self.read().get("checked_at")

    def ask_again(self) -> None:
        """Have the leader read the alias soon."""
        if self.leadership.held():
            self._wanted.set()
        else:
            self._recheck.touch()

    async def lead(self) -> None:
        """Where this worker is the leader, keep the file up to date; never returns."""
        while True:
            try:
                if self.leadership.held():
                    await self._poll()
                    self._recheck.unlink(missing_ok=True)
            except Exception:
                log.exception("reading the champion failed")
            await self._pause()

    async def close(self) -> None:
        """Let another worker lead."""
        self.leadership.release()
        await self._asker.close()

    async def _pause(self) -> None:
        until = time.monotonic() + self._poll_s
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(min(WATCH_S, self._poll_s)):
                    await self._wanted.wait()
            except TimeoutError:
                if not self._recheck.exists():
                    continue
            self._wanted.clear()
            return

    async def _poll(self) -> None:
        pointer = self.read()
        try:
            version = await self._asker.ask("alias", name="champion")
            if version is None:
                pointer = {}
            elif pointer.get("version") != version or not self._there(pointer):
                path = Path(await self._asker.ask("fetch", version=version, into=str(self.home)))
                pointer = {"version": version, "folder": path.name}
            pointer.pop("problem", None)
        except AnomalyError as error:
            if pointer.get("problem") != error.message:
                log.warning("the champion cannot be read: %s", error.message)
            pointer["problem"] = error.message
        pointer["checked_at"] = time.time_ns()
        await asyncio.to_thread(write_text_atomically, self._pointer, json.dumps(pointer))

    def _there(self, pointer: dict[str, Any]) -> bool:
        folder = pointer.get("folder")
        return bool(folder) and (self.home / str(folder)).is_dir()
