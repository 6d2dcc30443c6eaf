"""Elect by a file lock the one API worker that does work which must be done once."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout


class LeaderLock:
    """Hold a file lock that only one process of the service can have; it ends with the process."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, blocking=False, thread_local=False)

    def try_acquire(self) -> bool:
        """Try to become the leader; return whether this process leads."""
        if not self._lock.is_locked:
            try:
                self._lock.acquire()
            except (Timeout, OSError):
                return False
        return True

    def release(self) -> None:
        """Let another process lead."""
        self._lock.release(force=True)
