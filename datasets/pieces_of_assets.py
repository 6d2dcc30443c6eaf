"""Join the pieces of each of several assets: a file per asset and day, or a folder per asset.

Where nothing but its name tells a file's asset, the day in it would make an asset of each piece.
Files are pieces of one asset if their names, or only their folders, are the same without dates and
copies' numbers, and they follow one another in time or hold the same readings where they overlap.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from datasets.files_in_turn import follow_one_another
from datasets.parts import Part, renamed, unnamed
from datasets.roles import NAMED_BY_FILE
from datasets.suffixes import bare_name

_SIGN: Final = r"[-_./ ]?"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"[-_./ T]?\d\d(?:[-_.h]?\d\d(?:[-_.m]?\d\d)?)?Z?"
#: Years, months, days and times of the day in a path, and the number of a copy: (2).
_DATE: Final = re.compile(
    rf"(?<!\d)(?:(?:19|20)\d\d(?:{_SIGN}{_MONTH}(?:{_SIGN}{_DAY}(?:{_CLOCK})?)?)?"
    rf"|{_DAY}[-_.]{_MONTH}[-_.](?:19|20)\d\d(?:{_CLOCK})?)(?!\d)"
    r"| ?\(\d+\)$"
)
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


def _undated(path: Path) -> str:
    """Return a path without its suffix, dates, and the number of a copy."""
    text = _SIGNS.sub(r"\1", _DATE.sub("", path.with_name(bare_name(path)).as_posix()))
    return text.strip("-_. /")


def _folder(path: Path) -> str:
    return path.parent.as_posix().strip(".")


def _assets(
    files: Mapping[Path, Part], top: Path, name_of: Callable[[Path], str]
) -> dict[str, list[Path]] | None:
    """Return the files of each asset; None if they are no pieces of several assets.

    Parameters
    ----------
    files
        All files, each with one part.
    top
        The folder that all of them share.
    name_of
        Returns the asset of a path below that folder; '' if it has none.
    """
    assets: dict[str, list[Path]] = {}
    for path in files:
        assets.setdefault(name_of(path.resolve().relative_to(top)), []).append(path)
    if "" in assets or not 1 < len(assets) < len(files):
        return None
    for paths in assets.values():
        if len(paths) > 1 and follow_one_another([files[path] for path in paths]) is None:
            return None
    return assets
