"""Messages just stored, kept until they are published: their rows are there for a crash."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cachetools import FIFOCache

from db.queries.outbox import Content, MessageKey

#: Some 8,000 alarms of 24 features: a batch of each of four workers, more than is stored
#: while one chunk is published.
CACHE_BYTES: Final = 32 * 2**20


class OutboxCache:
    """Contents of committed messages, each given out once; safe to share between threads.

    What does not fit, was dropped or was given out before is read from the database: which
    messages wait, and in which order, only its rows hold.

    Parameters
    ----------
    max_bytes : int
        Bytes of contents; beyond them the oldest go.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._held: FIFOCache[MessageKey, Content] = FIFOCache(max_bytes, _size)
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Bytes of all contents."""
        return int(self._held.currsize)

    def put(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep the messages of rows of the outbox that are committed."""
        with self._lock:
            for row in rows:
                if row.get("source_offset") is None:
                    continue  # nothing else distinguishes such a message from its neighbour
                key = row["target_topic"], row["topic_id"], row["partition"], row["source_offset"]
                content = row.get("key"), row.get("value"), row.get("headers")
                if _size(content) <= self._held.maxsize:
                    self._held[key] = content

    def take(self, key: MessageKey) -> Content | None:
        """Give out a message's content, if it is here, and forget it."""
        with self._lock:
            return self._held.pop(key, None)


def _size(content: Content) -> int:
    return sum(len(part) for part in content if part is not None)
