"""Run child processes that end with their parent: start, wait, stop, log."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from runtime import die_with_parent


def free_port() -> int:
    """Return a TCP port that is free at the moment, on the loopback address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Return whether nothing accepts connections on the loopback address's ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class ChildError(RuntimeError):
    """A child ended or was not ready in time; the message ends with its last log lines."""


class Child:
    """Run one child in its own process group, with its output in a log file.

    Parameters
    ----------
    name : str
        Name for messages and the log file.
    command : sequence of str
        Program and arguments.
    log_dir : Path
        Folder of ``<name>.log``, which is overwritten.
    env : dict
        The whole environment of the child.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log_dir: Path, env: dict[str, str]
    ) -> None:
        self.name = name
        log_dir.mkdir(parents=True, exist_ok=True)
        self.log = log_dir / f"{name}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                list(command),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait_ready(self, ready: Callable[[], bool], within: float) -> Self:
        """Wait until ``ready()`` is true; raise `ChildError` if the child ends or is late."""
        deadline = time.monotonic() + within
        while not ready():
            if self.process.poll() is not None:
                raise ChildError(
                    f"{self.name} ended with exit code {self.process.returncode}:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise ChildError(f"{self.name} was not ready in {within:g} s:\n{self.tail()}")
            time.sleep(0.05)
        return self

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"  | {line}" for line in text)

    def stop(self, patience: float = 15.0) -> None:
        """Send SIGTERM to the group, and after ``patience`` seconds SIGKILL to the rest of it."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Children:
    """Hold children; leaving the ``with`` block stops them, the last started first."""

    def __init__(self, log_dir: Path, env: dict[str, str]) -> None:
        self.log_dir = log_dir
        self.env = env
        self._stack: list[Child] = []

    def start(self, name: str, *command: str, **env: str) -> Child:
        """Start one more child with ``env`` added to the common environment."""
        child = Child(name, command, log_dir=self.log_dir, env={**self.env, **env})
        self._stack.append(child)
        return child

    def __iter__(self) -> Iterator[Child]:
        """Iterate over the children, in the order of their start."""
        return iter(self._stack)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all children."""
        while self._stack:
            self._stack.pop().stop()
