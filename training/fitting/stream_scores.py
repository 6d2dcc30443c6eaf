"""Score streams as the service does, with the same pure function.

This serves held-out data after a fit, promotion and the back-test. A stream's state and window are
carried from call to call, as the bridge does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from datasets import Stream, datetimes
from models.detectors.base import MODEL_NAMES, Progress
from models.scoring.maintenance.suppression import Suppression
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import Noted, replay
from models.scoring.stream_work import Reading, present_features
from training.evaluation.measures import Scored

_SLICE = 4096  # readings scored at a time: bounds the memory of their windows
#: Past readings replayed first, so that window, smoothing, baseline and tail have settled.
WARM_UP = 2000


@dataclass(slots=True)
class InjectionPoint:
    """Where faults begin: reading ``at`` of a stream, with its state and window just before."""

    stream: int
    at: int
    state: dict[str, Any] | None
    window: list[Reading]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Streams with held-out readings, and the model sets that score them.

    Parameters
    ----------
    sets : model set of each stream.
    names : columns of every stream's values.
    streams : each in time order.
    skip : number of past readings of each stream; the last WARM_UP of them are replayed but not
        reported.
    policy : budgets, adaptation and other settings, as in the service.
    seed : seed of points and faults.
    """

    sets: Sequence[ModelSet]
    names: Sequence[str]
    streams: Sequence[Stream]
    skip: Sequence[int]
    policy: ScoringPolicy
    seed: int = 0


def score_streams(
    held: HeldOut,
    stops: Sequence[Sequence[int]] | None = None,
    *,
    criticality: str = "medium",
    progress: Progress | None = None,
    stage: str = "scoring",
    suppression: Suppression | None = None,
) -> tuple[list[Scored], list[InjectionPoint]]:
    """Replay streams through :func:`models.scoring.ensemble.score`.

    Parameters
    ----------
    held
        Streams and their model sets.
    stops : sequence of sequences of int, optional
        Ascending indices of held-out readings of each stream, at which to record the stream's
        state and window.
    criticality : str
        Criticality of every asset, which sets the threshold.
    progress, stage
        Receives the number of readings done.
    suppression : Suppression, optional
        When to suppress alarms.

    Returns
    -------
    (scored, points) : one result per stream, and the recorded points.
    """
    total = sum(len(s.timestamps) - k for s, k in zip(held.streams, held.skip, strict=True))
    done = 0
    out, points = [], []
    for i, (model_set, stream, past) in enumerate(
        zip(held.sets, held.streams, held.skip, strict=True)
    ):
        begin = max(0, past - WARM_UP)
        rows: list[dict[str, Any]] = []
        noted: list[Noted] = []
        ids = (stream.asset_id, stream.sensor_id, None)
        halts = [index - begin for index in stops[i]] if stops else []
        for part in replay(
            model_set, ids, readings_of(stream, held.names, begin), held.policy, criticality,
            halts, noted, suppression,
        ):  # fmt: skip
            rows += part
            if progress is not None:
                progress(stage, min(total, done + max(0, len(rows) + begin - past)), total, {})
        done += len(stream.timestamps) - past
        points += [InjectionPoint(i, begin + at, state, window) for at, state, window in noted]
        one = _scored(stream, past, rows[past - begin :])
        flags = ["suppressed" in row.get("metadata", {}) for row in rows[past - begin :]]
        if suppression or any(flags):
            one = replace(one, suppressed=np.array(flags, np.bool_))
        out.append(one)
    return out, points


def readings_of(stream: Stream, names: Sequence[str], begin: int = 0) -> Iterator[Reading]:
    """Yield the stream's readings from index ``begin``; missing values are absent features.

    Parameters
    ----------
    stream, names
        The stream, and the columns of its values.
    begin
        Index of the first reading.
    """
    for start in range(begin, len(stream.timestamps), _SLICE):
        end = start + _SLICE
        times = datetimes(stream.timestamps[start:end])
        for time, row in zip(times, stream.values[start:end].tolist(), strict=True):
            yield Reading(time, present_features(names, row))


def _scored(stream: Stream, past: int, rows: list[dict[str, Any]]) -> Scored:
    n = len(rows)
    final, p, log10_p, threshold = (np.full(n, np.nan) for _ in range(4))
    flags = np.zeros(n, bool)
    detectors = {name: np.full(n, np.nan) for name in MODEL_NAMES}
    incidents = []
    for i, row in enumerate(rows):
        if "error" in row:
            continue
        final[i], p[i], log10_p[i] = row["final_score"], row["p"], row["log10_p"]
        threshold[i], flags[i] = row["threshold"], row["is_anomaly"]
        if "why" in row["metadata"].get("event", {}).get("incident", {}):
            incidents.append(i)
        for one in row["scores"]:
            detectors[one["model_name"]][i] = one["score"]
    return Scored(
        stream.asset_id,
        stream.sensor_id,
        stream.timestamps[past:],
        final,
        p,
        threshold,
        flags,
        detectors,
        None if stream.labels is None else stream.labels[past:],
        log10_p,
        tuple(incidents),
    )
