"""Leave out files of labels alone, as ``test_label/machine-1-1.txt`` beside ``test/``.

Read as readings they would be assets of their own, whose only feature is the label.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from datasets.file_sets.parts import Part

_NAMED: Final = re.compile(r"(?:^|[\W_])(?:labels?|ground[_ -]?truth)(?:$|[\W_])", re.IGNORECASE)
#: Grades of a label, at most, in a file of labels.
_GRADES: Final = 20


def without_label_files(
    files: Mapping[Path, list[Part]], paths: Collection[Path]
) -> tuple[dict[Path, list[Part]], list[str]]:
    """Return the files without those of labels, and a note on these.

    A file holds labels if its name or its folder's says so, and all its values are a few whole
    numbers. If the names of all files say so, they tell nothing, and all are kept.

    Parameters
    ----------
    files
        What was read, by file.
    paths
        All files, also those that could not be read: the readings may be in these.
    """
    odd = [path for path, found in files.items() if _says_labels(path) and _are_grades(found)]
    if not odd or all(map(_says_labels, paths)):
        return dict(files), []
    shown = f"{odd[0].parent.name}/{odd[0].name}".removeprefix("/")
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    note = (
        f"left out: {shown}{more}: labels, by the name and the few whole numbers in it, and no"
        " readings: copy them into a column of the readings' files (--label COLUMN)"
    )
    return {path: parts for path, parts in files.items() if path not in odd}, [note]


def _says_labels(path: Path) -> bool:
    return any(map(_NAMED.search, (path.name, path.absolute().parent.name)))


def _are_grades(parts: Sequence[Part]) -> bool:
    """Return whether all values of a file are whole numbers, and few."""
    values = np.concatenate(
        [stream.values.ravel() for part in parts for stream in part.data.streams]
    )
    kinds = np.unique(values[~np.isnan(values)])
    return 0 < len(kinds) <= _GRADES and bool((kinds == np.round(kinds)).all())
