"""Read several files, or sheets of a workbook, as one set of streams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations, islice
from pathlib import Path
from typing import Final

import numpy as np

from datasets import reader
from datasets.channels.joined_sensors import hint, joined_by_time, with_features
from datasets.columns.roles import NAMED_BY_FILE
from datasets.file_sets.columns_by_place import check_places
from datasets.file_sets.counted_in_turn import in_turn
from datasets.file_sets.equal_names import told_apart
from datasets.file_sets.files_in_turn import pieces_hint
from datasets.file_sets.found_files import files_of
from datasets.file_sets.label_files import without_label_files
from datasets.file_sets.labels_of_parts import with_common_labels
from datasets.file_sets.overlaps import joined_streams
from datasets.file_sets.partition_folders import named_by_folders
from datasets.file_sets.parts import Part, Parts, parts_of, single
from datasets.file_sets.pieces_of_assets import joined_pieces
from datasets.file_sets.units_of_parts import compare_units
from datasets.format import FEATURE, FileFormat
from datasets.sampled_columns import plain_name
from datasets.suffixes import bare_name
from datasets.times.far_times import clock_note, never_set
from datasets.times.row_order import LOOKED_AT, SORTED, goes_back
from datasets.types import Dataset, Reading, Stream, StreamKey, key_of, named
from datasets.values.units import differ
from errors import DatasetError, MissingColumn

#: A unit behind a name.
_UNIT_IN_NAME: Final = re.compile(r"[(\[].*$")
#: Note on an asset that has its folder's name.
_NAMED_BY_FOLDER: Final = NAMED_BY_FILE.replace("file's", "folder's")


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
    assets, its name is the asset id (see :mod:`datasets.file_sets.equal_names`). The sheets of a
    workbook are like files (:mod:`datasets.file_sets.parts`). If each file is a sensor
    (``one_file_per``), see :mod:`datasets.channels.joined_sensors`.

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
        whole = _parts(paths[0], None, feature_names, form, group)
        if len(whole.found) == 1 and not whole.problems:
            (part,) = whole.found
            return replace(part.data, notes=[*whole.notes, *part.data.notes])
        found, notes = whole.found, _notes(paths[0], whole)
    else:
        assets = {path: bare_name(path) for path in paths}
        files, notes, problems = _loaded(assets, feature_names, form, group)
        files, labels = without_label_files(files, paths)
        if not files:
            raise problems[0]
        pieces, joined = joined_pieces(files)
        if joined:
            notes = [note for note in notes if not note.endswith(NAMED_BY_FILE)]
        found, apart = told_apart(pieces)
        notes += [*labels, *joined, *apart, *pieces_hint(found)]
    if form is not None and not form.header:
        check_places(found)
    parts = [part.data for part in found]
    what = "file" if len(paths) > 1 else "sheet"
    label = (form.role("label") if form is not None else None) or "label"
    parts, common, former = with_common_labels(parts, label)
    notes = [note for note in notes if not any(note.endswith(f": {each}") for each in former)]
    notes += [f"all {what}s: {note}" for note in common]
    if advice := hint(parts):
        notes.append(advice.replace("file holds", f"{what} holds"))
    names = list(dict.fromkeys(name for part in parts for name in part.feature_names))
    partial = [n for n in names if not all(n in part.feature_names for part in parts)]
    if partial:
        notes.append(
            f"{', '.join(partial)[:200]}: not in each of the {what}s; where one is absent, its"
            f" values are missing{_alike(partial, parts)}"
        )
    notes += [*_unlike_units(found), *compare_units(found)]
    notes += _unlike_offsets(found, form)
    parts, turns = in_turn(parts, [part.shown for part in found], what)
    streams, twice = joined_streams(parts, names, what)
    streams, unset = _without_unset_clocks(streams, form is not None and form.drop_far_times)
    notes += [*unset, *turns, *twice]
    return Dataset(names, streams, _gathered(notes), _groups(parts, group))


def readings(
    path: Path | str,
    feature_names: str | Sequence[str] | None = None,
    form: FileFormat | None = None,
    *,
    report: Callable[[str], None] | None = None,
    by_time: bool = False,
) -> Iterator[Reading]:
    """Stream a file's readings, or those of a folder with one file per sensor.

    Of several sheets of a workbook, of files of sensors and of rows to be sorted, all readings are
    held in memory.

    Parameters
    ----------
    path
        The file; with ``one_file_per`` feature a folder or a glob pattern.
    feature_names, form, report
        Those of :func:`datasets.reader.readings`.
    by_time
        If rows are not in order of time, as where the newest comes first, sort them.

    Raises
    ------
    DatasetError
        At the first ``next``, or at an unreadable row, whose number is named.
    """
    sensors = form is not None and form.one_file_per == FEATURE
    one = None if sensors else single(Path(path), form)
    if one is not None:
        notes: list[str] = []
        rows = reader.readings(one, feature_names, form, report=notes.append)
        first = [*islice(rows, LOOKED_AT)] if by_time else []
        if not goes_back(first):
            yield from chain(first, rows)
            if report is not None:
                for note in notes:
                    report(note)
            return
        if report is not None:
            report(SORTED)
    paths = files_of(str(path))
    if not paths:
        raise DatasetError(f"no file matches {str(path)!r}")
    yield from reader.readings_of(load_files(paths, feature_names, form), report)


def _loaded(
    assets: Mapping[Path, str],
    feature_names: str | Sequence[str] | None,
    form: FileFormat | None,
    group: str | None,
) -> tuple[dict[Path, list[Part]], list[str], list[DatasetError]]:
    """Return what each file holds that can be read, notes on all, and the errors of the others.

    Parameters
    ----------
    assets
        The asset of each file, if neither the file nor ``form`` names one.
    feature_names, form, group
        Those of :func:`datasets.reader.load`.
    """
    parts: dict[Path, list[Part]] = {}
    notes: list[str] = []
    problems: list[DatasetError] = []
    unlabelled: dict[Path, DatasetError] = {}
    alike = Counter(path.name for path in assets)
    for path, asset in assets.items():
        try:
            try:
                found = _parts(path, asset, feature_names, form, group)
            except DatasetError as error:
                if form is None or not _lacks_label(error, form):
                    raise
                found = _parts(path, asset, feature_names, form.without_label(), group)
                streams = [stream for part in found.found for stream in part.data.streams]
                if any(stream.labels is not None for stream in streams):
                    raise  # its labels may mean something else than those of the column
                unlabelled[path] = error
                found.notes.append(f"has no column {form.role('label')!r}: no reading has a label")
        except DatasetError as error:
            if alike[path.name] > 1 and error.message.startswith(path.name):
                error = DatasetError(f"{path.parent.name}/{error.message}", field=error.field)
            problems.append(error)
            notes.append(f"left out: {error.message}")
            continue
        parts[path] = found.found
        notes += _notes(path, found)
    if not parts:
        raise problems[0]
    if all(path in unlabelled for path in parts):
        raise next(iter(unlabelled.values()))  # a mistyped name
    return parts, notes, problems


def _lacks_label(error: DatasetError, form: FileFormat) -> bool:
    """Return whether a file cannot be read only since it lacks the column of labels.

    One whose column is written otherwise (Event for event) has it: it would become a feature.
    """
    if not isinstance(error, MissingColumn) or error.name != form.role("label"):
        return False
    return (error.meant or "").casefold() != error.name.casefold()


def _parts(
    path: Path,
    asset: str | None,
    feature_names: str | Sequence[str] | None,
    form: FileFormat | None,
    group: str | None,
) -> Parts:
    """Return the parts of a file, whose asset the folders of a partitioned table may name.

    Parameters
    ----------
    path, asset
        The file, and the asset if neither it, its folders nor ``form`` names one.
    feature_names, form, group
        Those of :func:`datasets.reader.load`.
    """
    folders = named_by_folders(path, form)
    if folders is None:
        return parts_of(path, feature_names, form, group=group, asset=asset)
    own = folders.without_columns(form)
    found = parts_of(path, feature_names, own, group=group, asset=folders.asset[1])
    return replace(found, found=[folders.applied(part) for part in found.found])


def _notes(path: Path, parts: Parts) -> list[str]:
    """Return the notes on the parts of a file, each with the name of what it is about."""
    return [
        *(f"{path.name}: {note}" for note in parts.notes),
        *(f"left out: {error.message}" for error in parts.problems),
        *(f"{part.shown}: {note}" for part in parts.found for note in part.data.notes),
    ]


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
    files, notes, _ = _loaded(folders, None, form, group)
    parts = [part for found in files.values() for part in found]
    data = joined_by_time([part.name for part in parts], [part.data for part in parts])
    found = [note.replace(NAMED_BY_FILE, _NAMED_BY_FOLDER) for note in _gathered(notes)]
    return with_features(replace(data, notes=[*found, *data.notes]), feature_names)


def _alike(partial: Sequence[str], parts: Sequence[Dataset]) -> str:
    """Return a hint at two names of what may be one feature: Vib and vib, Temp and Temp [°C]."""
    known: dict[str, str] = {}
    for name in partial:
        plain = plain_name(_UNIT_IN_NAME.sub("", name)) or name
        other = known.setdefault(plain, name)
        both = any(other in part.feature_names and name in part.feature_names for part in parts)
        if other != name and not both:
            units = [each.removeprefix(_UNIT_IN_NAME.sub("", each)) for each in (other, name)]
            do = "convert one and give both" if all(units) and differ(*units) else "give it"
            return f" (if {other!r} and {name!r} are one feature, {do} one name)"
    return ""


def _unlike_units(parts: Sequence[Part]) -> list[str]:
    """Return notes on features that the parts hold in different units, such as bar and mbar.

    Raises
    ------
    DatasetError
        One stream has values of both units.
    """
    parts_by_units: dict[str, dict[tuple[str, ...], list[Part]]] = {}
    for part in parts:
        for name, units in part.data.units.items():
            parts_by_units.setdefault(name, {}).setdefault(tuple(units), []).append(part)
    notes = []
    for name, by_units in parts_by_units.items():
        for here, there in combinations(by_units, 2):
            pairs = [
                (one, other) for one in here for other in there
                if differ(one, other) and one not in there and other not in here
            ]  # fmt: skip
            if not pairs:
                continue
            (one, other), *_ = pairs
            first, second = by_units[here], by_units[there]
            note = f"{name}: in {one!r} in {first[0].shown}, in {other!r} in {second[0].shown}"
            if _keys(first) & _keys(second):
                raise DatasetError(
                    f"{note}: convert one of them, or --exclude {name!r} leaves the column out",
                    field=name,
                )
            notes.append(f"{note}; the values are used as they are")
    return notes


def _unlike_offsets(parts: Sequence[Part], form: FileFormat | None) -> list[str]:
    """Return a note if the times of some parts have no offset, and those of others have one."""
    local = [part for part in parts if part.data.local and not part.data.universal]
    other = [part for part in parts if part.data.universal]
    if not local or not other:
        return []
    where = (form.time_zone if form is not None else None) or "UTC (--time-zone names another)"
    return [
        f"the times of {local[0].shown}{_and_more(local)} have no offset, those of"
        f" {other[0].shown}{_and_more(other)} have one: read in {where}"
    ]


def _and_more(parts: Sequence[Part]) -> str:
    return f" and {len(parts) - 1} more" if len(parts) > 1 else ""


def _keys(parts: Sequence[Part]) -> set[StreamKey]:
    return {key_of(stream) for part in parts for stream in part.data.streams}


def _without_unset_clocks(streams: list[Stream], drop: bool) -> tuple[list[Stream], list[str]]:
    """Return the streams, on request without those of clocks never set, and a note on these."""
    if not any(len(stream.timestamps) for stream in streams):
        return streams, []
    times = np.concatenate([stream.timestamps for stream in streams])
    number = np.repeat(np.arange(len(streams)), [len(stream.timestamps) for stream in streams])
    unset = never_set(times, number)
    if not unset.any():
        return streams, []
    odd = {int(i) for i in np.unique(number[unset])}
    names = [named((streams[i].asset_id, streams[i].sensor_id)) for i in sorted(odd)]
    kept = [stream for i, stream in enumerate(streams) if not (drop and i in odd)]
    return kept, [clock_note(names, times[unset], drop)]


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
