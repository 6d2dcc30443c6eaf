"""Find the columns of an export of InfluxDB that are its own, and no features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: Columns that every table has, and that say nothing on what was measured.
_OWN: Final = ("", "result", "table", "_start", "_stop")


def own_columns(names: Sequence[str]) -> list[int]:
    """Return the columns of a table that are InfluxDB's own."""
    if "_time" not in names or "table" not in names:
        return []
    return [index for index, name in enumerate(names) if name in _OWN]
