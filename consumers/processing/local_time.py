"""Log streams that send local time without an offset, when daylight saving ends.

A time without an offset means UTC. Producers that send local time instead go back by an hour when
daylight saving ends. For this hour their readings are late, so they are added to no window, and a
reading that equals one of the hour before is rejected as its duplicate. Faults in this hour still
become events (:mod:`models.scoring.decision`). The bridge cannot correct the times.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import timedelta

from consumers.processing.batch import StreamBatch

log = logging.getLogger("consumers.bridge")

#: How far a clock goes back: an hour minus one interval, or half an hour on Lord Howe Island.
_MIN_BACK, _MAX_BACK = timedelta(minutes=20), timedelta(minutes=61)
#: One log line per plant: all its streams go back within the hour.
_AGAIN_S = 12 * 3600.0


class RepeatedHour:
    """Warn if the times of streams without an offset go back by about an hour."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def check(self, streams: Iterable[StreamBatch]) -> None:
        """Check the readings of a batch, stream by stream in order of arrival."""
        if time.monotonic() - self._logged_at < _AGAIN_S:
            return
        for stream in streams:
            back = _went_back(stream)
            if back is not None:
                self._logged_at = time.monotonic()
                asset, sensor, _ = stream.key
                log.warning(
                    "asset %r, sensor %r: times without an offset went back by %.0f minutes, as"
                    " local time does when daylight saving ends. The readings of the repeated hour"
                    " are scored as late, outside of any window, and those equal to a reading of"
                    " the hour before are duplicates: send UTC, or the offset. Logged for the first"
                    " stream only",
                    asset, sensor or None, back.total_seconds() / 60,
                    extra={"action": "repeated_hour"},
                )  # fmt: skip
                return


def _went_back(stream: StreamBatch) -> timedelta | None:
    last = stream.cached.last
    for reading in (item.reading for item in stream.items):
        if reading is None:
            continue
        if last is not None and reading.local and _MIN_BACK <= last - reading.timestamp < _MAX_BACK:
            return last - reading.timestamp
        last = reading.timestamp if last is None else max(last, reading.timestamp)
    return None
