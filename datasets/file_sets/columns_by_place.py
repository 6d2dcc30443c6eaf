"""Check files whose columns have no names, and so are told by their places alone."""

from __future__ import annotations

from collections.abc import Sequence

from datasets.file_sets.parts import Part
from datasets.types import StreamKey, key_of
from errors import DatasetError


def check_places(parts: Sequence[Part]) -> None:
    """Reject files without names that would be one stream, and have unlike numbers of columns.

    Column 1 of a file of pressures and that of a file of temperatures would be one feature.

    Raises
    ------
    DatasetError
        Names two such files and the last column of each.
    """
    first: dict[StreamKey, Part] = {}
    for part in parts:
        for stream in part.data.streams:
            other = first.setdefault(key_of(stream), part)
            last, others = part.data.feature_names[-1], other.data.feature_names[-1]
            if last != others:
                raise DatasetError(
                    f"{part.shown} ends with column {last}, {other.shown} with {others}: without"
                    " names, columns of one asset are told by their places, which cannot be right"
                    " in both: give the files lines of names, or only those whose columns are alike"
                )
