"""Load the champion in every worker without interrupting requests.

Every worker watches the small file that names the champion (:mod:`serving.bundles.champion`), loads
and warms up the bundle in a thread, and only then switches. Requests keep the bundle they began
with. If a bundle cannot be loaded, the old one stays in use.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cachetools import TTLCache

from errors import AnomalyError, NoModel, Unavailable
from models.bundles.bundle import Bundle
from runtime import one_blas_thread, settle_memory
from serving import metrics
from serving.background import PeriodicWork, end_tasks
from serving.bundles.champion import WATCH_S, Champion

log = logging.getLogger("bentoml.serving.bundles")

#: A start waits this long for the registry, so that an old bundle is not used before the champion;
#: MLflow takes two seconds to import.
FIRST_LOOK_S = 4.0
#: At a start, an answer of the registry to another worker is reused up to this age.
RECENT_NS = 10 * 10**9
#: A request waits this long until the present champion is known and loaded.
SETTLE_S = 2.0
#: A version that is not the champion is not queried again for this time.
FOREIGN_S = 5.0
#: A bundle that could not be loaded is not retried for this time.
FAILED_S = 60.0


class BundleManager(PeriodicWork):
    """Hold the loaded bundle and follow the champion.

    Parameters
    ----------
    champion : Champion
        Names the bundle to load.
    warm : async callable
        Runs the whole scoring once with a bundle before it is used.
    packed : Path, optional
        The bundle packed in the Bento; used until there is a champion.
    """

    failure = "watching the champion failed"

    def __init__(
        self,
        champion: Champion,
        warm: Callable[[Bundle], Awaitable[None]],
        packed: Path | None = None,
    ) -> None:
        super().__init__(WATCH_S)
        self._champion = champion
        self._warm = warm
        self._packed = packed
        self._seen: tuple[int, int] | None = None
        self._foreign: TTLCache[str, bool] = TTLCache(1000, FOREIGN_S)
        self._failed: TTLCache[str, bool] = TTLCache(1000, FAILED_S)
        self._folder: str | None = None
        self._begun = False
        self._loading = asyncio.Lock()
        self._prepared: tuple[tuple[Path, str | None], asyncio.Task[Bundle]] | None = None
        self._look_task: asyncio.Task[None] | None = None
        self.bundle: Bundle | None = None
        self.source: str | None = None
        self.loaded_at: str | None = None
        self.problem: str | None = None
        self._registry_problem: str | None = None
        self._registry_since: str | None = None

    def current(self) -> Bundle:
        """Return the loaded bundle; a request uses it to its end.

        Raises
        ------
        NoModel
            The message says what to run, or that a bundle is being loaded.
        """
        if self.bundle is None:
            raise NoModel(self._why_none(), retry_after=5)
        return self.bundle

    def _why_none(self) -> str:
        pointer = self._champion.read()
        version, problem = self._awaited(pointer), self.problem or pointer.get("problem")
        why = f" ({problem})" if problem else ""
        if version is not None and self.problem is None:
            return f"bundle {version} is being loaded{why}"
        return f"no trained bundle is loaded yet: run 'python -m training.fit' or POST /train{why}"

    async def start(self) -> None:
        """Load the last champion or the packed bundle in the background, then follow."""
        self._champion.home.mkdir(parents=True, exist_ok=True)
        await self._champion.start()
        await super().start()

    async def stop(self) -> None:
        """Stop following; requests in flight keep the bundle."""
        await super().stop()
        await end_tasks([self._look_task])
        await self._champion.stop()

    async def ensure_versions(self, versions: Iterable[str], deadline: float) -> None:
        """First switch bundles if one of the versions that wrote these states is now champion.

        An older bundle would restart the stream's adaptive tail. So a state written by the champion
        waits for the champion, however long its fetch takes.

        Parameters
        ----------
        versions : iterable of str
            Bundle versions that wrote the states of a request.
        deadline : float
            On the event loop's clock.

        Raises
        ------
        Unavailable
            ``bundle_loading``: such a version is champion but not loaded yet.
        """
        awaited = self._awaited(self._champion.read())
        unknown = {v for v in versions if v == awaited or v not in self._foreign}
        if not unknown:
            return
        loop = asyncio.get_running_loop()
        until = min(deadline, loop.time() + SETTLE_S)
        asked = await self._ask_champion(until)
        pointer = self._champion.read()
        while (
            self._awaited(pointer) in unknown
            and self._awaited(pointer) != self.current().version
            and loop.time() < until
        ):
            await asyncio.wait({self._look_soon()}, timeout=until - loop.time())
            await asyncio.sleep(0.02)
            pointer = self._champion.read()
        for version in unknown - {self.current().version}:
            if version == self._awaited(pointer) or not (asked or self._is_older(version, pointer)):
                raise Unavailable(
                    f"bundle {version} has scored this stream but is not loaded here yet",
                    code="bundle_loading",
                    retry_after=2,
                )
            self._foreign[version] = True

    async def _ask_champion(self, until: float) -> bool:
        """Return whether the leader has read the alias again in time, into the pointer file."""
        asked = time.time_ns()
        self._champion.ask_again()
        loop = asyncio.get_running_loop()
        while self._champion.read().get("checked_at", 0) < asked:
            if loop.time() >= until:
                return False
            await asyncio.sleep(0.02)
        return True

    def _awaited(self, pointer: dict[str, Any]) -> str | None:
        """Return the version to load: the champion, unless it cannot be loaded."""
        version = pointer.get("coming")
        if version is None and pointer.get("folder") not in self._failed:
            version = pointer.get("version")
        return version

    def _is_older(self, version: str, pointer: dict[str, Any]) -> bool:
        """Return whether a version is no newer than the known ones, while the registry is down.

        Requests do not wait for answers of a registry that is known to be unreachable.
        """
        known = (self.current().version, pointer.get("version"), pointer.get("coming"))
        numbers = [int(v) for v in known if isinstance(v, str) and v.isdecimal()]
        newer = version.isdecimal() and int(version[:18]) > max(numbers, default=0)
        return not newer or "problem" in pointer

    def status(self) -> dict[str, Any]:
        """Describe the bundle for ``/status``: version, source, the last problem."""
        return {
            "bundle_version": self.bundle.version if self.bundle else None,
            "source": self.source,
            "loaded_at": self.loaded_at,
            "problem": self.problem or self._registry_problem,
            "problem_since": self._registry_since if not self.problem else None,
        }

    # -- following -----------------------------------------------------------------------------

    async def once(self) -> None:
        """Load an available bundle, then check ``champion.json`` periodically."""
        if self._begun:
            await self._look()
        else:
            self._begun = True
            await self._begin()

    async def _begin(self) -> None:
        """Load the champion if it is known in time, else the last champion or the packed bundle."""
        until = time.monotonic() + FIRST_LOOK_S
        recent = time.time_ns() - RECENT_NS
        known = self._champion.read()
        if folder := known.get("folder"):  # most likely it is still the champion
            self._prepare(self._champion.home / folder, known.get("version"))
        while time.monotonic() < until:
            pointer = self._champion.read()
            if pointer.get("checked_at", 0) >= recent and "coming" not in pointer:
                break
            await asyncio.sleep(0.02)
        await self._look()
        if self.bundle is None and self._packed is not None:
            await self._load(self._packed, None, "packed in the Bento")

    def _look_soon(self) -> asyncio.Task[None]:
        """Return the task of one check of the pointer, shared by all waiting requests."""
        if self._look_task is None or self._look_task.done():
            self._look_task = asyncio.create_task(self._look(), name="look at champion.json")
        return self._look_task

    async def _look(self) -> None:
        async with self._loading:
            seen = self._champion.stamp()
            if seen is None or seen == self._seen:
                return
            self._seen = seen
            pointer = self._champion.read()
            if bool(pointer.get("problem")) != bool(self._registry_problem):
                self._registry_since = now() if pointer.get("problem") else None
            self._registry_problem = pointer.get("problem")
            folder, version = pointer.get("folder"), pointer.get("version")
            if not folder:
                return
            if self.bundle is not None and self._folder == folder:
                self.problem = None
                return
            if folder in self._failed:
                return
            source = f"champion, version {version}"
            await self._load(self._champion.home / folder, str(version), source)

    def _prepare(self, folder: Path, version: str | None) -> asyncio.Task[Bundle]:
        """Return the task that loads and warms a bundle; reuse the same bundle's running task."""
        if self._prepared is None or self._prepared[0] != (folder, version):

            async def prepare() -> Bundle:
                bundle = await asyncio.to_thread(load_whole, folder, version)
                await self._warm(bundle)
                return bundle

            task = asyncio.create_task(prepare(), name="load bundle")
            # if the bundle is no longer wanted, nobody awaits the task: consume its exception
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._prepared = (folder, version), task
        return self._prepared[1]

    async def _load(self, folder: Path, version: str | None, source: str) -> None:
        try:
            bundle = await self._prepare(folder, version)
        except Exception as error:
            known = isinstance(error, AnomalyError)
            log.error("bundle %s cannot be loaded: %s", folder, error, exc_info=not known)
            self.problem = f"{source} cannot be loaded: {error}"
            self._failed[folder.name] = True
            return
        finally:
            self._prepared = None
        first = self.bundle is None
        self.bundle, self.source, self.problem = bundle, source, None
        self._folder = folder.name
        self.loaded_at = now()
        if first:
            metrics.READY.inc()
        one_blas_thread()
        settle_memory()
        log.info("bundle %s is in use (%s)", bundle.version, source)


def now() -> str:
    """Return the current time as ``/status`` shows it."""
    return datetime.now(UTC).isoformat()


def load_whole(folder: Path, version: str | None = None) -> Bundle:
    """Load a bundle with the model sets of all its groups."""
    bundle = Bundle.load(folder, version)
    for group in bundle.groups:
        bundle.model_set(group)
    return bundle
