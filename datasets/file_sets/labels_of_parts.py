"""Decide over all files together what their labels mean: of -1 and 1, a file may have one only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from datasets.columns.labels import UNKNOWN, read_labels
from datasets.types import Dataset, Stream


def with_common_labels(
    parts: Sequence[Dataset], name: str
) -> tuple[list[Dataset], list[str], set[str]]:
    """Return the parts with labels as all of their texts together tell, and what changes in notes.

    Parameters
    ----------
    parts
        The files, each with labels as it alone tells.
    name
        The column of labels, for notes.

    Returns
    -------
    tuple
        The parts; notes on all of them together; and the notes of single parts that these replace.
        Both are empty if each part alone is read alike.
    """
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.label_counts)
    common, notes = read_labels(counts, name)
    out, former = [], set()
    for part in parts:
        own, notes_of_part = read_labels(part.label_counts, name)
        former.update(notes_of_part)
        if any(common[text] != value for text, value in own.items()):
            streams = [_read_again(stream, own, common) for stream in part.streams]
            part = replace(part, streams=streams)
        out.append(part)
    if all(one is other for one, other in zip(out, parts, strict=True)):
        return list(parts), [], set()
    return out, notes, former


def _read_again(stream: Stream, own: Mapping[str, int], common: Mapping[str, int]) -> Stream:
    """Return a stream whose labels have the common meaning, unknown where that is lost."""
    labels = stream.labels
    if labels is None:
        labels = np.full(len(stream.timestamps), UNKNOWN, np.int8)
    again = labels.copy()
    for value in set(own.values()):
        meant = {common[text] for text, known in own.items() if known == value}
        again[labels == value] = meant.pop() if len(meant) == 1 else UNKNOWN
    return replace(stream, labels=again)
