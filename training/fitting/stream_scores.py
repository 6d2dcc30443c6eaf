"""Score stretches of data exactly as the service does: the same pure function, in order.

Used for held-out data after a fit, for promotion and for the back-test. A stream's state and
window are carried from one call to the next, as the bridge carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

import numpy as np

from datasets import Stream
from models.detectors.base import MODEL_NAMES, Progress
from models.scoring.ensemble import Reading
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import Note, replay
from models.scoring.suppression import Suppression
from training.evaluation.measures import Scored

_SLICE = 4096
#: past readings replayed first, so that window, smoothing, baseline and tail are in swing
WARM_UP = 2000


def score_streams(
    model_set_of: Callable[[Stream], ModelSet],
    names: Sequence[str],
    streams: Sequence[Stream],
    policy: ScoringPolicy,
    *,
    skip: Sequence[int] | None = None,
    criticality: str = "medium",
    progress: Progress | None = None,
    stage: str = "scoring",
    stops: Sequence[Sequence[int]] | None = None,
    note: Callable[[int, int, dict[str, Any] | None, list[Reading]], None] | None = None,
    suppression: Suppression | None = None,
) -> list[Scored]:
    """Replay streams through :func:`models.scoring.ensemble.score`.

    Parameters
    ----------
    model_set_of : callable
        The model set a stream is scored by.
    names : sequence of str
        Columns of every stream's ``values``.
    streams : sequence of Stream
        What to score, each in time order.
    policy : ScoringPolicy
        Budgets, adaptation and the rest, as in the service.
    skip : sequence of int, optional
        How many first readings of each stream are past: the last WARM_UP of them are replayed,
        but not reported.
    criticality : str
        Of every asset; sets the threshold.
    progress, stage
        Where to report readings done.
    stops : sequence of sequences of int, optional
        Indexes of each stream, rising, none before what is reported, at which ``note`` is called:
        with the stream's number, the index, the state and the window there.
    suppression : Suppression, optional
        When alarms are none.
    """
    skips = list(skip) if skip is not None else [0] * len(streams)
    total = sum(len(s.timestamps) - k for s, k in zip(streams, skips, strict=True))
    done = 0
    out = []
    for i, (stream, past) in enumerate(zip(streams, skips, strict=True)):
        begin = max(0, past - WARM_UP)
        rows: list[dict[str, Any]] = []
        ids = (stream.asset_id, stream.sensor_id, None)
        halts = [index - begin for index in stops[i]] if stops else []
        noted = None if note is None else _with_stream(note, i, begin)
        for part in replay(
            model_set_of(stream), ids, readings_of(stream, names, begin), policy, criticality,
            halts, noted, suppression,
        ):  # fmt: skip
            rows += part
            if progress is not None:
                progress(stage, min(total, done + max(0, len(rows) + begin - past)), total, {})
        done += len(stream.timestamps) - past
        one = _scored(stream, past, rows[past - begin :])
        if suppression:
            flags = ["suppressed" in row.get("metadata", {}) for row in rows[past - begin :]]
            one = replace(one, suppressed=np.array(flags, np.bool_))
        out.append(one)
    return out


def _with_stream(
    note: Callable[[int, int, dict[str, Any] | None, list[Reading]], None], stream: int, begin: int
) -> Note:
    return lambda at, state, window: note(stream, begin + at, state, window)


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
        times = stream.timestamps[start:end].astype("datetime64[us]").tolist()
        for time, row in zip(times, stream.values[start:end].tolist(), strict=True):
            features = {name: v for name, v in zip(names, row, strict=True) if v == v}
            yield Reading(time.replace(tzinfo=UTC), features)


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
