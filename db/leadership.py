"""One process of several does a job: it holds an advisory lock for as long as it does it."""

from __future__ import annotations

import contextlib

from sqlalchemy import Connection, Engine, text

from db.session import translated, try_lock
from errors import StorageUnavailable


class Leadership:
    """An advisory lock, held by a transaction that is kept open; any pooler keeps that apart.

    Parameters
    ----------
    engine : Engine
        One connection of it is taken while the lock is held.
    key : int
        Names the job.

    Notes
    -----
    Of a leader that is killed the server frees the lock at once, of one whose host vanished after
    DATABASE_IDLE_TIMEOUT_S: :meth:`confirm` must be called more often than that.
    """

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine = engine
        self._key = key
        self._connection: Connection | None = None

    def try_acquire(self) -> bool:
        """Become the leader if nobody is.

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
        """Tell whether the lock is still held."""
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
            with contextlib.suppress(Exception):  # the server may be gone, and the lock with it
                connection.close()
