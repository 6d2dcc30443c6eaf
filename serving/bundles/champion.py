"""Pass the champion on from the worker that leads to all others.

One worker, the leader (it holds a file lock), reads the registry's alias and fetches the bundle
under ``VAR_DIR/bundles``, then names it in ``champion.json`` there; while it is being fetched, the
file says which version is coming. The others read that file, and ask the leader to look again by
touching ``recheck`` beside it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

from errors import AnomalyError, BundleError
from models.bundles.atomic_files import write_text_atomically
from serving.bundles.leader_lock import LeaderLock
from serving.bundles.registry_client import RegistryClient

log = logging.getLogger("bentoml.serving.champion")

#: How often a worker looks at ``champion.json`` (a stat, no more), and the leader at ``recheck``.
WATCH_S = 0.25


class Champion:
    """Reads and, where this worker leads, writes ``champion.json``.

    Parameters
    ----------
    asker : RegistryClient
        The registry.
    home : Path
        ``VAR_DIR/bundles``.
    poll_s : float
        How often the leader reads the alias.
    """

    def __init__(self, asker: RegistryClient, home: Path, poll_s: float = 5.0) -> None:
        self._asker = asker
        self._poll_s = poll_s
        self._pointer = home / "champion.json"
        self._recheck = home / "recheck"
        self._wanted = asyncio.Event()
        self._fetching: tuple[str, asyncio.Task[str]] | None = None
        self.home = home
        self.leadership = LeaderLock(home / "leader.lock")

    def read(self) -> dict[str, Any]:
        """Read the pointer file, as far as known.

        Its keys are ``version, folder, coming, checked_at, problem``.
        """
        try:
            pointer: dict[str, Any] = json.loads(self._pointer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return pointer

    def stamp(self) -> tuple[int, int] | None:
        """Return a mark that changes whenever the file is written; None without a file."""
        try:
            stat = self._pointer.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def checked_at(self) -> int | None:
        """Return when the leader last began to read the alias, as ``time.time_ns()``."""
        return self.read().get("checked_at")

    def ask_again(self) -> None:
        """Have the leader read the alias soon."""
        if self.leadership.held():
            self._wanted.set()
        else:
            self._recheck.touch()

    async def lead(self) -> None:
        """Keep the file up to date while this worker is the leader; never returns."""
        while True:
            try:
                if self.leadership.held():
                    # before the poll: who asks during it has seen what the poll may have missed
                    self._recheck.unlink(missing_ok=True)
                    await self._poll()
            except Exception:
                log.exception("reading the champion failed")
            await self._pause()

    async def close(self) -> None:
        """Let another worker lead."""
        if self._fetching is not None:
            self._fetching[1].cancel()
            await asyncio.gather(self._fetching[1], return_exceptions=True)
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
        began = time.time_ns()
        pointer = self.read()
        try:
            version = await self._asker.ask("alias", name="champion")
            if version is None:
                pointer = {}
            elif pointer.get("version") == version and self._there(pointer):
                pointer = {"version": version, "folder": pointer["folder"]}
            else:  # a problem stays until the fetch is over
                pointer = self._fetched(version) or pointer | {"coming": version}
        except AnomalyError as error:
            if pointer.get("problem") != error.message:
                log.warning("the champion cannot be read: %s", error.message)
            pointer["problem"] = error.message
            if isinstance(error, BundleError):  # it will not come
                pointer.pop("coming", None)
        pointer["checked_at"] = began
        await asyncio.to_thread(write_text_atomically, self._pointer, json.dumps(pointer))

    def _fetched(self, version: str) -> dict[str, Any] | None:
        """Return the pointer to a version once it is fetched; None while that goes on.

        It goes on beside the polls, so that the alias is known however long a fetch takes.

        Raises
        ------
        AnomalyError
            Why it could not be fetched; the next poll tries again.
        """
        if self._fetching is None or self._fetching[0] != version:
            if self._fetching is not None:
                self._fetching[1].cancel()
            task = asyncio.create_task(self._fetch(version), name=f"fetch bundle {version}")
            task.add_done_callback(lambda _: self._wanted.set())
            self._fetching = (version, task)
        task = self._fetching[1]
        if not task.done():
            return None
        self._fetching = None
        return {"version": version, "folder": Path(task.result()).name}

    async def _fetch(self, version: str) -> str:
        return str(await self._asker.ask("fetch", version=version, into=str(self.home)))

    def _there(self, pointer: dict[str, Any]) -> bool:
        folder = pointer.get("folder")
        return bool(folder) and (self.home / str(folder)).is_dir()
