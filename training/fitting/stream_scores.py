"""Score stretches of data exactly as the service does: the same pure function, in order.

Used for held-out data after a fit, for promotion and for the back-test. A stream's state and
window are carried from one call to the next, as the bridge carries them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from datasets import Stream, datetimes
from models.detectors.base import MODEL_NAMES, Progress
from models.scoring.ensemble import Reading
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import Noted, replay
from models.scoring.suppression import Suppression
from training.evaluation.measures import Scored

_SLICE = 4096
#: past readings replayed first, so that window, smoothing, baseline and tail are in swing
WARM_UP = 2000


@dataclass(slots=True)
class InjectionPoint:
    """Where faults begin: reading ``at`` of stream ``stream``, and what the stream remembers."""

    stream: int
    at: int
    state: dict[str, Any] | None
    window: list[Reading]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Streams of which something was held out, and by what that is scored.

    Parameters
    ----------
    sets : the model set that each stream is scored by.
    names : columns of every stream's values.
    streams : each in time order.
    skip : how many first readings of each stream are past: the last WARM_UP of them are replayed,
        but not reported.
    policy : budgets, adaptation and the rest, as in the service.
    seed : of points and faults.
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
        What to score, and by what.
    stops : sequence of sequences of int, optional
        Indexes of each stream, rising, none before what is reported, at which what the stream
        remembers is noted.
    criticality : str
        Of every asset; sets the threshold.
    progress, stage
        Where to report readings done.
    suppression : Suppression, optional
        When alarms are none.

    Returns
    -------
    (scored, points) : per stream, and what was noted at the stops.
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
        if suppression:
            flags = ["suppressed" in row.get("metadata", {}) for row in rows[past - begin :]]
            one = replace(one, suppressed=np.array(flags, np.bool_))
        out.append(one)
    return out, points


def readings_of(stream: Stream, names: Sequence[str], begin: int = 0) -> Iterator[Reading]:
    """Its readings from ``begin`` on as messages; a value that was not measured is not there.

    Parameters
    ----------
    names
        Columns of the stream's values.
    begin
        Index of the first reading wanted.
    """
    for start in range(begin, len(stream.timestamps), _SLICE):
        end = start + _SLICE
        times = datetimes(stream.timestamps[start:end])
        for time, row in zip(times, stream.values[start:end].tolist(), strict=True):
            features = {name: v for name, v in zip(names, row, strict=True) if v == v}
            yield Reading(time, features)


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
