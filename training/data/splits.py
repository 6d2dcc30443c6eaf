"""Split a back-test's data into training part and replayed part, asset by asset."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from datasets import Stream
from errors import InputError, TrainingError
from schemas import parse_timestamp
from training.data.preparation import (
    MAX_MISSING,
    MIN_ROWS,
    Prepared,
    lacking,
    lacking_few,
    none_left,
    too_few_left,
    too_much,
    with_enough,
)  # fmt: skip

#: Short ISO 8601 form of a day from 1970 on; a cut after twenty million rows is unlikely.
_DAY = re.compile(r"(19[7-9]|20\d)\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
#: A number of rows, or a moment.
Cut = int | np.datetime64


def parse_cut(text: str, zone: str | None = None) -> Cut:
    """Parse ``ROW`` (a number of readings per asset) or ``TIMESTAMP`` (ISO 8601).

    Eight digits that form a plausible day, such as 20260101, are a timestamp. One without an offset
    is a local time of the IANA ``zone``, as the file's are, or UTC.

    Raises
    ------
    InputError
        The text is neither.
    """
    if text.strip().isdecimal() and not _DAY.fullmatch(text.strip()):
        return int(text)
    try:
        at = parse_timestamp(text.strip(), "--train-until")
    except InputError:
        raise InputError(
            f"--train-until: {text!r} is neither a number of rows nor an ISO 8601 time"
        ) from None
    if zone is not None and datetime.fromisoformat(text.strip().upper()).tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return np.datetime64(at.replace(tzinfo=None), "us")


def training_sizes(streams: Sequence[Stream], cut: Cut) -> list[int]:
    """Return the number of training readings of each stream of ONE asset.

    If the cut is a number of rows, it counts the readings of all the asset's streams in order of
    time.
    """
    if isinstance(cut, int):
        if len(streams) == 1:
            return [min(cut, len(streams[0].timestamps))]
        times = np.sort(np.concatenate([s.timestamps for s in streams]))
        if cut >= len(times):
            return [len(s.timestamps) for s in streams]
        cut = times[cut]
    return [int(np.searchsorted(s.timestamps, cut)) for s in streams]


def prepared(
    streams: Sequence[Stream],
    cut: Sequence[int],
    names: Sequence[str],
    what: str,
    imputed: Callable[[int], int] = lambda width: 0,
) -> Prepared:
    """Prepare the streams' training parts as for a fit; the replayed parts stay as they are.

    Readings after the cut have no influence: the training part alone decides which features are
    dropped as mostly missing.

    Parameters
    ----------
    cut : sequence of int
        Number of training readings of each stream.
    streams, names, what, imputed
        Those of :func:`training.data.preparation.prepare`.

    Raises
    ------
    TrainingError
        Too few readings to train on.
    """
    rows = sum(cut)
    if rows < MIN_ROWS:
        raise TrainingError(f"{what}: {rows} training readings, at least {MIN_ROWS} are needed")
    absent = lacking(streams, cut)
    use = np.flatnonzero(absent <= MAX_MISSING * rows).tolist()
    if not use:
        raise none_left(what, streams)
    notes = []
    if len(use) < len(names):
        gone = [names[j] for j in range(len(names)) if j not in use]
        notes.append(f"{what}: {', '.join(gone)}: mostly missing before the cut, not used")
    allowed = imputed(len(use))
    out, cuts = with_enough(streams, cut, use, allowed)
    left = sum(cuts)
    if left < rows:
        few = too_much(allowed)
        notes.append(f"{what}: {rows - left} training readings lack {few} and were left out")
    if left < MIN_ROWS:
        used = [names[j] for j in use]
        raise too_few_left(what, left, used, absent[use], rows)
    return Prepared([names[j] for j in use], out, cuts, notes + lacking_few(out, cuts, what))


def by_asset(streams: Sequence[Stream]) -> dict[str, list[Stream]]:
    """Return the streams of each asset, assets in order of first appearance."""
    out: dict[str, list[Stream]] = {}
    for stream in streams:
        out.setdefault(stream.asset_id, []).append(stream)
    return out
