"""Talk to the registry in one process for all workers, which then need not import MLflow.

MLflow takes seconds and some 200 MB to import. This process
(``python -m serving.bundles.follower``) reads the champion's alias, fetches its bundle, writes
``champion.json`` (:mod:`serving.bundles.champion`), and answers the workers' questions
(:mod:`serving.bundles.registry_client`). It ends with the worker that started it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from config import Settings, load_settings
from errors import AnomalyError, BundleError, Unavailable
from models.bundles.atomic_files import write_text_atomically
from models.registry.base import CHAMPION, Registry, open_registry
from models.registry.mlflow_setup import sqlite_file, without_login
from runtime import child_environment, configure_logging
from serving.background import end_tasks
from serving.bundles.champion import WATCH_S, ChampionFile
from serving.bundles.registry_client import ANSWER, ANSWER_S, FETCH_S, QUESTION, questions_folder

log = logging.getLogger("bentoml.serving.follower")

#: The possible questions and their functions; paths are passed as text.
QUESTIONS: dict[str, Callable[..., Any]] = {
    "alias": lambda registry, name: registry.alias(name),
    "fetch": lambda registry, version, into: str(registry.fetch(version, Path(into))),
    "runs": lambda registry, **page: registry.runs(**page),
    "versions": lambda registry: registry.versions(),
    "promote": lambda registry, **wanted: _promotion().promote(registry, **wanted),
    "roll_back": lambda registry, **of: _promotion().roll_back(registry, **of),
}
#: Those that move the champion.
CHANGES = ("promote", "roll_back")


def _promotion() -> Any:
    from models.registry import promotion  # takes seconds; the first reading need not wait for it

    return promotion


class Follower:
    """Keep ``champion.json`` up to date, and answer questions.

    Parameters
    ----------
    connect : callable
        Opens the registry, which may take seconds.
    champion : ChampionFile
        Where the champion is written.
    poll_s : float
        Interval of reading the alias.
    file : Path, optional
        The registry's SQLite file.
    """

    def __init__(
        self,
        connect: Callable[[], Registry],
        champion: ChampionFile,
        poll_s: float = 5.0,
        file: Path | None = None,
    ) -> None:
        self._connect = connect
        self._champion = champion
        self._poll_s = poll_s
        self._file = file
        self._known_file: tuple[int, int] | None = None
        self._registry: Registry | None = None
        self._connecting = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._fetching: tuple[str, asyncio.Task[str]] | None = None
        self._questions = questions_folder(champion.home)
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> str:
        """Follow until the registry hangs or is replaced; return the reason."""
        self._champion.home.mkdir(parents=True, exist_ok=True)
        self._questions.mkdir(parents=True, exist_ok=True)
        listening = asyncio.create_task(self._listen(), name="answer questions")
        try:
            while not self._replaced():
                # removed before the poll: a request during the poll needs another poll
                self._champion.recheck.unlink(missing_ok=True)
                await self._poll()
                await self._pause()
            return f"{self._file} was replaced by another file"
        except TimeoutError:
            return f"the registry did not answer within {ANSWER_S:g} s"
        finally:
            fetching = self._fetching[1] if self._fetching is not None else None
            await end_tasks([listening, *self._answering, fetching])

    def _replaced(self) -> bool:
        """Return whether another file has the registry's name now, as after a restored backup.

        This process would read the deleted file for ever. A file that is missing may come back.
        """
        try:
            found = None if self._file is None else self._file.stat()
        except OSError:
            return False
        if found is None:
            return False
        here = found.st_dev, found.st_ino
        self._known_file = self._known_file or here
        return here != self._known_file

    async def _pause(self) -> None:
        until = time.monotonic() + self._poll_s
        while time.monotonic() < until and not self._champion.recheck.exists():
            try:
                async with asyncio.timeout(min(WATCH_S, self._poll_s)):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            self._wanted.clear()
            return

    # -- the champion --------------------------------------------------------------------------

    async def _poll(self) -> None:
        began = time.time_ns()
        pointer = self._champion.read()
        try:
            async with asyncio.timeout(ANSWER_S):
                version = await self._ask("alias", name=CHAMPION)
            if version is None:
                pointer = {}
            elif pointer.get("version") == version and self._there(pointer):
                pointer = {"version": version, "folder": pointer["folder"]}
            else:  # the problem stays until the fetch is over
                pointer = self._fetched(version) or pointer | {"coming": version}
        except AnomalyError as error:
            if pointer.get("problem") != error.message:
                log.warning("the champion cannot be read: %s", error.message)
            pointer["problem"] = error.message
            if isinstance(error, BundleError):  # a retry cannot help
                pointer.pop("coming", None)
        pointer["checked_at"] = began
        await asyncio.to_thread(self._champion.write, pointer)

    def _fetched(self, version: str) -> dict[str, Any] | None:
        """Return the pointer to a version once it is fetched; None while the fetch runs.

        The fetch runs beside the polls, so that the alias is known during a long fetch.

        Raises
        ------
        AnomalyError
            Why the fetch failed; the next poll retries.
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
        async with asyncio.timeout(FETCH_S):
            return str(await self._ask("fetch", version=version, into=str(self._champion.home)))

    def _there(self, pointer: dict[str, Any]) -> bool:
        folder = pointer.get("folder")
        return bool(folder) and (self._champion.home / str(folder)).is_dir()

    # -- the registry --------------------------------------------------------------------------

    async def _ask(self, what: str, **details: Any) -> Any:
        """Ask the registry, in a thread.

        Raises
        ------
        AnomalyError
            The registry's own error, or Unavailable for any other failure.
        """
        try:
            async with self._connecting:
                if self._registry is None:
                    self._registry = await asyncio.to_thread(self._connect)
            return await asyncio.to_thread(QUESTIONS[what], self._registry, **details)
        except AnomalyError:
            raise
        except Exception as error:
            reason = without_login(repr(error))[:500]
            raise Unavailable(reason, code="registry_unavailable") from error

    async def _listen(self) -> None:
        for stale in self._questions.glob(f"*{ANSWER}"):
            stale.unlink(missing_ok=True)  # left by a worker that has ended
        while True:
            for path in self._questions.glob(f"*{QUESTION}"):
                try:
                    question = json.loads(path.read_text(encoding="utf-8"))
                    path.unlink()
                except FileNotFoundError:
                    continue  # the asking worker no longer waits
                if question.get("until", 0.0) < time.time():
                    continue  # neither does this one: it was killed, and its action is outdated
                task = asyncio.create_task(self._answer(path, question), name=path.stem)
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            await asyncio.sleep(WATCH_S / 2)

    async def _answer(self, path: Path, question: dict[str, Any]) -> None:
        what, details = question["what"], question["details"]
        try:
            # two changes at once would each take the same version for the previous champion
            async with self._changing if what in CHANGES else nullcontext():
                reply = {"answer": await self._ask(what, **details)}
        except AnomalyError as error:
            reply = {"error": error.entry()}
        text = json.dumps(reply, default=str)
        await asyncio.to_thread(write_text_atomically, path.with_suffix(ANSWER), text)


async def run_process() -> str | None:
    """Run the follower as a child process until it ends; return the reason.

    None: somebody ended it, as a supervisor that stops the whole service does.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "serving.bundles.follower",
        stdin=asyncio.subprocess.PIPE, env=child_environment(), start_new_session=True,
    )  # fmt: skip
    try:
        code = await process.wait()
        if code == -signal.SIGTERM:
            return None
        return f"the process that queries the registry ended with {code}"
    finally:
        if process.returncode is None:
            process.kill()  # it has nothing to clean up
            await process.wait()


def end_with_parent() -> None:
    """End this process when its parent closes its standard input."""
    sys.stdin.read()
    os._exit(0)


def main(settings: Settings) -> None:
    """Follow the registry until it hangs or is replaced."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    configure_logging(settings.log_level, settings.log_json)
    uri = settings.mlflow_uri() if settings.mlflow_enabled else None
    if uri is not None:  # parts of MLflow read these variables
        os.environ |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}
    connect = partial(open_registry, uri, settings.mlflow_experiment_name, settings.var_dir)
    champion = ChampionFile(settings.var_dir / "bundles")
    follower = Follower(connect, champion, settings.champion_poll_s, sqlite_file(uri))
    log.error("%s", asyncio.run(follower.run()))
    logging.shutdown()
    os._exit(1)  # a hanging thread would keep the process alive


if __name__ == "__main__":
    main(load_settings())
