"""Elect one process for a task by an advisory lock, which it holds as long as it does the task."""

from __future__ import annotations

import contextlib

from sqlalchemy import Connection, Engine, text

from db.session import translated, try_lock
from errors import StorageUnavailable


class Leadership:
    """An advisory lock held by an open transaction, so that it works with any pooler.

    Parameters
    ----------
    engine : Engine
        One of its connections is used while the lock is held.
    key : int
        Key of the lock.

    Notes
    -----
    If the leader is killed, the server releases the lock at once. If its host vanishes, the lock is
    released after DATABASE_IDLE_TIMEOUT_S, so :meth:`confirm` must be called more often.
    """

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine = engine
        self._key = key
        self._connection: Connection | None = None

    def try_acquire(self) -> bool:
        """Become the leader if there is none.

        Raises
        ------
        StorageUnavailable
        """
        with translated(self._engine.url):
            connection = self._engine.connect()
            try:
                if try_lock(connection, self._key):
                    self._connection = connection
            finally:
                if self._connection is None:
                    connection.close()
        return self._connection is not None

    def confirm(self) -> bool:
        """Return whether the lock is still held."""
        if self._connection is None:
            return False
        try:
            with translated(self._engine.url):
                self._connection.execute(text("SELECT 1"))
        except StorageUnavailable:
            self.release()
        return self._connection is not None

    def release(self) -> None:
        """Let another process lead."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # the server and the lock may be gone already
                connection.close()
