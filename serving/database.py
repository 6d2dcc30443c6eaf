"""Run database calls in threads, behind a circuit breaker, so that none blocks a request.

The first call to a dead or hanging database opens the circuit. From then on every call fails at
once (``/detect`` then scores without the database) until a background probe succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from config import Settings
from db.session import REFUSES_CHANGES, configured_url, probe, transaction
from errors import AnomalyError, SchemaTooNew, SettingsError, StorageUnavailable
from serving.background import end_tasks

log = logging.getLogger("bentoml.serving.database")

P = ParamSpec("P")
R = TypeVar("R")
#: Codes of errors after which other queries are answered: a slow one, and refused changes.
ANSWERING = ("storage_timeout", *REFUSES_CHANGES)
#: Interval of probes of a failed database.
PROBE_S = 1.0


def check_address(settings: Settings) -> None:
    """Refuse an address of the database that no retry could open.

    Raises
    ------
    SettingsError
    """
    configured_url(settings)


class OutcomeUnknownError(StorageUnavailable):
    """The COMMIT was sent, but it is unknown whether it took effect."""

    code = "outcome_unknown"


class GivenUpError(Exception):
    """Rolls back a transaction whose caller no longer waits."""


class Database:
    """Run functions of a connection, each in one transaction.

    Parameters
    ----------
    opener : callable
        Makes the engine, starts an embedded server and migrates; called in a thread until it
        succeeds.
    quick_s : float
        Time limit of a call for ``/detect``.
    """

    def __init__(self, opener: Callable[[], Engine], quick_s: float = 1.0) -> None:
        self._opener = opener
        self._quick_s = quick_s
        self._engine: Engine | None = None
        self._down = True
        self._problem = "not connected yet"
        self._down_since = datetime.now(UTC)
        self._quick = ThreadPoolExecutor(4, thread_name_prefix="db-quick")
        self._slow = ThreadPoolExecutor(8, thread_name_prefix="db")
        self._probe = ThreadPoolExecutor(1, thread_name_prefix="db-probe")
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.opened = asyncio.Event()

    @property
    def available(self) -> bool:
        """Return whether the circuit is closed."""
        return not self._down

    def status(self) -> dict[str, object]:
        """Describe the connection for ``/status``."""
        return {
            "available": self.available,
            "problem": self._problem if self._down else None,
            "since": self._down_since.isoformat() if self._down else None,
        }

    async def start(self) -> None:
        """Connect in the background."""
        self._task = asyncio.create_task(self._watch(), name="watch the database")

    async def stop(self) -> None:
        """Close all connections."""
        await end_tasks([self._task])
        for pool in (self._quick, self._slow, self._probe):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            self._engine.dispose()

    async def quick(
        self, call: Callable[Concatenate[Connection, P], R], *args: P.args, **options: P.kwargs
    ) -> R:
        """Run ``call(connection, ...)`` for ``/detect`` within the time limit, or not at all.

        Raises
        ------
        StorageUnavailable
            It has no effect and never will: a late transaction is rolled back.
        OutcomeUnknownError
            Only its COMMIT was not answered in time.
        """
        # Either the COMMIT or the caller's time-out takes this lock first. So if the caller gets
        # the answer that nothing is stored, this stays true.
        turn = threading.Lock()
        running = asyncio.ensure_future(self._run(self._quick, turn, call, *args, **options))
        done, _ = await asyncio.wait({running}, timeout=self._quick_s)
        if not done and not turn.acquire(blocking=False):  # the COMMIT is being sent
            done, _ = await asyncio.wait({running}, timeout=self._quick_s)
            if not done:
                running.cancel()
                self._failed(f"no answer to a COMMIT within {self._quick_s:g} s")
                raise OutcomeUnknownError(f"the database gave {self._problem}")
        if not done:
            running.cancel()
            self._failed(f"no answer within {self._quick_s:g} s")
            raise StorageUnavailable(f"the database gave {self._problem}")
        return running.result()

    async def run(
        self, call: Callable[Concatenate[Connection, P], R], *args: P.args, **options: P.kwargs
    ) -> R:
        """Run ``call(connection, ...)`` within the statement time-out.

        Raises
        ------
        StorageUnavailable
        """
        return await self._run(self._slow, threading.Lock(), call, *args, **options)

    async def _run(
        self,
        pool: ThreadPoolExecutor,
        turn: threading.Lock,
        call: Callable[Concatenate[Connection, P], R],
        *args: P.args,
        **options: P.kwargs,
    ) -> R:
        engine = self._engine
        if self._down or engine is None:
            raise StorageUnavailable(f"the database cannot be reached: {self._problem}")

        def work() -> R:
            with transaction(engine) as connection:
                result = call(connection, *args, **options)
                if not turn.acquire(blocking=False):
                    raise GivenUpError
            return result

        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except StorageUnavailable as error:
            if error.code not in ANSWERING:
                self._failed(error.message)
            if turn.locked():  # the error came from the COMMIT
                raise OutcomeUnknownError(error.message) from error
            raise

    def _failed(self, problem: str) -> None:
        if not self._down:
            log.warning("the database is down (%s); answers continue without it", problem)
            self._down_since = datetime.now(UTC)
        self._down, self._problem = True, problem
        self._wake.set()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                if self._down:
                    await loop.run_in_executor(self._probe, self._try)
                    self._down = False
                    if not self.opened.is_set():
                        self.opened.set()
                    else:
                        log.info("the database is back")
                self._wake.clear()
                await self._wake.wait()
            except Exception as error:
                known = isinstance(error, AnomalyError)
                if isinstance(error, SettingsError) and not isinstance(error, SchemaTooNew):
                    self._problem = error.message
                    log.error("%s", error.message)
                    return  # a retry cannot help
                problem = str(error)[:300]
                if problem != self._problem:
                    log.warning("database: %s", problem, exc_info=not known)
                self._problem = problem
                await asyncio.sleep(PROBE_S)

    def _try(self) -> None:
        if self._engine is None:
            self._engine = self._opener()
        probe(self._engine)
