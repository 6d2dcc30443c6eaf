"""Read several files, given by a folder or a glob pattern, as one set of streams."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets import reader
from datasets.format import FEATURE, FileFormat, names_in
from datasets.joined_sensors import hint, joined_by_time
from datasets.reader import load, without_repetitions
from datasets.suffixes import bare_name, is_data
from datasets.types import Dataset, Reading, Stream, StreamKey
from errors import DatasetError


def files_of(spec: str) -> list[Path]:
    """Return the sorted files of a file name, a folder or a glob pattern.

    Raises
    ------
    DatasetError
        The folder has no such file.
    """
    path = Path(spec)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(name for name in path.iterdir() if is_data(name))
        if not found:
            raise DatasetError(f"folder {spec!r} holds no .csv, .json, .parquet or .xlsx file")
        return found
    found = sorted(Path(name) for name in glob.glob(spec, recursive=True))
    return [name for name in found if name.is_file()]


def load_files(
    paths: Sequence[Path],
    feature_names: str | Sequence[str] | None = None,
    form: FileFormat | None = None,
    *,
    group: str | None = None,
) -> Dataset:
    """Read files as one data set; unreadable files are left out, with a note.

    A stream that continues in another file is joined in order of time; readings that occur in two
    files count once. A feature that a file lacks is missing there. If a file has no column of
    assets, its name is the asset id. If each file is a sensor (``one_file_per``), see
    :mod:`datasets.joined_sensors`.

    Parameters
    ----------
    paths
        The files.
    feature_names, form, group
        Those of :func:`datasets.reader.load`.

    Raises
    ------
    DatasetError
        None of the files can be read.
    """
    if form is not None and form.one_file_per == FEATURE:
        return _of_sensors(paths, feature_names, form, group)
    if len(paths) == 1:
        return load(paths[0], feature_names, form, group=group)
    found, notes = _loaded({path: bare_name(path) for path in paths}, feature_names, form, group)
    parts = list(found.values())
    if advice := hint(parts):
        notes.append(advice)
    names = list(dict.fromkeys(name for part in parts for name in part.feature_names))
    partial = [n for n in names if not all(n in part.feature_names for part in parts)]
    if partial:
        notes.append(
            f"{', '.join(partial)[:200]}: not in each of the files; where one is absent, its values"
            " are missing"
        )
    streams, repeated = _joined(parts, names)
    if repeated:
        notes.append(
            f"{repeated:,} readings occur in more than one file (time and values): counted once"
        )
    return Dataset(names, streams, _gathered(notes), _groups(parts, group))


def readings(
    path: Path | str,
    feature_names: str | Sequence[str] | None = None,
    form: FileFormat | None = None,
    *,
    report: Callable[[str], None] | None = None,
) -> Iterator[Reading]:
    """Stream a file's readings, or those of a folder with one file per sensor.

    Parameters
    ----------
    path
        The file; with ``one_file_per`` feature a folder or a glob pattern, which is held in memory.
    feature_names, form, report
        Those of :func:`datasets.reader.readings`.

    Raises
    ------
    DatasetError
        At the first ``next``, or at an unreadable row, whose number is named.
    """
    if form is None or form.one_file_per != FEATURE:
        yield from reader.readings(path, feature_names, form, report=report)
        return
    paths = files_of(str(path))
    if not paths:
        raise DatasetError(f"no file matches {str(path)!r}")
    yield from reader.readings_of(load_files(paths, feature_names, form), report)


def _loaded(
    assets: Mapping[Path, str],
    feature_names: str | Sequence[str] | None,
    form: FileFormat | None,
    group: str | None,
) -> tuple[dict[Path, Dataset], list[str]]:
    """Return what the files hold that can be read, and notes on all of them.

    Parameters
    ----------
    assets
        The asset of each file, if neither the file nor ``form`` names one.
    feature_names, form, group
        Those of :func:`datasets.reader.load`.
    """
    parts: dict[Path, Dataset] = {}
    notes: list[str] = []
    problems: list[DatasetError] = []
    for path, asset in assets.items():
        try:
            part = load(path, feature_names, form, group=group, asset=asset)
        except DatasetError as error:
            problems.append(error)
            notes.append(f"left out: {error.message}")
            continue
        parts[path] = part
        notes += [f"{path.name}: {note}" for note in part.notes]
    if not parts:
        raise problems[0]
    return parts, notes


def _of_sensors(
    paths: Sequence[Path],
    feature_names: str | Sequence[str] | None,
    form: FileFormat,
    group: str | None,
) -> Dataset:
    """Read files of one sensor each as the features of one asset, by default named by the folder.

    Parameters
    ----------
    paths
        The files.
    feature_names, form, group
        Those of :func:`datasets.reader.load`.
    """
    folders = {path: path.resolve().parent.name for path in paths}
    parts, notes = _loaded(folders, None, form, group)
    data = joined_by_time([bare_name(path) for path in parts], list(parts.values()))
    found = [note.replace("the file's name", "the folder's name") for note in _gathered(notes)]
    data = replace(data, notes=[*found, *data.notes])
    if feature_names is None:
        return data
    names = names_in(feature_names, data.feature_names, "features")
    at = [data.feature_names.index(name) for name in names]
    streams = [replace(stream, values=stream.values[:, at]) for stream in data.streams]
    return replace(data, feature_names=names, streams=streams)


def _joined(parts: Sequence[Dataset], names: list[str]) -> tuple[list[Stream], int]:
    pieces: dict[StreamKey, list[Stream]] = {}
    for part in parts:
        for stream in part.streams:
            whole = _aligned(stream, part.feature_names, names)
            pieces.setdefault((stream.asset_id, stream.sensor_id), []).append(whole)
    out, repeated = [], 0
    for found in pieces.values():
        joined = _one(found)
        stream = without_repetitions(joined)
        repeated += len(joined.timestamps) - len(stream.timestamps)
        out.append(stream)
    return out, repeated


def _aligned(stream: Stream, have: list[str], names: list[str]) -> Stream:
    if have == names:
        return stream
    values = np.full((len(stream.timestamps), len(names)), np.nan)
    values[:, [names.index(name) for name in have]] = stream.values
    return replace(stream, values=values)


def _one(found: list[Stream]) -> Stream:
    if len(found) == 1:
        return found[0]
    times = np.concatenate([s.timestamps for s in found])
    labels = None
    if any(s.labels is not None for s in found):
        labels = np.concatenate(
            [np.full(len(s.timestamps), -1, np.int8) if s.labels is None else s.labels
             for s in found]
        )  # fmt: skip
    values = np.concatenate([s.values for s in found])
    whole = Stream(found[0].asset_id, found[0].sensor_id, times, values, labels)
    return whole.take(np.argsort(times, kind="stable"))


def _groups(parts: Sequence[Dataset], name: str | None) -> dict[StreamKey, str] | None:
    if name is None:
        return None
    out: dict[StreamKey, str] = {}
    for part in parts:
        for key, value in (part.groups or {}).items():
            if out.setdefault(key, value) != value:
                raise DatasetError(
                    f"column {name!r} changes within the stream {key[0]}"
                    f" ({out[key]!r}, {value!r}): a stream has one group",
                    field=name,
                )
    return out


def _gathered(notes: Sequence[str]) -> list[str]:
    """Join equal notes on several files."""
    files: dict[str, list[str]] = {}
    for note in notes:
        file, _, text = note.partition(": ")
        files.setdefault(text, []).append(file)
    out = []
    for text, names in files.items():
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        out.append(f"{shown}: {text}")
    return out
