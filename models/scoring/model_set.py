"""Hold the fitted parts of one group of streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.detectors.base import LSTM_AUTOENCODER, MODEL_NAMES, Detector
from models.scoring.alarms.bursts import BurstRates
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.features.repeats import LENGTH
from models.scoring.magnitudes.adaptation import AdaptationParams, AdaptiveTail
from models.scoring.magnitudes.calibration import Calibration, subset_key
from models.scoring.readings.window_index import PACED_BY
from models.scoring.stream_state import StreamState


@dataclass
class ModelSet:
    """Preprocessing, detectors and calibration of one group of streams.

    Attributes
    ----------
    trained_on : time range of the training readings.
    power : share of injected faults that the same recipe detected in held-out readings.
    group, version : set by the bundle that contains the model set.
    bursts : rates of normal bursts; None: every event opens an incident.
    """

    preprocessing: Preprocessing
    detectors: dict[str, Detector]
    calibrations: dict[str, Calibration]
    adaptation: AdaptationParams
    options: dict[str, Any] = field(default_factory=dict)
    trained_at: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    trained_on: dict[str, Any] = field(default_factory=dict)
    power: dict[str, Any] = field(default_factory=dict)
    group: str = "default"
    version: str = "unsaved"
    bursts: BurstRates | None = None

    def __post_init__(self) -> None:
        self.names = tuple(name for name in MODEL_NAMES if name in self.detectors)
        self.points = tuple(name for name in self.names if name != LSTM_AUTOENCODER)
        self.window = max((d.window for d in self.detectors.values()), default=1)
        for cal in self.calibrations.values():
            AdaptiveTail.warm(cal, self.adaptation)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Required features of a reading, in the detectors' order."""
        return self.preprocessing.names

    @property
    def window_length(self) -> int:
        """Number of past readings the caller should keep; counters need one more.

        Windows that bridge lost readings need the intervals before them, too.
        """
        paced = self.window > 1 and self.preprocessing.step is not None
        counted = self.preprocessing.counters is not None
        length = self.window - 1 + max(counted, PACED_BY * paced)
        pre = self.preprocessing
        if pre.repeats is None and pre.stays is None:
            return length
        return max(length, LENGTH - 1 + counted)

    @property
    def median(self) -> float:
        """Start value of a stream's smoothed magnitude."""
        first = next(iter(self.calibrations.values()), None)
        return 0.0 if first is None else first.median

    def new_tail(self) -> AdaptiveTail:
        """Return the tail that a new stream starts with."""
        return AdaptiveTail.of_new_stream(self.median, self.adaptation)

    def calibration(self, windowed: bool, warm: bool) -> Calibration | None:
        """Return the calibration of the detectors that can score; None if none can."""
        names = self.names if windowed else self.points
        return self.calibrations.get(subset_key(names, warm)) if names else None

    def state(self, data: dict[str, Any] | None) -> StreamState:
        """Read a stream's state."""
        return StreamState.from_dict(data, self.version, self.preprocessing, self.new_tail())
