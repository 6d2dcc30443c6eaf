"""Replay one stream through the production path, carrying its state and window along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from models.scoring.ensemble import score
from models.scoring.maintenance.suppression import Suppression
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.prepared import ADDED, RESTARTED
from models.scoring.stream_work import Reading, StreamWork

#: Index of a reading, and the stream's state and window just before it.
Noted = tuple[int, dict[str, Any] | None, list[Reading]]

#: Readings per call: like the service's batches, and small enough for any memory.
CHUNK = 1000


def replay(
    model_set: ModelSet,
    stream: tuple[str, str | None, str | None],
    readings: Iterator[Reading],
    policy: ScoringPolicy,
    criticality: str = "medium",
    stops: Sequence[int] = (),
    noted: list[Noted] | None = None,
    suppression: Suppression | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the results of the readings in order, one list per call of the ensemble's ``score``.

    Parameters
    ----------
    model_set : ModelSet
    stream : asset_id, sensor_id, feature
    readings : iterator of Reading
        Consumed one chunk at a time, so a long stretch needs little memory.
    policy : ScoringPolicy
    criticality : str
        Criticality of the asset.
    stops : sequence of int, optional
        Ascending indices of readings. The stream's state and window just before each of them are
        added to ``noted``.
    noted : list, optional
        Receives an entry for each of ``stops``.
    suppression : Suppression, optional
        When alarms are suppressed.
    """
    planned = suppression or Suppression()
    state: dict[str, Any] | None = None
    window: list[Reading] = []
    asset_id, sensor_id, feature = stream
    at, ahead = 0, list(stops)
    while True:
        while ahead and ahead[0] == at:
            ahead.pop(0)
            if noted is not None:
                noted.append((at, state, window))
        size = min(CHUNK, ahead[0] - at) if ahead else CHUNK
        part = list(islice(readings, size))
        if not part:
            return
        at += len(part)
        work = StreamWork(
            asset_id, sensor_id, feature, criticality, state, window, part,
            maintenance=planned.windows, off_conditions=planned.conditions,
        )  # fmt: skip
        outcome = score(model_set, [work], policy)[0]
        state = outcome.state
        window = carried(window, part, outcome.results, outcome.window_length)
        yield outcome.results


def carried(
    window: list[Reading], part: Sequence[Reading], results: Sequence[dict[str, Any]], length: int
) -> list[Reading]:
    """Return the updated window, following the results' ``window`` marks as the bridge does.

    Parameters
    ----------
    window
        Past readings before this part, oldest first.
    part
        Readings that were scored.
    results
        One per reading.
    length
        Maximum number of readings to keep.
    """
    kept = list(window)
    for reading, result in zip(part, results, strict=True):
        mark = result.get("metadata", {}).get("window")
        if mark == RESTARTED:
            kept.clear()
        if mark in (ADDED, RESTARTED):
            kept.append(reading)
    return kept[-length:] if length else []
