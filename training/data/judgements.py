"""Apply people's feedback to stored readings: healthy, fault, or expected behaviour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.arrays import Times

#: Verdicts. Where spans overlap the larger one holds, so that nothing faulty is learnt.
NOTHING: Final = 0
HEALTHY: Final = 1
EXPECTED: Final = 2
FAULT: Final = 3
_CODES: Final = {"false_alarm": HEALTHY, "expected": EXPECTED, "confirmed": FAULT}
_WORDS: Final = {
    FAULT: "of confirmed faults left out as labelled",
    EXPECTED: "of expected behaviour left out",
    HEALTHY: "of false alarms taken for healthy",
}


@dataclass(slots=True)
class Judgements:
    """Time spans of assets that people judged, as rows of feedback.

    Parameters
    ----------
    spans : rows with ``asset_id, sensor_id, feature, starts_at, ends_at, verdict``; a sensor or
        feature of None means all.
    counts : number of readings judged so far, by verdict.
    """

    spans: Iterable[Any] = ()
    counts: Counter[int] = field(default_factory=Counter)
    _by_asset: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for span in self.spans:
            self._by_asset.setdefault(span.asset_id, []).append(span)

    def __bool__(self) -> bool:
        return bool(self._by_asset)

    def of(
        self,
        stream: tuple[str, str | None, str | None],
        times: Times,
    ) -> npt.NDArray[np.int8]:
        """Return the verdicts on a stream's readings (n,)."""
        asset, sensor, feature = stream
        found = np.zeros(len(times), np.int8)
        for span in self._by_asset.get(asset, ()):
            if span.sensor_id in (None, sensor) and span.feature in (None, feature):
                inside = (times >= _utc(span.starts_at)) & (times <= _utc(span.ends_at))
                found[inside] = np.maximum(found[inside], _CODES[span.verdict])
        self.counts.update(found[found != NOTHING].tolist())
        return found

    def note(self) -> str:
        """Describe the number of readings per verdict; empty if there are none."""
        parts = [f"{self.counts[code]:,} {words}" for code, words in _WORDS.items()
                 if self.counts[code]]  # fmt: skip
        return f" (feedback: {', '.join(parts)})" if parts else ""


def _utc(at: datetime) -> np.datetime64:
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")
