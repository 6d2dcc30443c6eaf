"""What a caller has scored: consecutive readings of one stream, with all that affects them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.maintenance.suppression import OffCondition


@dataclass(slots=True)
class Reading:
    """One reading; ``timestamp`` is aware UTC, None only inside a window sent without times."""

    timestamp: datetime | None
    features: Mapping[str, float]


@dataclass(slots=True)
class StreamWork:
    """Consecutive readings of one stream, to be scored with its state.

    Attributes
    ----------
    criticality : of the asset; one value, or one per reading.
    state : returned by the previous call; None for a new stream.
    window : past readings, oldest first, at most ``window_length``.
    arrived : when Kafka received each reading; empty if unknown. See
        :mod:`models.scoring.readings.clock`.
    now : the caller's clock.
    renew : restart the stream if its state cannot be read, instead of raising an error.
    false_alarms : recently reported for the asset, see
        :func:`models.scoring.alarms.bursts.raised_by`.
    maintenance, off_conditions : when to suppress alarms, see
        :mod:`models.scoring.maintenance.suppression`.
    reset : number of the newest reset requested; one that is newer than the state's is applied.
    closed_events : persistent events whose incidents people closed, see
        :mod:`models.scoring.alarms.settling`.
    """

    asset_id: str
    sensor_id: str | None
    feature: str | None
    criticality: str | Sequence[str]
    state: dict[str, Any] | None
    window: Sequence[Reading]
    readings: Sequence[Reading]
    arrived: Sequence[datetime | None] = ()
    now: datetime | None = None
    renew: bool = False
    false_alarms: int = 0
    maintenance: Sequence[MaintenanceWindow] = ()
    off_conditions: Sequence[OffCondition] = ()
    reset: int = 0
    closed_events: Collection[str] = ()


def present_features(names: Sequence[str], row: Iterable[float]) -> dict[str, float]:
    """Return the features that a row of a matrix has, by name: all values that are not NaN."""
    # NaN is the only value unlike itself; math.isnan would take twice as long
    return {name: value for name, value in zip(names, row, strict=True) if value == value}
