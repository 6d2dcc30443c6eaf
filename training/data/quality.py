"""Grade the quality of training data, by asset, sensor and feature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from datasets.types import named
from models.arrays import Floats
from models.fitting.garbage.scatter import learn_with_scatter
from models.fitting.garbage.zero_row_fit import rows_of_zeros
from models.fitting.options import FitOptions
from models.scoring.features.garbage import row_ranges
from training.data.checks import (
    HIGH,
    LOW,
    MEDIUM,
    Finding,
    Rows,
    count,
    of_sensor,
    of_times,
    worst,
)
from training.data.other_units import other_units
from training.data.sources import TrainingData


@dataclass(slots=True)
class StreamQuality:
    """Findings on one stream's times and on each feature; ``interval`` is in seconds.

    ``in_one_file`` tells whether their rows are those of a file, or else the stream's readings.
    """

    asset_id: str
    sensor_id: str | None
    readings: int
    interval: float | None
    findings: list[Finding]
    features: dict[str, list[Finding]] = field(default_factory=dict)
    in_one_file: bool = True

    @property
    def name(self) -> str:
        """Return the stream's name for people."""
        return named((self.asset_id, self.sensor_id))

    @property
    def grade(self) -> str:
        """Grade of the stream.

        Low: little or nothing can be trained on; Medium: something to look at.
        """
        grades = [self.grade_of(name) for name in self.features]
        own = worst([finding.grade for finding in self.findings])
        if own == LOW or (grades and 2 * grades.count(LOW) > len(grades)):
            return LOW
        return MEDIUM if own == MEDIUM or set(grades) - {HIGH} else HIGH

    def grade_of(self, feature: str) -> str:
        """Return the grade of a feature."""
        return worst([finding.grade for finding in self.features[feature]])


@dataclass(slots=True)
class Quality:
    """Findings on a data set; ``notes`` are about reading it and about the set as a whole."""

    source: str
    streams: list[StreamQuality]
    notes: list[str]

    @property
    def grade(self) -> str:
        """Return the grade of the whole: Low if most streams are Low, Medium if any is not High."""
        grades = [stream.grade for stream in self.streams]
        if 2 * grades.count(LOW) > len(grades):
            return LOW
        return MEDIUM if set(grades) - {HIGH} else HIGH

    @property
    def anything_low(self) -> bool:
        """Return whether a stream or a feature is graded Low."""
        return any(finding.grade == LOW for _, _, finding in self.findings())

    def findings(self) -> Iterator[tuple[StreamQuality, str, Finding]]:
        """Yield all findings: stream, feature (empty for the stream as a whole), finding."""
        for stream in self.streams:
            for finding in stream.findings:
                yield stream, "", finding
            for feature, found in stream.features.items():
                for finding in found:
                    yield stream, feature, finding

    def to_dict(self) -> dict[str, Any]:
        """Return all findings ready for JSON."""
        return {
            "source": self.source,
            "grade": self.grade,
            "notes": self.notes,
            "streams": [
                {
                    "asset_id": stream.asset_id, "sensor_id": stream.sensor_id,
                    "grade": stream.grade, "readings": stream.readings,
                    "interval_s": stream.interval,
                    "findings": [asdict(finding) for finding in stream.findings],
                    "features": {
                        name: {"grade": stream.grade_of(name),
                               "findings": [asdict(finding) for finding in found]}
                        for name, found in stream.features.items()
                    },
                }
                for stream in self.streams
            ],
        }  # fmt: skip


def assess(data: TrainingData) -> Quality:
    """Grade data without changing them."""
    garbage, found, _ = learn_with_scatter([s.values for s in data.streams])
    scattered = {one.feature: one for one in found}
    # a single run is named too, although a fit keeps it, as an event like any other
    zeros = rows_of_zeros([s.values for s in data.streams], FitOptions().trim, fewest=1)
    streams = []
    for i, stream in enumerate(data.streams):
        rows = stream.rows if stream.rows is not None else np.arange(1, len(stream.timestamps) + 1)
        interval, findings = of_times(stream.timestamps, rows) if data.timed else (None, [])
        findings += _zeros(rows[zeros[i]], rows)
        made = StreamQuality(
            stream.asset_id, stream.sensor_id, len(stream.timestamps), interval, findings,
            in_one_file=stream.rows is not None,
        )  # fmt: skip
        mask = garbage.mask(stream.values)
        only = data.feature_of(i)
        for j, name in enumerate(data.feature_names):
            if only not in (None, name):
                continue
            values = stream.values[:, j]
            far = scattered[j].mask(values) if j in scattered else np.zeros(len(values), bool)
            rest = ~(far | zeros[i])
            others = of_sensor(values[rest], mask[rest, j], rows[rest])
            made.features[name] = [*_scattered(values[far], rows[far], rows), *others]
        streams.append(made)
    _find_other_units(data, streams)
    return Quality(data.source, streams, [*data.notes, *_rates(streams)])


def _zeros(rows: Rows, of: Rows) -> list[Finding]:
    """Return a finding on rows of zeros, if there are any, among all rows of the stream."""
    if not len(rows):
        return []
    many = count(len(rows), "reading is", "readings are")
    text = f"{many} 0 in every feature, as devices send while they restart"
    return [Finding(MEDIUM, "zeros", text, row_ranges(rows, of))]


def _scattered(values: Floats, rows: Rows, of: Rows) -> list[Finding]:
    """Return a finding on scattered garbage (n,), if there is any, and its rows among all."""
    if not len(values):
        return []
    text = (
        f"{len(values):,} values from {values.min():.4g} to {values.max():.4g} come without"
        " relation to anything: no measurements, they count as missing"
    )
    return [Finding(MEDIUM, "scattered", text, row_ranges(rows, of))]


def _find_other_units(data: TrainingData, streams: list[StreamQuality]) -> None:
    """Add findings on streams whose values of a feature seem to be in another unit than others'."""
    for one in other_units(data):
        text = (
            f"lies at {one.level:.4g}{one.when}, the other streams at {one.usual:.4g}: another"
            " unit? In one group they hide smaller faults of each other (--group-by)"
        )
        name = data.feature_names[one.feature]
        streams[one.stream].features[name].append(Finding(MEDIUM, "other_unit", text))


def _rates(streams: list[StreamQuality]) -> list[str]:
    """Return a note if the streams have different sampling rates."""
    known = [stream for stream in streams if stream.interval]
    if not known:
        return []
    intervals = np.array([stream.interval for stream in known])
    if intervals.max() <= 2 * intervals.min():
        return []
    slow, fast = known[int(intervals.argmax())], known[int(intervals.argmin())]
    return [
        f"sampling differs: {fast.name} every {fast.interval:g} s, {slow.name} every"
        f" {slow.interval:g} s; gaps are judged by each stream's own rate"
    ]
