"""Find out since when readings were added to streams, so that what is cached of them is renewed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from db.queries.fleet import StreamAt, stream_positions

#: Start of what was added to a stream that is seen for the first time.
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)

Span = tuple[datetime, datetime]


class AddedReadings:
    """Remember the time of each stream's newest reading, and compare.

    A bridge that catches up after an outage, or a topic that is read from its start, adds readings
    to hours that are long over. Readings that arrive out of order are not noticed.
    """

    def __init__(self) -> None:
        self._last: dict[StreamAt, datetime] = {}
        self._seen: datetime | None = None

    def since_last_look(self, connection: Connection) -> Span | None:
        """Return a span with all readings added since the last call, both ends included.

        None: none were added.
        """
        self._seen, positions = stream_positions(connection, self._seen)
        moved = [
            (self._last.get(stream, EARLIEST), at)
            for stream, at in positions
            if self._last.get(stream) != at
        ]
        self._last.update(positions)
        if not moved:
            return None
        return min(min(span) for span in moved), max(max(span) for span in moved)
