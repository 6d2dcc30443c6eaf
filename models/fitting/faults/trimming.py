"""Leave unlabelled faults out of training, and say which and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Times
from models.fitting.faults.fault_search import find_faults
from models.fitting.faults.start_up import starts_of
from models.fitting.garbage.cleaning import Cleaned
from models.fitting.operation.recurrence import Event
from models.fitting.scaling import drift_is_fault, fit_scales

_NAMED: Final = 5  # maximum number of features of a mode in a note


def without_faulty(
    data: Cleaned,
    max_share: float,
    restated: Sequence[Floats] | None = None,
    healthy: Mapping[str, Times] | None = None,
) -> Cleaned:
    """Return the training data without unlabelled faults, with a note that names their rows.

    A fleet of short runs is returned unchanged: its units differ, so an event may be a unit.

    Parameters
    ----------
    data : training data without garbage, as received.
    max_share : largest share of the readings to leave out.
    restated : its readings less what is usual in their operating condition and at their time, by
        which events are judged; None: as received.
    healthy : times (m,) by stream at which people said that an alarm was false: no faults.
    """
    seen = data.streams if restated is None else list(restated)
    kept = fit_scales(seen, data.names).kept
    if not max_share or not kept or drift_is_fault(data.streams):
        return data
    clock = None if data.timestamps is None else [t.astype(np.float64) for t in data.timestamps]
    as_received = [s[:, kept] for s in data.streams]
    judged = [s[:, kept] for s in seen]
    found = find_faults(judged, max_share, clock, as_received)
    notes = [_described(mode, data, kept) for mode in found.modes]
    starts = starts_of(judged, found.faults, max_share)
    masks = [fault | start for fault, start in zip(found.faults, starts, strict=True)]
    well = _said_healthy(data, healthy or {})
    spared = [mask & said for mask, said in zip(masks, well, strict=True)]
    if many := sum(int(one.sum()) for one in spared):
        notes.append(
            f"{many:,} readings lie in events far beyond all others and are kept, since people"
            f" called these alarms false ({data.places.of(spared)})"
        )
    starts = [start & ~said for start, said in zip(starts, well, strict=True)]
    masks = [mask & ~said for mask, said in zip(masks, well, strict=True)]
    gone = sum(int(mask.sum()) for mask in masks)
    total = sum(map(len, data.streams))
    if gone:
        notes.append(
            f"{gone:,} of {total:,} readings lie in events far beyond all others and were left out"
            f" as faults that nobody labelled ({data.places.of(masks)}; --trim 0 keeps them)"
        )
    if found.kept:
        where = "more readings lie in such events" if gone else (
            f"of {total:,} readings lie in events far beyond all others"
        )  # fmt: skip
        notes.append(
            f"{found.kept:,} {where}, beyond the share of --trim: they were kept, and may hide"
            " faults; label them, leave them out, or give a larger --trim"
        )
    if not gone:
        return replace(data, notes=[*data.notes, *notes])
    if begun := sum(int(start.sum()) for start in starts):
        notes.append(
            f"{begun:,} of these begin their streams, which come to rest only afterwards: a"
            f" start-up ({data.places.of(starts)})"
        )
    left = [i for i, mask in enumerate(masks) if not mask.all()]
    times, holes = data.timestamps, data.holes
    return replace(
        data,
        streams=[data.streams[i][~masks[i]] for i in left],
        holes=None if holes is None else [holes[i][~masks[i]] for i in left],
        timestamps=None if times is None else [times[i][~masks[i]] for i in left],
        who=None if data.who is None else [data.who[i] for i in left],
        notes=[*data.notes, *notes],
    )


def _said_healthy(data: Cleaned, healthy: Mapping[str, Times]) -> list[Bools]:
    """Return at which readings (n_i,) of each stream people said that an alarm was false."""
    if not healthy or data.who is None or data.timestamps is None:
        return [np.zeros(len(stream), bool) for stream in data.streams]
    named = zip(data.who, data.timestamps, strict=True)
    return [np.isin(times, healthy.get(name, times[:0])) for name, times in named]


def _described(mode: list[Event], data: Cleaned, kept: Sequence[int]) -> str:
    """Return the note on a mode: where it is, at which level, and what to do if it is a fault."""
    masks = [np.zeros(len(stream), bool) for stream in data.streams]
    for event in mode:
        masks[event.stream][event.rows] = True
    values = np.concatenate([data.streams[e.stream][e.middle] for e in mode])
    moved = np.mean([event.moved for event in mode], axis=0) > 0.5
    named = [kept[j] for j in np.flatnonzero(moved).tolist()]
    level = [f"{data.names[j]} {np.median(values[:, j]):.4g}" for j in named[:_NAMED]]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    at = f"{', '.join(level)}{more}; " if level else ""
    note = (
        f"{len(mode)} events far beyond all others reach the same level"
        f" ({at}{data.places.of(masks)}): taken for a mode of normal operation and"
        " kept; if it is a fault, label it; a feature named by --condition gives it normal values"
        " of its own"
    )
    still = np.array([event.still for event in mode])
    if len(mode[0].middle) > 1 and (still == still[0]).all(axis=0).any():
        note += (
            "; it stands still there, as a machine that is off: an off condition"
            " (/api/v1/off-conditions) leaves such readings unjudged"
        )
    return note
