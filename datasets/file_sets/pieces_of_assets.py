"""Join the pieces of each of several assets: a file per asset and day, or a folder per asset.

Where nothing but its name tells a file's asset, the day in it would make an asset of each piece.
Files are pieces of one asset if their names are the same without dates of their years and copies'
numbers, and they follow one another in time or hold the same readings where they overlap. Files of
one folder are, too, if nothing or as much is missing between all of them: those of experiments, or
of machines measured in turn, begin whenever they begin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from datasets.columns.roles import NAMED_BY_FILE
from datasets.file_sets.files_in_turn import follow_one_another
from datasets.file_sets.parts import Part, renamed, times_of, unnamed
from datasets.suffixes import bare_name

_SIGN: Final = r"[-_./ ]?"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"[-_./ T]?\d\d(?:[-_.h]?\d\d(?:[-_.m]?\d\d)?)?Z?"
#: Years, months, days and times of the day in a path, and the number of a copy: (2).
_DATE: Final = re.compile(
    rf"(?<!\d)(?:(?P<first>(?:19|20)\d\d)(?:{_SIGN}{_MONTH}(?:{_SIGN}{_DAY}(?:{_CLOCK})?)?)?"
    rf"|{_DAY}[-_.]{_MONTH}[-_.](?P<last>(?:19|20)\d\d)(?:{_CLOCK})?)(?!\d)"
    r"| ?\(\d+\)$"
)
_EARLY: Final = np.timedelta64(1, "D")  # the day in a name is that of the plant
_LATE: Final = np.timedelta64(31, "D")  # or the day or month of the export
_LEAST: Final = 5  # files, of which one can say that they begin at regular times
_REGULAR: Final = 1.5  # longest time between two beginnings, in usual ones
_HOLES: Final = 2  # longest time between two pieces, in longest times between readings of a piece
_SIGNS: Final = re.compile(r"([-_. /])[-_. /]+")


def joined_pieces(
    files: Mapping[Path, Sequence[Part]],
) -> tuple[Mapping[Path, Sequence[Part]], list[str]]:
    """Return the files, those of one asset under its name, and a note on them.

    Parameters
    ----------
    files : what was read, by file.

    Returns
    -------
    tuple
        The files, as they were if these rules do not make several assets of them all.
    """
    single = {path: found[0] for path, found in files.items() if len(found) == 1}
    if len(single) < max(len(files), 3) or not all(map(unnamed, single.values())):
        return files, []
    if follow_one_another([*single.values()]) is not None:
        return files, []  # of one asset, perhaps: that is pointed out
    top = os.path.commonpath([path.parent.resolve() for path in single])
    how = "their names without dates"
    assets = _assets(single, Path(top), _undated)
    if assets is None:
        how, assets = "their folders", _assets(single, Path(top), _folder)
        pieces = [[single[path] for path in paths] for paths in (assets or {}).values()]
        if not all(map(_continue, pieces)):
            return files, []
    if assets is None:
        return files, []
    kept = {path: [_of_asset(single[path], asset)]
            for asset, paths in assets.items() for path in paths}  # fmt: skip
    counts = ", ".join(f"{asset}: {len(paths)} files" for asset, paths in assets.items())
    note = (
        "no column names the asset, and files follow one another in time as pieces of several"
        f" assets: {how} are the assets ({counts[:200]})"
    )
    return {path: kept[path] for path in files}, [note]


def _of_asset(part: Part, asset: str) -> Part:
    """Return a part under the name of its asset, which is no longer that of its file."""
    named = renamed(part, asset, part.name)
    notes = [note for note in named.data.notes if note != NAMED_BY_FILE]
    return replace(named, data=replace(named.data, notes=notes))


def _undated(path: Path, part: Part) -> str:
    """Return a path without its suffix, dates of its readings, and the number of a copy."""
    times = times_of(part.data)
    span = np.array([times.min() - _EARLY, times.max() + _LATE])
    years = (span.astype("datetime64[Y]").astype(int) + 1970).tolist()

    def without(found: re.Match[str]) -> str:
        year = int(found["first"] or found["last"] or years[0])
        return "" if years[0] <= year <= years[1] else found[0]  # pump 2001 is no date

    text = _SIGNS.sub(r"\1", _DATE.sub(without, path.with_name(bare_name(path)).as_posix()))
    return text.strip("-_. /")


def _folder(path: Path, _: Part) -> str:
    return path.parent.as_posix().strip(".")


def _continue(parts: Sequence[Part]) -> bool:
    """Return whether pieces follow one another without a gap, or begin at regular times."""
    times = sorted((np.sort(times_of(part.data)) for part in parts), key=lambda one: one[0])
    starts = np.diff([one[0] for one in times]).astype(float)
    gaps = np.array([b[0] - a[-1] for a, b in pairwise(times)]).astype(float)
    longest = max(np.diff(one).astype(float).max(initial=0.0) for one in times)
    regular = len(parts) >= _LEAST and starts.max() <= _REGULAR * np.median(starts)
    return bool(regular or gaps.max(initial=0.0) <= _HOLES * longest)


def _assets(
    files: Mapping[Path, Part], top: Path, name_of: Callable[[Path, Part], str]
) -> dict[str, list[Path]] | None:
    """Return the files of each asset; None if they are no pieces of several assets.

    Parameters
    ----------
    files
        All files, each with one part.
    top
        The folder that all of them share.
    name_of
        Returns the asset of a path below that folder, and its part; '' if it has none.
    """
    assets: dict[str, list[Path]] = {}
    for path, part in files.items():
        assets.setdefault(name_of(path.resolve().relative_to(top), part), []).append(path)
    if "" in assets or not 1 < len(assets) < len(files):
        return None
    for paths in assets.values():
        if len(paths) > 1 and follow_one_another([files[path] for path in paths]) is None:
            return None
    return assets
