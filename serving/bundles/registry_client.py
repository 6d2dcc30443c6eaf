"""Ask the registry through a child process, so that the API need not import MLflow.

MLflow takes seconds and some 200 MB to import; the process that scores needs neither. What can be
known without MLflow is looked up directly, which is all a start usually needs. For the rest a child
(this module, run with ``-m``) holds the registry and answers one JSON line for each line it is
sent; it ends with its parent. With MLflow off, files are read directly.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

from errors import AnomalyError, BundleError, InputError, NotFound, Unavailable
from models.bundles.atomic_files import cached
from models.registry.base import Registry, open_registry
from models.registry.mlflow_lookup import LookupUnsupported, alias_lookup
from models.registry.mlflow_setup import without_login
from models.registry.promotion import promote, roll_back

ANSWER_LIMIT = 32 * 2**20
#: Seconds for a bundle on its way from a distant store.
FETCH_S = 900.0
_KINDS = {"not_found": NotFound, "bad_bundle": BundleError, "invalid_input": InputError}


class RegistryClient(Protocol):
    """Interface of what the service asks of the registry."""

    async def ask(self, what: str, **details: Any) -> Any:
        """Ask ``alias(name)``, ``fetch(version, into)`` or ``runs(limit, page, model_name)``.

        Further ``versions()``, ``promote(version, why)`` and ``roll_back()``.
        """

    async def close(self) -> None:
        """Release what was started."""


def answer(registry: Registry, what: str, details: dict[str, Any]) -> Any:
    """Answer one question; paths are passed as text."""
    if what == "alias":
        return registry.alias(details["name"])
    if what == "fetch":
        return str(registry.fetch(details["version"], Path(details["into"])))
    if what == "runs":
        return registry.runs(**details)
    if what == "versions":
        return registry.versions()
    if what == "promote":
        return promote(registry, details["version"], details["why"])
    if what == "roll_back":
        return roll_back(registry)
    raise ValueError(what)


def without_mlflow(uri: str, experiment: str, what: str, details: dict[str, Any]) -> Any:
    """Answer the same question without MLflow; raise LookupUnsupported where it cannot be."""
    if what == "alias":
        return alias_lookup(uri, experiment).alias(details["name"])
    if what == "fetch":
        digest = alias_lookup(uri, experiment).digest(details["version"])
        folder = Path(details["into"]) / f"{details['version']}-{digest[:12]}"
        if cached(folder, digest):
            return str(folder)
    raise LookupUnsupported(what)


class DirectRegistryClient:
    """Ask a registry of plain files, in a thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ask(self, what: str, **details: Any) -> Any:
        """Answer in a thread; see :class:`RegistryClient`."""
        return await asyncio.to_thread(answer, self._registry, what, details)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


def child_environment() -> dict[str, str]:
    """Return an environment in which the child can import the project from any folder."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class ProcessRegistryClient:
    """Ask a child process, started on demand, what cannot be known otherwise.

    Parameters
    ----------
    uri, experiment, var_dir
        Handed to :func:`models.registry.base.open_registry` in the child.
    timeout : float
        Seconds for one answer, starting included; then the child is killed. A fetch may take
        ``FETCH_S``.
    """

    def __init__(self, uri: str, experiment: str, var_dir: Path, timeout: float = 90.0) -> None:
        self._uri = uri
        self._experiment = experiment
        self._arguments = [experiment, str(var_dir.absolute())]
        self._timeout = timeout
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def ask(self, what: str, **details: Any) -> Any:
        """Ask the files or the child; see :class:`RegistryClient`.

        Raises
        ------
        Unavailable
            The registry cannot be reached, or did not answer in time.
        NotFound, BundleError, InputError
            As the registry raised them.
        """
        try:
            return await asyncio.to_thread(
                without_mlflow, self._uri, self._experiment, what, details
            )
        except LookupUnsupported:
            pass
        line = json.dumps({"what": what, "details": details}).encode() + b"\n"
        async with self._lock:
            try:
                async with asyncio.timeout(FETCH_S if what == "fetch" else self._timeout):
                    reply = json.loads(await self._exchange(line))
            except (TimeoutError, OSError, ValueError) as error:
                await self._end()
                raise Unavailable(
                    f"the registry did not answer: {error!r}", code="registry_unavailable"
                ) from error
            except asyncio.CancelledError:
                await self._end()  # its answer would be taken for the next question's
                raise
        if "error" in reply:
            kind = _KINDS.get(reply["error"]["code"], Unavailable)
            raise kind(reply["error"]["message"], code=reply["error"]["code"])
        return reply["answer"]

    async def _exchange(self, line: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "serving.bundles.registry_client",
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # In the environment, since the URI may hold a password, which everyone on the host
                # could read in a command line; parts of MLflow look at these anyway.
                env=child_environment()
                | {"MLFLOW_TRACKING_URI": self._uri, "MLFLOW_REGISTRY_URI": self._uri},
                limit=ANSWER_LIMIT,
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        process.stdin.write(line)
        await process.stdin.drain()
        return await process.stdout.readline()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def close(self) -> None:
        """Kill the child, if there is one."""
        await self._end()


def main(arguments: list[str]) -> None:
    """Answer questions from standard input until it ends."""
    experiment, var_dir = arguments
    uri = os.environ["MLFLOW_TRACKING_URI"]
    replies, sys.stdout = sys.stdout, sys.stderr  # whatever prints must not mix in
    registry: Registry | None = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            registry = registry or open_registry(uri, experiment, Path(var_dir))
            reply = {"answer": answer(registry, question["what"], question["details"])}
        except AnomalyError as error:
            reply = {"error": error.entry()}
        except Exception as error:
            said = without_login(repr(error))[:500]
            reply = {"error": {"code": "registry_unavailable", "message": said}}
        replies.write(json.dumps(reply, default=str) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
