"""Encode a stream's past readings once as JSON, to send them many times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from schemas import NameMemo

Names = tuple[str, ...]
Row = tuple[Names, bytes]  # sorted feature names; JSON [timestamp, value, ...] in their order

_sorted: NameMemo[Names] = NameMemo()


def encode_row(timestamp: datetime, features: dict[str, float]) -> Row:
    """Encode one reading for the service."""
    given = tuple(features)
    names = _sorted.get(given) or _sorted.keep(given, tuple(sorted(given)))
    values = features.values() if names == given else [features[name] for name in names]
    return names, orjson.dumps([timestamp.isoformat(), *values])


def pack_rows(rows: Iterable[Row]) -> dict[str, Any] | list[dict[str, Any]]:
    """Encode rows for the service: compact if all have the same features, else a list."""
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


class Window:
    """The past readings of one stream, oldest first, as one piece of JSON.

    Python objects would take several times the memory. A reading that lacks a feature of the
    others has null in its place.
    """

    __slots__ = ("_count", "_json", "_names")

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._names: Names = ()
        self._json = b""  # [time, value, ...],[time, value, ...]
        self._count = 0
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self._json)

    def add(self, row: Row) -> None:
        """Append one reading."""
        names, encoded = row
        if not self._count:
            self._names, self._json = names, _exact(encoded)
        else:
            if names is not self._names and names != self._names:
                encoded = self._fit(names, encoded)
            self._json = b"%b,%b" % (self._json, encoded)
        self._count += 1

    def keep(self, count: int) -> None:
        """Drop the oldest readings beyond the newest ``count``."""
        if count <= 0:
            self.clear()
        at = 0
        while self._count > count:
            at = self._json.index(b"]", at) + 2
            self._count -= 1
        if at:
            self._json = self._json[at:]

    def clear(self) -> None:
        """Drop all readings."""
        self._names, self._json, self._count = (), b"", 0

    def oldest(self) -> datetime | None:
        """Return the time of the oldest reading, or None if there is none."""
        if not self._count:
            return None
        first = self._json[: self._json.index(b"]") + 1]
        return datetime.fromisoformat(orjson.loads(first)[0])

    def packed(self) -> dict[str, Any] | list[Any]:
        """Encode the window for the service."""
        if not self._count:
            return []
        return {"names": self._names, "rows": orjson.Fragment(b"[%b]" % self._json)}

    def _fit(self, names: Names, encoded: bytes) -> bytes:
        """Encode a row with other features so that all rows have the same names."""
        time, *values = orjson.loads(encoded)
        given = dict(zip(names, values, strict=True))
        if not given.keys() <= set(self._names):
            rows = orjson.loads(b"[%b]" % self._json)
            past = [dict(zip(self._names, row[1:], strict=True)) for row in rows]
            used = {name for one in past for name, value in one.items() if value is not None}
            self._names = tuple(sorted(used | given.keys()))
            again = [
                [row[0], *map(one.get, self._names)] for row, one in zip(rows, past, strict=True)
            ]
            self._json = _exact(orjson.dumps(again)[1:-1])
        return orjson.dumps([time, *map(given.get, self._names)])


def _exact(text: bytes) -> bytes:
    """Copy text to its exact length, because orjson's result reserves some 4 KB."""
    return memoryview(text).tobytes()
