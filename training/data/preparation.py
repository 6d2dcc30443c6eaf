"""Prepare streams for a fit: treat missing values, and hold out the newest readings.

The policy for missing values, in this order:

1. a feature that is missing in more than half of a group's readings is not used;
2. a reading that lacks few of the other features (``--impute``, as live) keeps its holes: the fit
   imputes them, and scoring those of the held-out part, as live;
3. a reading that lacks more is left out;
4. if too few readings are left, the fit fails and names the features to blame.

``missing="refuse"`` fails at the first missing value instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from datasets import Stream, key_of, one_value_per_row
from errors import TrainingError

#: Minimum number of readings for a fit.
MIN_ROWS = 60
#: A feature missing in a larger share of readings is not used.
MAX_MISSING = 0.5
#: Advice where a reading has the value of one sensor.
_JOINS = "each row holds the value of one sensor: --one-file-per feature joins them by time"


@dataclass(slots=True)
class Prepared:
    """Streams, each cut into the part to fit on and the held-out part; both may lack few values.

    Parameters
    ----------
    feature_names : columns of every stream.
    streams : both parts of each stream.
    cut : number of first readings of each stream to fit on; the rest is held out.
    notes : what was left out or lacks values.
    """

    feature_names: list[str]
    streams: list[Stream]
    cut: list[int]
    notes: list[str] = field(default_factory=list)

    @property
    def training(self) -> list[Stream]:
        """Return the first part of each stream that has one."""
        return [s.take(slice(k)) for s, k in zip(self.streams, self.cut, strict=True) if k]

    @property
    def held_out(self) -> int:
        """Return the number of readings held out, over all streams."""
        return sum(len(s.timestamps) - k for s, k in zip(self.streams, self.cut, strict=True))


def prepare(
    streams: Sequence[Stream],
    feature_names: Sequence[str],
    *,
    missing: str = "drop",
    holdout: float = 0.2,
    what: str = "data",
    imputed: Callable[[int], int] = lambda width: 0,
) -> Prepared:
    """Apply the policy for missing values, then hold out the newest readings.

    All streams are cut at the same moment, so that the fit never sees a time on which it is later
    evaluated. Streams whose times do not overlap are each cut at the same share instead. The share
    is of the readings as received, so the cut does not depend on how a file writes missing values.

    Parameters
    ----------
    streams : sequence of Stream
        Each in time order.
    feature_names : sequence of str
        Columns of every stream's ``values``.
    missing : {"drop", "impute", "refuse"}
        How to treat readings that lack a value.
    holdout : float
        Newest share of the readings to hold out.
    what : str
        Names the data in notes and errors.
    imputed : callable
        Maps the number of features to the maximum number imputed per reading.

    Raises
    ------
    TrainingError
        Too few readings, or missing values under ``missing="refuse"``.
    """
    kept, names, notes = without_missing(streams, feature_names, missing, what, imputed)
    rows = sum(len(s.timestamps) for s in kept)
    if rows < MIN_ROWS:
        raise TrainingError(f"{what}: {rows} readings are too few, at least {MIN_ROWS} needed")
    cut = _cut(kept, streams, holdout)
    if holdout > 0.0 and sum(cut) == rows:
        cut = _cut(kept, kept, holdout)
        notes.append(
            f"{what}: the newest readings lack values, so the newest complete ones are held out"
        )
    if sum(cut) < MIN_ROWS:
        cut = [len(s.timestamps) for s in kept]
        notes.append(f"{what}: too few readings to hold any out for testing")
    return Prepared(names, kept, cut, notes + lacking_few(kept, cut, what))


def without_labelled(streams: Sequence[Stream]) -> tuple[list[Stream], list[str]]:
    """Return the streams without readings labelled faulty, and a note on those left out."""
    kept, gone, total = [], 0, 0
    for stream in streams:
        total += len(stream.timestamps)
        if stream.labels is not None and (stream.labels > 0).any():
            normal = stream.labels <= 0
            gone += int((~normal).sum())
            stream = stream.take(normal)
        if len(stream.timestamps):
            kept.append(stream)
    note = (
        f"{gone:,} of {total:,} training readings are labelled faulty and were left out"
        " (--keep-labelled keeps them)"
    )
    return kept, [note] if gone else []


def lacking_few(streams: Sequence[Stream], cut: Sequence[int], what: str) -> list[str]:
    """Return a note on training readings that lack values, if any does.

    Parameters
    ----------
    streams : each in time order.
    cut : number of first readings of each stream that are trained on.
    what : names the data in the note.
    """
    parts = (np.isnan(s.values[:k]).any(axis=1) for s, k in zip(streams, cut, strict=True))
    filled = sum(int(part.sum()) for part in parts)
    if not filled:
        return []
    return [
        f"{what}: {filled} training readings lack a few values, which were imputed from the other"
        " features (--impute)"
    ]


def without_missing(
    streams: Sequence[Stream],
    feature_names: Sequence[str],
    missing: str,
    what: str,
    imputed: Callable[[int], int] = lambda width: 0,
) -> tuple[list[Stream], list[str], list[str]]:
    """Return streams and features left after the policy, and notes on what was removed.

    Parameters
    ----------
    streams, feature_names, missing, what, imputed
        Those of :func:`prepare`.
    """
    sizes = [len(s.timestamps) for s in streams]
    rows, absent = sum(sizes), lacking(streams, sizes)
    if not absent.any():
        return list(streams), list(feature_names), []
    if missing == "refuse":
        worst = _worst(feature_names, absent, rows)
        raise TrainingError(f"{what}: values are missing, most of {worst}")
    notes = []
    use = np.flatnonzero(absent <= MAX_MISSING * rows).tolist()
    if not use:
        raise none_left(what, streams)
    if len(use) < len(feature_names):
        gone = [name for name, n in zip(feature_names, absent, strict=True)
                if n > MAX_MISSING * rows]  # fmt: skip
        advice = f" ({_JOINS})" if _one_value_per_row(streams) else ""
        notes.append(f"{', '.join(gone)}: mostly missing, not used{advice}")
    kept, left = with_enough(streams, sizes, use, imputed(len(use)))
    kept = [stream for stream in kept if len(stream.timestamps)]
    if sum(left) < MIN_ROWS:
        used = [feature_names[j] for j in use]
        raise too_few_left(what, sum(left), used, absent[use], rows)
    if sum(left) < rows:
        few = too_much(imputed(len(use)))
        notes.append(f"{rows - sum(left)} of {rows} readings lack {few} and were left out")
    return kept, [feature_names[j] for j in use], notes


def none_left(what: str, streams: Sequence[Stream]) -> TrainingError:
    """Return the error of data without a feature to use, and what helps."""
    advice = f"; {_JOINS}" if _one_value_per_row(streams) else ""
    return TrainingError(
        f"{what}: every feature is missing in more than half of the readings{advice}"
    )


def _one_value_per_row(streams: Sequence[Stream]) -> bool:
    return all(one_value_per_row(s.values) for s in streams if len(s.timestamps))


def too_few_left(
    what: str, left: int, names: Sequence[str], absent: NDArray[np.int64], rows: int
) -> TrainingError:
    """Return the error of data of which too few readings lack no value, or few.

    Parameters
    ----------
    what : names the data.
    left : number of readings left.
    names, absent : the features in use, and how many of the readings lack each of them.
    rows : number of all readings.
    """
    return TrainingError(
        f"{what}: {left} readings are left after those with missing values, at least"
        f" {MIN_ROWS} needed; most are missing of {_worst(names, absent, rows)}"
    )


def too_much(allowed: int) -> str:
    """Return what readings lack of which more than ``allowed`` values are missing."""
    return {0: "a value", 1: "more than one value"}.get(allowed, f"more than {allowed} values")


def _worst(names: Sequence[str], absent: NDArray[np.int64], rows: int) -> str:
    worst = int(np.argmax(absent))
    return f"{names[worst]!r} ({int(absent[worst])} of {rows} readings)"


def lacking(streams: Sequence[Stream], cut: Sequence[int]) -> NDArray[np.int64]:
    """Return how many of the readings before the cuts lack each feature: (d,)."""
    width = streams[0].values.shape[1] if streams else 0
    parts = (np.isnan(s.values[:k]).sum(axis=0) for s, k in zip(streams, cut, strict=True))
    return sum(parts, np.zeros(width, np.int64))


def with_enough(
    streams: Sequence[Stream], cut: Sequence[int], use: list[int], max_missing: int
) -> tuple[list[Stream], list[int]]:
    """Drop readings before the cuts that lack too many values; return streams and new cuts.

    Parameters
    ----------
    streams, cut
        Streams, and the number of first readings of each to check.
    use
        Indices of the features to keep.
    max_missing
        Maximum number of missing values per reading.
    """
    out, cuts = [], []
    for stream, k in zip(streams, cut, strict=True):
        values = stream.values[:, use]
        keep = np.ones(len(values), bool)
        keep[:k] = np.isnan(values[:k]).sum(axis=1) <= max_missing
        out.append(replace(stream, values=values).take(keep))
        cuts.append(int(keep[:k].sum()))
    return out, cuts


def _cut(kept: list[Stream], streams: Sequence[Stream], holdout: float) -> list[int]:
    """Return how many readings of each kept stream are older than the held-out share."""
    if holdout <= 0:
        return [len(s.timestamps) for s in kept]
    starts = np.array([s.timestamps[0] for s in streams])
    ends = np.array([s.timestamps[-1] for s in streams])
    times = [s.timestamps for s in streams]
    if starts.max() < ends.min():
        times = [np.sort(np.concatenate(times))] * len(streams)
    moments = {
        key_of(s): own[int(len(own) * (1 - holdout))] for s, own in zip(streams, times, strict=True)
    }
    return [int(np.searchsorted(s.timestamps, moments[key_of(s)])) for s in kept]
