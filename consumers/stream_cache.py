"""What the bridge remembers of streams: state and window, per partition, bounded.

Everything here can be had again from the database, so the least recently used may be dropped.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

StreamKey = tuple[str, str, str]  # asset_id, sensor_id, feature; absent parts are ''
Names = tuple[str, ...]
Row = tuple[Names, bytes]  # sorted feature names; JSON [timestamp, value, ...] in their order

_sorted: dict[Names, Names] = {}


def encode_row(timestamp: datetime, features: dict[str, float]) -> Row:
    """One reading as it travels: encoded once, sent as long as it stays in the window."""
    given = tuple(features)
    names = _sorted.get(given)
    if names is None:
        if len(_sorted) > 10_000:  # names are the sender's choice: never without a bound
            _sorted.clear()
        names = _sorted[given] = tuple(sorted(given))
    values = features.values() if names == given else [features[name] for name in names]
    return names, orjson.dumps([timestamp.isoformat(), *values])


def row_time(row: Row) -> datetime:
    """When the reading of an encoded row was."""
    return datetime.fromisoformat(orjson.loads(row[1])[0])


def pack_rows(rows: Iterable[Row]) -> dict[str, Any] | list[dict[str, Any]]:
    """Rows in the form of the wire: compact where all have the same features, else a list."""
    rows = list(rows)
    if not rows:
        return []
    names = rows[0][0]
    if all(row[0] is names or row[0] == names for row in rows):
        return {"names": names, "rows": [orjson.Fragment(row[1]) for row in rows]}
    unpacked = [(row_names, orjson.loads(row)) for row_names, row in rows]
    return [
        {"timestamp": values[0], "features": dict(zip(row_names, values[1:], strict=True))}
        for row_names, values in unpacked
    ]


@dataclass(slots=True)
class CachedStream:
    """One stream of one partition.

    Parameters
    ----------
    state : dict or None
        What the service handed back last; None before its first reading.
    window : deque of Row
        Past readings, oldest first, at most ``window_length``.
    last : datetime or None
        Newest time stored; a reading at or before it may be a duplicate.
    spread : bool
        The stream is seen on other partitions too.
    """

    state: dict[str, Any] | None = None
    window: deque[Row] = field(default_factory=deque)
    window_length: int = 0
    last: datetime | None = None
    spread: bool = False
    seen: float = 0.0  # time.monotonic() of its newest reading
    published: tuple[str, int] = ("", -1)  # event id, the highest severity published of it

    def grow(self, window_length: int) -> None:
        self.window_length = window_length
        while len(self.window) > window_length:
            self.window.popleft()

    def add(self, row: Row, timestamp: datetime, mark: str) -> None:
        """Take in one scored reading; the service's ``mark`` decides about the window."""
        if self.last is None or timestamp > self.last:
            self.last = timestamp
        if mark == "left_out":
            return
        if mark == "restarted":
            self.window.clear()
        self.window.append(row)
        if len(self.window) > self.window_length:
            self.window.popleft()


class UnkeyedStreams:
    """Which streams this bridge saw on several partitions: producers without a key do that."""

    def __init__(self, most: int = 1_000_000) -> None:
        self._most = most
        self._first: dict[StreamKey, int] = {}
        self._spread: set[StreamKey] = set()

    def note(self, key: StreamKey, partition: int, known: bool) -> bool:
        """A stream is met on a partition; whether it is spread. ``known``: the database says so."""
        if len(self._first) > self._most:
            self._first.clear()
        if known or self._first.setdefault(key, partition) != partition:
            self._spread.add(key)
        return key in self._spread

    def __len__(self) -> int:
        return len(self._spread)


class StreamCache:
    """The streams of one partition, least recently used first out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_key: OrderedDict[StreamKey, CachedStream] = OrderedDict()

    def get(self, key: StreamKey) -> CachedStream | None:
        memory = self._by_key.get(key)
        if memory is not None:
            self._by_key.move_to_end(key)
        return memory

    def put(self, key: StreamKey, memory: CachedStream) -> None:
        self._by_key[key] = memory
        self._by_key.move_to_end(key)
        while len(self._by_key) > self._most:
            self._by_key.popitem(last=False)

    def forget(self, key: StreamKey) -> None:
        self._by_key.pop(key, None)

    def clear(self) -> None:
        self._by_key.clear()

    def silent(self, before: float) -> int:
        """How many have no reading since ``before``; other threads may be adding meanwhile."""
        try:
            return sum(1 for memory in list(self._by_key.values()) if memory.seen < before)
        except RuntimeError:  # changed while it was copied: the next count will do
            return 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[StreamKey]:
        return iter(list(self._by_key))
