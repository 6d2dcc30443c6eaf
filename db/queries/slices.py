"""Divide time spans into slices that touch few partitions, so that no query locks all of them.

A query locks every partition that planning leaves, with its 13 indices. By default the server's
lock table has room for 64 locks per connection (``max_locks_per_transaction``). So queries of
``anomaly_detections`` contain their time span as constants, by which the planner prunes
partitions. A query over a long span runs slice by slice and releases the locks of each slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from db.partitions import list_partitions

#: Maximum partitions per query: 16 x 14 locks leave room for 28 such queries at once.
PARTITIONS = 16
#: A span that touches no more than these even with daily partitions.
SHORT = timedelta(days=PARTITIONS - 2)

#: The condition for the parameters of :meth:`Slice.values`.
WITHIN = """
    timestamp >= CAST(:slice_start AS timestamptz) AND timestamp < CAST(:slice_end AS timestamptz)
"""
_TICK = timedelta(microseconds=1)
_MAX = datetime.max.replace(tzinfo=UTC)


def after(at: datetime | None) -> datetime | None:
    """Return the exclusive end of a span whose newest time is ``at``; None: unbounded."""
    return None if at is None or at >= _MAX else at + _TICK


@dataclass(frozen=True, slots=True)
class Slice:
    """Readings with ``start <= timestamp < end``; None: unbounded."""

    start: datetime | None = None
    end: datetime | None = None

    def values(self) -> dict[str, object]:
        """Return the parameters of :data:`WITHIN`."""
        return {"slice_start": self.start or "-infinity", "slice_end": self.end or "infinity"}

    def overlaps(self, start: datetime | None, end: datetime | None) -> bool:
        """Return whether the slice overlaps ``start <= t < end``."""
        return not (
            (self.end is not None and start is not None and start >= self.end)
            or (self.start is not None and end is not None and end <= self.start)
        )

    def narrowed(self, start: datetime | None, end: datetime | None) -> Slice:
        """Return the part of the slice within ``start <= t < end``."""
        starts = [one for one in (self.start, start) if one is not None]
        ends = [one for one in (self.end, end) if one is not None]
        return Slice(max(starts, default=None), min(ends, default=None))


def slices(
    connection: Connection, start: datetime | None = None, end: datetime | None = None
) -> list[Slice]:
    """Divide ``start <= t < end`` into slices of few partitions, newest first.

    The first and the last slice include the rows of the default partition at their side.

    Parameters
    ----------
    connection : Connection
    start, end : datetime, optional
        The span; None: unbounded.
    """
    whole = Slice(start, end)
    if start is not None and end is not None and end - start <= SHORT:
        return [whole]
    starts = sorted({partition.start for partition in list_partitions(connection)}, reverse=True)
    # The newest partitions are in the future; older rows than the oldest belong to its slice.
    cuts = [at for at in starts[PARTITIONS - 1 : -1 : PARTITIONS] if _inside(at, whole)]
    found, upper = [], end
    for cut in cuts:
        found.append(Slice(cut, upper))
        upper = cut
    return [*found, Slice(start, upper)]


def _inside(at: datetime, whole: Slice) -> bool:
    if at <= datetime.min.replace(tzinfo=UTC):  # a partition from MINVALUE on
        return False
    return (whole.start is None or at > whole.start) and (whole.end is None or at < whole.end)


def walk(connection: Connection, parts: Sequence[Slice]) -> Iterator[Slice]:
    """Yield each slice; the locks taken for it are released before the next.

    Only for reading: changes made between the slices are rolled back.
    """
    for part in parts:
        if len(parts) == 1:
            yield part
            continue
        with _rolled_back(connection):
            yield part


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    # A lock taken after a savepoint is released when the savepoint is rolled back.
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        if savepoint.is_active:
            savepoint.rollback()
