"""Cache the state and window of streams; one memory limit covers all partitions.

The database holds the same data, so the least recently used streams can be dropped at any time.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from cachetools import TTLCache

from consumers.window import Row, Window
from schemas import StreamKey

#: Measured bytes of a stream besides state, window and names: Python objects, dict entries.
OVERHEAD: Final = 1200


@dataclass(slots=True)
class CachedStream:
    """One stream of one partition.

    Parameters
    ----------
    state : bytes or None
        The state last returned by the service, as JSON; None before the first reading.
    window : Window
        Past readings, at most ``window_length``.
    last : datetime or None
        Newest time stored; a reading at or before it may be a duplicate.
    elsewhere : datetime or None
        Newest time stored of the stream in any partition of any topic, when it was loaded. Readings
        that are sent again through a recreated topic may be duplicates of those.
    unkeyed : bool
        The stream also has readings in other partitions.
    seen : float
        Time of its newest reading (`time.monotonic`).
    published : (str, int)
        An event's id, and the highest severity published for it.
    """

    state: bytes | None = None
    window: Window = field(default_factory=Window)
    window_length: int = 0
    last: datetime | None = None
    elsewhere: datetime | None = None
    unkeyed: bool = False
    seen: float = 0.0
    published: tuple[str, int] = ("", -1)

    @property
    def size(self) -> int:
        """Approximate memory in bytes."""
        return OVERHEAD + self.window.size + len(self.state or b"")

    def set_state(self, state: dict[str, Any]) -> None:
        """Store a state without orjson's spare memory, which is up to 4 KB."""
        self.state = memoryview(orjson.dumps(state)).tobytes()

    def set_window_length(self, window_length: int) -> None:
        """Set the maximum number of past readings."""
        self.window_length = window_length
        self.window.keep(window_length)

    def add(self, row: Row, timestamp: datetime, mark: str) -> None:
        """Add one scored reading.

        Parameters
        ----------
        row
            The reading as encoded for the service.
        mark : {"added", "restarted", "left_out"}
            The service's ``metadata.window``: how the reading changes the window.
        """
        if self.last is None or timestamp > self.last:
            self.last = timestamp
        if mark == "left_out":
            return
        if mark == "restarted":
            self.window.clear()
        self.window.add(row)
        self.window.keep(self.window_length)


class UnkeyedStreams:
    """Track streams with readings in several partitions, because their producer sets no key.

    Parameters
    ----------
    seconds : float
        A stream counts as unkeyed for this long after the other partition's newest reading. So a
        stream that has only moved, because the topic got more partitions, counts for a while.
    max_streams : int
        Maximum number of streams tracked.
    """

    def __init__(self, seconds: float, max_streams: int = 50_000) -> None:
        self._noted: TTLCache[StreamKey, bool] = TTLCache(max_streams, seconds, time.monotonic)
        self._lock = threading.Lock()  # workers share it

    def note(self, key: StreamKey, seen: bool) -> bool:
        """Return whether a stream is unkeyed; ``seen``: another partition has newer readings."""
        with self._lock:
            if seen:
                self._noted[key] = True
            return key in self._noted

    def __len__(self) -> int:
        """Return the number of unkeyed streams now, up to ``max_streams``."""
        with self._lock:
            return len(self._noted)


class StreamCache:
    """The streams of one partition, least recently used first."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[StreamKey, tuple[CachedStream, int]] = OrderedDict()
        self._lock = threading.Lock()  # another worker may drop streams here to free memory
        self.bytes = 0

    def get(self, key: StreamKey) -> CachedStream | None:
        """Return a stream and mark it as used, or return None."""
        with self._lock:
            held = self._by_key.get(key)
            if held is None:
                return None
            self._by_key.move_to_end(key)
            return held[0]

    def put(self, key: StreamKey, cached: CachedStream) -> None:
        """Store a stream with its current size."""
        size = cached.size + sum(map(len, key))
        with self._lock:
            before = self._by_key.get(key)
            self.bytes += size - (before[1] if before else 0)
            self._by_key[key] = (cached, size)
            self._by_key.move_to_end(key)

    def forget(self, key: StreamKey) -> None:
        """Drop a stream."""
        with self._lock:
            before = self._by_key.pop(key, None)
            self.bytes -= before[1] if before else 0

    def clear(self) -> None:
        """Drop every stream."""
        with self._lock:
            self._by_key.clear()
            self.bytes = 0

    def idle_since(self) -> float:
        """Return when the least recently used stream was used; infinity if there is none."""
        with self._lock:
            first = next(iter(self._by_key.values()), None)
            return math.inf if first is None else first[0].seen

    def drop_oldest(self) -> int:
        """Drop the least recently used stream; return the freed bytes."""
        with self._lock:
            if not self._by_key:
                return 0
            _, (_, size) = self._by_key.popitem(last=False)
            self.bytes -= size
            return size

    def silent(self, before: float) -> int:
        """Count the streams without a reading since ``before``."""
        with self._lock:
            held = list(self._by_key.values())
        return sum(cached.seen < before for cached, _ in held)

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[StreamKey]:
        with self._lock:
            return iter(list(self._by_key))


class CacheBudget:
    """Limit the memory of the caches of all partitions together.

    Parameters
    ----------
    max_bytes : int
        Maximum size of all cached streams; beyond it the least recently used are dropped.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._caches: weakref.WeakSet[StreamCache] = weakref.WeakSet()  # lost partitions vanish
        self._lock = threading.Lock()

    def partition(self) -> StreamCache:
        """Make the cache of a new partition."""
        cache = StreamCache()
        with self._lock:
            self._caches.add(cache)
        return cache

    @property
    def bytes(self) -> int:
        """Bytes of all streams cached."""
        with self._lock:
            return sum(cache.bytes for cache in self._caches)

    def make_room(self) -> None:
        """Drop streams until the limit is met; called after each batch."""
        with self._lock:
            caches = list(self._caches)
            beyond = sum(cache.bytes for cache in caches) - self._max
            while beyond > 0:
                freed = min(caches, key=StreamCache.idle_since).drop_oldest()
                if not freed:
                    return
                beyond -= freed
