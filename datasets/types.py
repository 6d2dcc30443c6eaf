"""Types of a data set in memory: a reading, a stream, a whole file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]
Flags = npt.NDArray[np.bool_]
StreamKey = tuple[str, str | None]

#: Columns that are not features.
RESERVED = ("asset_id", "sensor_id", "timestamp", "label")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """One row; ``timestamp`` is aware UTC, ``features`` has measured values only."""

    asset_id: str
    sensor_id: str | None
    timestamp: datetime
    features: dict[str, float]
    label: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """The readings of one (asset_id, sensor_id), in order of time.

    Parameters
    ----------
    timestamps : (n,) datetime64[us], UTC
    values : (n, d), NaN where nothing was measured
    labels : (n,) 1 (faulty), 0 (normal), -1 (unknown); None without labels
    rows : (n,) row numbers in the file, from 1; None unless all are from one file
    healthy : (m,) times at which people said that an alarm was false; None if they did not
    """

    asset_id: str
    sensor_id: str | None
    timestamps: Times
    values: Floats
    labels: npt.NDArray[np.int8] | None = None
    rows: npt.NDArray[np.int64] | None = None
    healthy: Times | None = None

    def take(self, which: Any) -> Stream:
        """Return some of the readings: a slice, a mask (n,) or indices."""
        return Stream(
            self.asset_id,
            self.sensor_id,
            self.timestamps[which],
            self.values[which],
            None if self.labels is None else self.labels[which],
            None if self.rows is None else self.rows[which],
            self.healthy,
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """A whole file in memory; the columns of every ``values`` are ``feature_names``.

    ``notes`` say what was recognised, replaced or left out. ``groups`` has the value of the
    grouping column by stream, if one was requested. ``units`` has the units of features as the file
    writes them, and what else stands below their names. ``local`` and ``universal`` are the numbers
    of times without and with an offset. ``label_counts`` are the rows of each text of the labels.
    ``units_of_streams`` are those that a column of units names, also of sensors that are pivoted.
    ``counted`` is set if the times count readings.
    """

    feature_names: list[str]
    streams: list[Stream]
    notes: list[str] = field(default_factory=list)
    groups: dict[StreamKey, str] | None = None
    units: dict[str, list[str]] = field(default_factory=dict)
    local: int = 0
    universal: int = 0
    label_counts: dict[str, int] = field(default_factory=dict)
    units_of_streams: dict[StreamKey, list[str]] = field(default_factory=dict)
    counted: bool = False


def key_of(stream: Stream) -> StreamKey:
    """Return the stream's key."""
    return (stream.asset_id, stream.sensor_id)


def named(key: StreamKey) -> str:
    """Return a stream's name in messages."""
    return " / ".join(part for part in key if part)


def span_text(seconds: float) -> str:
    """Return a time span in messages, such as 2.5 h: in the largest unit of which it has two."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"


def datetimes(times: Times) -> list[datetime]:
    """Return times (n,), UTC, as aware datetimes: in a tenth of the time that ``replace`` takes."""
    since = times.astype("datetime64[us]").view("timedelta64[us]")
    return [_EPOCH + passed for passed in since.tolist()]
