"""Elect the one API worker that does what must be done once, by a file lock."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout


class LeaderLock:
    """Hold a file lock that one process of the service has; it is released with the process."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, blocking=False, thread_local=False)

    def try_acquire(self) -> bool:
        """Become the leader unless another process is; return whether this one leads."""
        if not self._lock.is_locked:
            try:
                self._lock.acquire()
            except (Timeout, OSError):
                return False
        return True

    def release(self) -> None:
        """Let another process lead."""
        self._lock.release(force=True)
