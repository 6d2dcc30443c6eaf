"""Cache committed outbox messages until they are published, to save reading their rows again."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cachetools import FIFOCache

from db.queries.outbox import Content, MessageKey

#: Some 8,000 alarms of 24 features: one batch of each of four workers, which is more than is
#: stored while one chunk is published.
CACHE_BYTES: Final = 32 * 2**20


class OutboxCache:
    """Contents of committed messages, each returned once; safe to share between threads.

    The table's rows decide which messages wait, and in which order. Contents that are not cached
    are read from the database.

    Parameters
    ----------
    max_bytes : int
        Maximum size of the contents; beyond it the oldest are dropped.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._held: FIFOCache[MessageKey, Content] = FIFOCache(max_bytes, _size)
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Size of all contents in bytes."""
        return int(self._held.currsize)

    def put(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Cache the messages of committed outbox rows."""
        with self._lock:
            for row in rows:
                if row.get("source_offset") is None:
                    continue  # without a source offset the message has no unique key
                key = row["target_topic"], row["topic_id"], row["partition"], row["source_offset"]
                content = row.get("key"), row.get("value"), row.get("headers")
                if _size(content) <= self._held.maxsize:
                    self._held[key] = content

    def take(self, key: MessageKey) -> Content | None:
        """Return and forget a message's content; None if it is not cached."""
        with self._lock:
            return self._held.pop(key, None)


def _size(content: Content) -> int:
    return sum(len(part) for part in content if part is not None)
