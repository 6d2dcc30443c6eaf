"""Tell files of one name in several folders apart: pump_1/data.csv is not pump_2/data.csv.

Where nothing but its name tells a file's asset, such files may be pieces of one series
(2025/pump.csv and 2026/pump.csv) or copies of one. Otherwise they are of several assets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from datasets.file_sets.parts import Part, one_after_another, renamed, times_of, unnamed
from datasets.suffixes import bare_name
from datasets.types import Dataset, Stream

#: Readings of a file, evenly spaced, that are looked for in another.
_COMPARED: Final = 1000


def told_apart(files: Mapping[Path, Sequence[Part]]) -> tuple[list[Part], list[str]]:
    """Return all parts, with the folder in the names of assets that only this tells apart.

    Parameters
    ----------
    files : what was read, by file.

    Returns
    -------
    tuple
        The parts, in order, and notes on those that were renamed.
    """
    parts = {path: list(found) for path, found in files.items()}
    alike: dict[str, list[Path]] = {}
    for path, found in parts.items():
        if len(found) == 1 and unnamed(found[0]):
            alike.setdefault(bare_name(path), []).append(path)
    notes = []
    for name, paths in alike.items():
        if len({path.parent for path in paths}) < len(paths):
            continue  # in one folder: pump.csv and pump.csv.gz
        if not _contradict([parts[path][0].data for path in paths]):
            continue
        assets = _with_folder(name, paths)
        for path, asset in zip(paths, assets, strict=True):
            (part,) = parts[path]
            shown = asset + path.name.removeprefix(name)
            parts[path] = [replace(renamed(part, asset, part.name), shown=shown)]
        notes.append(
            f"{len(paths)} files called {paths[0].name} have readings of the same time: their"
            f" folders are part of the assets' names ({', '.join(assets)[:100]}; --asset-id NAME"
            " reads them as one asset)"
        )
    return [part for found in parts.values() for part in found], notes


def _contradict(files: Sequence[Dataset]) -> bool:
    """Return whether files are neither pieces of one series nor copies of one another."""
    if len(files) < 2 or one_after_another([times_of(data) for data in files]):
        return False
    return not all(copies(one, other) for one, other in combinations(files, 2)
                   if not one_after_another([times_of(one), times_of(other)]))  # fmt: skip


def copies(one: Dataset, other: Dataset) -> bool:
    """Return whether most readings of the shorter of two files are in the other too."""
    shorter, longer = sorted((one, other), key=lambda data: len(times_of(data)))
    names = [name for name in shorter.feature_names if name in longer.feature_names]
    step = len(times_of(shorter)) // _COMPARED + 1
    few = [stream.take(slice(None, None, step)) for stream in shorter.streams]
    times = np.concatenate([stream.timestamps for stream in few])
    same = [stream.take(np.isin(stream.timestamps, times)) for stream in longer.streams]
    first = _readings(few, [shorter.feature_names.index(name) for name in names])
    both = first & _readings(same, [longer.feature_names.index(name) for name in names])
    return bool(names) and 2 * len(both) >= len(first)


def _readings(streams: Sequence[Stream], columns: Sequence[int]) -> set[Any]:
    return {
        (stream.sensor_id, time, values.tobytes())
        for stream in streams
        for time, values in zip(stream.timestamps.tolist(), stream.values[:, columns], strict=True)
    }


def _with_folder(name: str, paths: Sequence[Path]) -> list[str]:
    """Return a name for each path: its folders below the one that all of them share, and name."""
    folders = [path.parent.resolve() for path in paths]
    top = os.path.commonpath(folders)
    return [(folder.relative_to(top) / name).as_posix() for folder in folders]
