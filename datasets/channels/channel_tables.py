"""Read a table whose channels have times of their own, and join them by time.

Each channel is read like a file of one sensor, and they are joined like such files: see
:mod:`datasets.channels.joined_sensors`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from datasets.channels.channel_columns import Channel, channels_of, holds_numbers
from datasets.channels.channel_source import ChannelSource
from datasets.channels.joined_sensors import joined_columns, with_features
from datasets.columns.long_tables import may_name_machines
from datasets.files import OpenFile, naming, open_file
from datasets.format import FileFormat
from datasets.sampled_columns import plain_name
from datasets.source import Source, opened_source
from datasets.survey import survey
from datasets.types import Dataset, Stream
from datasets.values.units import bare
from datasets.workbooks.workbook import SheetText
from errors import DatasetError, UnclearTimes

#: Share of a channel's times that may not follow the one before (or, newest first, precede it).
_LEAPS: Final = 0.1
_SHOWN: Final = 3  # columns of times named in a note
#: Ends a note on empty rows, as are those below channels that end before others.
_EMPTY_ROWS: Final = "rows are empty and are left out"
#: Day and month in each other's place.
_SWAPPED: Final = str.maketrans("dm", "md")


@dataclass(frozen=True, slots=True)
class Table:
    """An open file, and its channels, if they have times of their own."""

    path: Path | SheetText
    source: Source
    channels: list[Channel]


def open_table(path: Path | SheetText, form: FileFormat | None) -> Table:
    """Open a file, and find out whether its channels have times of their own.

    Raises
    ------
    DatasetError
        The file cannot be read; the error names the file and the cause.
    """
    form = form or FileFormat()
    with naming(path):
        source = opened_source(path, form)
        channels = channels_of(source.columns, form)
        if channels and (label := form.role("label")) is not None:
            source.columns.index(label, "label")
        return Table(path, source, channels)


def read_channels(
    table: Table,
    wanted: str | Sequence[str] | None,
    form: FileFormat | None,
    asset: str | None,
    load: Callable[[OpenFile, FileFormat], Dataset],
) -> Dataset:
    """Read the channels of a table, and join them by time.

    Parameters
    ----------
    table
        The table.
    wanted
        The features, as a list or as typed; None: all.
    form
        Format options.
    asset
        Asset id, if ``form`` gives none.
    load
        Reads what is open, by its options.

    Raises
    ------
    DatasetError
        A channel cannot be read, nothing tells two of them apart, or their times do not run on.
    """
    names = table.source.columns.names
    filled = [channel for channel in table.channels if channel.values]
    titles = [channel.name or _title(table.source, channel) for channel in filled]
    form = form or FileFormat()
    with naming(table.path):
        if not (form.asset_id or asset):
            raise DatasetError(
                "no column names the asset of its channels, which have times of their own:"
                " --asset-id NAME gives it",
                field="asset_id",
            )
        if form.asset_id is None:
            _check_machines(table.source, filled)
        files = _opened(table, filled, titles, form, asset)
        parts: list[Dataset] = []
        for channel, title, (file, own) in zip(filled, titles, files, strict=True):
            with naming(table.path, title):
                part = load(file, own)
                _check_order(part.streams)
            parts.append(_renamed(part, channel))
        _check_names(parts)
        data = joined_columns(parts)
    notes = [*table.source.notes, _note(table, filled), *_gathered(titles, parts), *data.notes]
    if len(filled) < len(table.channels):
        empty = [names[c.times[0]] for c in table.channels if not c.values]
        notes.append(f"{', '.join(empty)[:200]}: no value in the columns after it: left out")
    return with_features(_with_sums(replace(data, notes=notes), parts), wanted)


def _title(source: Source, channel: Channel) -> str:
    """Return how messages call a channel: as its first column of numbers."""
    columns = source.columns
    which = (index for index in channel.values if holds_numbers(columns, index))
    return columns.names[next(which, channel.values[0])]


def _check_machines(source: Source, channels: Sequence[Channel]) -> None:
    """Refuse channels of several machines, which would be read as one asset."""
    columns = source.columns
    kinds: dict[str, dict[str, None]] = {}
    for index in (index for channel in channels for index in channel.values):
        name = plain_name(columns.names[index])
        if may_name_machines(name) and not name.startswith("unit"):  # of measurement
            kinds.setdefault(columns.names[index], {}).update(dict.fromkeys(columns.filled(index)))
    for name, found in kinds.items():
        if len(found) > 1:
            raise DatasetError(
                f"column {name!r} of the channels may name several assets"
                f" ({', '.join(found)[:80]}), which would be read as one: save those of each as a"
                " file, or --asset-id NAME says that all are of one",
                field="asset_id",
            )


def _opened(
    table: Table,
    channels: Sequence[Channel],
    titles: Sequence[str],
    form: FileFormat,
    asset: str | None,
) -> list[tuple[OpenFile, FileFormat]]:
    """Open each channel, with its own options; one alone may not tell the day from the month.

    Parameters
    ----------
    table, channels, titles
        The table, those of its channels that have values, and how messages call them.
    form, asset
        Those of :func:`read_channels`.
    """
    source = table.source
    held = list(source.batches(range(len(source.columns.names))))
    source.lines.check(sum(batch.num_rows for batch in held) + len(source.lines.rows))
    values = [index for channel in channels for index in channel.values]
    seen = survey(held, [], [], [p for p in values if p not in source.columns.nested])
    decimals = source.columns.decimals
    decimals.add({index: bare(list(cells)) for index, cells in seen.separated.items()})
    form = replace(form, exclude=())
    own = [_own_form(source, channel, form) for channel in channels]

    def opened(number: int, form: FileFormat) -> OpenFile:
        part = ChannelSource(source, held, channels[number])
        with naming(table.path, titles[number]):
            return open_file(table.path, form, None, None, asset, part)

    files: dict[int, OpenFile] = {}
    unclear: dict[int, UnclearTimes] = {}
    for number, options in enumerate(own):
        try:
            files[number] = opened(number, options)
        except UnclearTimes as error:
            unclear[number] = error
    known = {file.time_format: number for number, file in files.items() if file.time_format}
    for written, number in known.items():
        other = known.get(written.translate(_SWAPPED), number)
        if other != number:
            raise DatasetError(
                f"the times of {titles[number]} are read as {written}, those of {titles[other]}"
                f" with day and month exchanged: --time-format {written!r} reads all alike",
                field="timestamp",
            )
    for number, problem in unclear.items():
        same = [written for written in known if written in problem.formats]
        if len(same) != 1:
            raise problem
        own[number] = replace(own[number], time_format=same[0])
        files[number] = opened(number, own[number])
        like = titles[known[same[0]]]
        source.notes.append(f"the times of {titles[number]} are read as those of {like}: {same[0]}")
    return [(files[number], options) for number, options in enumerate(own)]


def _own_form(source: Source, channel: Channel, form: FileFormat) -> FileFormat:
    """Return the options for a channel: its columns of times, and the label if it has that."""
    names = source.columns.names
    roles = {role: name for role, name in form.columns.items() if role != "timestamp"}
    if form.role("timestamp") is not None or form.time_unit is not None:
        roles["timestamp"] = names[channel.times[0]]  # no other name may say that it is one
    form = replace(form, columns=roles)
    label = form.role("label")
    here = [names[index] for index in channel.values]
    return form if label is None or label in here else form.without_label()


def _check_order(streams: Sequence[Stream]) -> None:
    """Refuse times that do not run on: then each row is something else than the next value."""
    for stream in streams:
        rows = stream.rows
        if rows is None or len(rows) < 2:
            continue
        back = float(np.mean(np.diff(rows) < 0))
        if _LEAPS < back < 1 - _LEAPS:
            raise DatasetError(
                "its times do not follow one another, so they may not be those of a channel:"
                " --columns timestamp=COLUMN names the time of all columns",
                field="timestamp",
            )


def _renamed(part: Dataset, channel: Channel) -> Dataset:
    """Return a channel's data with the names of its features."""
    names = [channel.feature(name) for name in part.feature_names]
    if len(set(names)) < len(names):
        return part
    units = {channel.feature(name): units for name, units in part.units.items()}
    return replace(part, feature_names=names, units=units)


def _check_names(parts: Sequence[Dataset]) -> None:
    """Refuse channels whose values have one name."""
    counts = Counter(name for part in parts for name in part.feature_names)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise DatasetError(
            f"there are {len(parts)} channels with times of their own, and {counts[twice]} columns"
            f" of values are called {twice!r}: name them in the file as what they measure",
            field=twice,
        )


def _note(table: Table, channels: Sequence[Channel]) -> str:
    names = table.source.columns.names
    first = [channel.times[0] for channel in channels[:_SHOWN]]
    shown = ", ".join(repr(names[index] or index + 1) for index in first)
    more = ", ..." if len(channels) > _SHOWN else ""
    return (
        f"each of the columns {shown}{more} is read as the times of the columns after it, which"
        " are joined by time (--columns timestamp=COLUMN names one for all); a reading's row is"
        " that of the value whose time it has"
    )


def _gathered(titles: Sequence[str], parts: Sequence[Dataset]) -> list[str]:
    """Return the notes on the channels, alike ones once."""
    about: dict[str, list[str]] = {}
    for title, part in zip(titles, parts, strict=True):
        for note in part.notes:
            if not note.endswith(("read as timestamp", _EMPTY_ROWS)):
                about.setdefault(note, []).append(title)
    return [
        note if len(which) == len(parts) else f"{', '.join(which)[:200]}: {note}"
        for note, which in about.items()
    ]


def _with_sums(data: Dataset, parts: Sequence[Dataset]) -> Dataset:
    """Return the joined data with what is known of the channels."""
    labels: Counter[str] = Counter()
    for part in parts:
        labels.update(part.label_counts)
    return replace(
        data,
        units={name: units for part in parts for name, units in part.units.items()},
        local=sum(part.local for part in parts),
        universal=sum(part.universal for part in parts),
        label_counts=dict(labels),
    )
