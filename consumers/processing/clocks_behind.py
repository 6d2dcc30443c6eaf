"""Log streams whose readings stay far behind their newest one, as after a device lost its time.

Late readings are scored and stored, but enter no window, and those that are late by more than the
event silence open no incident. A device whose clock fell back by a year is thus watched by nobody
until its clock is set. Old data that are sent again look the same, so nothing is done about it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from cachetools import LRUCache

from consumers.processing.batch import StreamBatch
from schemas import REPEATED_HOUR_S, StreamKey, parse_timestamp

log = logging.getLogger("consumers.bridge")

#: Consecutive readings so late that they are reported: more than usually arrive out of order.
MANY: Final = 100
#: Streams followed at once; beyond that the oldest are forgotten, and may be reported again.
MAX_STREAMS: Final = 20_000


class ClocksBehind:
    """Warn, once per stream, if many readings in a row are too late to open an incident.

    Parameters
    ----------
    event_silence_s : float
        EVENT_SILENCE_S.
    """

    def __init__(self, event_silence_s: float) -> None:
        self._recent = timedelta(seconds=max(event_silence_s, REPEATED_HOUR_S))
        self._in_a_row: LRUCache[StreamKey, int] = LRUCache(MAX_STREAMS)
        self._lock = threading.Lock()  # workers share it

    def check(self, streams: Iterable[StreamBatch]) -> None:
        """Check the stored readings of a batch, stream by stream in order of arrival."""
        with self._lock:
            for stream in streams:
                if last := (stream.state or {}).get("last"):
                    self._count(stream, parse_timestamp(last))

    def _count(self, stream: StreamBatch, newest: datetime) -> None:
        many = self._in_a_row.pop(stream.key, 0)
        for at, late in _times(stream):
            many = many + 1 if late and newest - at > self._recent else 0
            if many == MANY:
                _warn(stream.key, at, newest)
        if many:
            self._in_a_row[stream.key] = many


def _times(stream: StreamBatch) -> Iterable[tuple[datetime, bool]]:
    """Return the time of each scored reading, and whether it is late."""
    for item in stream.sent:
        if item.reading is not None and item.result is not None:
            yield item.reading.timestamp, "late" in item.result["metadata"]


def _warn(key: StreamKey, at: datetime, newest: datetime) -> None:
    asset, sensor, _ = key
    log.warning(
        "asset %s, sensor %s: %d readings in a row are far older than its newest one, of %s; the"
        " last of them is of %s. They are scored and stored, but open no incident. If no old data"
        " are being sent, the device's clock has fallen back: set it",
        asset, sensor or None, MANY, newest.isoformat(), at.isoformat(),
        extra={"action": "clock_behind"},
    )  # fmt: skip
