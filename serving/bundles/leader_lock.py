"""Elect the one API worker that does what must be done once, by a file lock."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


class LeaderLock:
    """Hold a file lock that one process of the service has; it is released with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def held(self) -> bool:
        """Whether this process leads; tries to become the leader when none does."""
        if self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let another process lead."""
        if self._file is not None:
            self._file.close()
            self._file = None
