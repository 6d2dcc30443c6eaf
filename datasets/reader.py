"""Read a wide file: as a whole, split into streams, or row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from datasets.channels.channel_tables import Table, open_table, read_channels
from datasets.columns.chunk_reader import Chunk
from datasets.columns.further_labels import further_labels
from datasets.columns.labels import UNKNOWN, label_counts, labels_of, read_labels
from datasets.columns.pivot import pivoted
from datasets.files import OpenFile, open_file
from datasets.format import FileFormat
from datasets.times.local_clock import LocalTime, clocks_went_back, half_day_clock
from datasets.times.swapped_days import first_swapped
from datasets.times.time_parsing import MADE_UP_START, MADE_UP_STEP
from datasets.types import Dataset, Flags, Floats, Reading, Stream, StreamKey, Times, datetimes
from datasets.values.coded_texts import Texts, distinct
from datasets.workbooks.workbook import SheetText
from errors import DatasetError

Rows = npt.NDArray[np.intp]
_HOUR: Final = np.timedelta64(3600, "s")


def load(
    path: Path | SheetText | str,
    feature_names: str | Sequence[str] | None = None,
    form: FileFormat | None = None,
    *,
    group: str | None = None,
    asset: str | None = None,
) -> Dataset:
    """Read a whole file, split into streams (in order of first appearance).

    Parameters
    ----------
    path : Path, SheetText or str
        The file, or a sheet of a workbook.
    feature_names : sequence of str, or str as typed (``a,b``), optional
        Columns to use; None: all that can be features.
    form : FileFormat, optional
        Format options.
    group : str, optional
        Column whose values name groups; it is not a feature.
    asset : str, optional
        Asset id, if neither the file nor ``form`` gives one.

    Raises
    ------
    DatasetError
        The file cannot be read, or names a missing or invalid column.
    """
    opened = Path(path) if isinstance(path, str) else path
    table = open_table(opened, form)
    if table.channels:
        return _of_channels(table, feature_names, form, group, asset)
    return _whole(open_file(opened, form, feature_names, group, asset, table.source), form, group)


def _of_channels(
    table: Table,
    feature_names: str | Sequence[str] | None,
    form: FileFormat | None,
    group: str | None = None,
    asset: str | None = None,
) -> Dataset:
    """Read a table whose channels have times of their own.

    Parameters
    ----------
    table
        The table.
    feature_names, form, group, asset
        Those of :func:`load`.
    """
    if group is not None:
        table.source.columns.index(group, "group-by")
        raise DatasetError(
            f"{table.path.name}: column {group!r} cannot name groups, since each channel has times"
            " of its own",
            field="group-by",
        )
    return read_channels(
        table, feature_names, form, asset, lambda file, own: _whole(file, own, None)
    )


def _whole(file: OpenFile, form: FileFormat | None, group: str | None) -> Dataset:
    """Read all rows of an open file; ``form`` and ``group`` are those of :func:`load`."""
    chunks = list(file.chunks)
    if not any(len(chunk.rows) for chunk in chunks):
        raise DatasetError(f"{file.path.name}: holds no rows")
    chunks = file.without_far_of(chunks, form is not None and form.drop_far_times)
    labels, by_value = labels_of(chunks, form)
    parts: dict[StreamKey, list[tuple[int, Rows]]] = {}
    for number, chunk in enumerate(chunks):
        for key, rows in _by_stream(chunk):
            if len(rows):
                parts.setdefault(key, []).append((number, rows))
    streams: list[Stream] = []
    zone = LocalTime(file.zone) if file.zone else None
    notes = [*file.notes, *by_value]
    repeated = 0
    for key, pieces in parts.items():
        stream, more = _join(key, pieces, chunks, labels, file, zone)
        before = len(stream.timestamps)
        stream = without_repetitions(stream)
        repeated += before - len(stream.timestamps)
        streams.append(stream)
        notes += more
    notes += zone.notes() if zone is not None else []
    if repeated:
        notes.append(f"{repeated:,} readings occur twice (time and values): counted once")
    notes += further_labels(file.names, streams)
    groups = None if group is None else _groups(file, group, chunks, parts)
    data = Dataset(
        file.names, streams, notes, groups, file.units, *file.offsets, label_counts(chunks)
    )
    if form is not None and form.pivot is not None:
        data = pivoted(data, form.pivot)
    return replace(data, units_of_streams=file.units_of_streams, counted=file.made_up)


def readings(
    path: Path | SheetText | str,
    feature_names: str | Sequence[str] | None = None,
    form: FileFormat | None = None,
    *,
    report: Callable[[str], None] | None = None,
) -> Iterator[Reading]:
    """Stream a file's rows in file order.

    Memory does not grow with the file, unless all of it decides: to pivot it, to drop far times, or
    to join channels whose times differ.

    Parameters
    ----------
    path
        The file, or a sheet of a workbook.
    feature_names
        Columns to use, as a list or as typed (``a,b``); None: all that can be features.
    form
        Format options.
    report
        Called at the end with each note on what was recognised, replaced or left out.

    Raises
    ------
    DatasetError
        At the first ``next``, or at an unreadable row, whose number is named.
    """
    if form is not None and (form.pivot is not None or form.drop_far_times):
        yield from readings_of(load(path, feature_names, form), report)
        return
    opened = Path(path) if isinstance(path, str) else path
    table = open_table(opened, form)
    if table.channels:
        yield from readings_of(_of_channels(table, feature_names, form), report)
        return
    file = open_file(opened, form, feature_names, source=table.source)
    zone = LocalTime(file.zone) if file.zone else None
    counts: dict[StreamKey, int] = {}
    expected = Counter(file.labels)
    counted: Counter[str] = Counter()
    notes: list[str] = []
    back: dict[str, int] = {}
    for chunk in file.without_far():
        times = datetimes(_whole_times(chunk, file, zone, counts, back))
        labels: list[int | None] = [None] * len(times)
        if chunk.labels is not None:
            counted += _counts(chunk.labels)
            # the whole file shows whether 1 is normal, the rows so far do not
            missed = {text: count for text, count in counted.items() if text not in expected}
            meaning, _ = read_labels({**expected, **missed}, "label")
            _, notes = read_labels(counted, "label")
            known = [meaning.get(value, UNKNOWN) for value in chunk.labels.values]
            labels = [_known(known, code) for code in chunk.labels.codes.tolist()]
        for row, values in enumerate(chunk.values.tolist()):
            features = {
                name: value
                for name, value in zip(file.names, values, strict=True)
                if value == value  # an empty cell is NaN: not measured, so not sent
            }
            asset, sensor = chunk.keys[chunk.key[row]]
            yield Reading(asset, sensor, times[row], features, labels[row])
    if report is not None:
        changes = [
            f"{asset}: the clock goes back by an hour at row {row}: --time-zone NAME resolves the"
            " hour that occurs twice, and tells summer from winter time"
            for asset, row in back.items()
        ]
        for note in [*file.notes, *notes, *(zone.notes() if zone is not None else changes)]:
            report(note)


def readings_of(data: Dataset, report: Callable[[str], None] | None) -> Iterator[Reading]:
    """Yield the readings of a data set in order of time; ``report`` gets its notes at the end."""
    which = np.repeat(np.arange(len(data.streams)), [len(s.timestamps) for s in data.streams])
    row = np.concatenate([np.arange(len(s.timestamps)) for s in data.streams])
    order = np.argsort(np.concatenate([s.timestamps for s in data.streams]), kind="stable")
    times = [datetimes(stream.timestamps) for stream in data.streams]
    for stream, at in zip(which[order].tolist(), row[order].tolist(), strict=True):
        one = data.streams[stream]
        values = zip(data.feature_names, one.values[at].tolist(), strict=True)
        features = {name: value for name, value in values if value == value}
        label = UNKNOWN if one.labels is None else int(one.labels[at])
        yield Reading(
            one.asset_id, one.sensor_id, times[stream][at], features,
            None if label == UNKNOWN else label,
        )  # fmt: skip
    if report is not None:
        for note in data.notes:
            report(note)


def without_repetitions(stream: Stream) -> Stream:
    """Return the stream with each reading once: the first of equal time and equal values."""
    same = np.flatnonzero(stream.timestamps[1:] == stream.timestamps[:-1])
    if not len(same):
        return stream
    tied = np.unique(np.concatenate([same, same + 1]))
    # compared bit by bit below, so make -0.0 and 0.0 equal, and all NaN equal
    values = np.where(np.isnan(stream.values[tied]), np.nan, stream.values[tied] + 0.0)
    times = stream.timestamps[tied].astype("datetime64[us]").astype(np.int64)
    whole = np.ascontiguousarray(np.column_stack([times, values.view(np.int64)]))
    _, first = np.unique(whole, axis=0, return_index=True)
    keep = np.ones(len(stream.timestamps), bool)
    keep[tied] = False
    keep[tied[first]] = True
    return stream if keep.all() else stream.take(keep)


def _by_stream(chunk: Chunk) -> Iterator[tuple[StreamKey, Rows]]:
    if not len(chunk.key):
        return
    if len(chunk.keys) == 1:
        yield chunk.keys[0], np.arange(len(chunk.key))
        return
    order = np.argsort(chunk.key, kind="stable")
    ends = np.cumsum(np.bincount(chunk.key, minlength=len(chunk.keys)))
    yield from zip(chunk.keys, np.split(order, ends[:-1]), strict=True)


def _join(
    key: StreamKey,
    pieces: list[tuple[int, Rows]],
    chunks: Sequence[Chunk],
    labels: Sequence[npt.NDArray[np.int8]] | None,
    file: OpenFile,
    zone: LocalTime | None,
) -> tuple[Stream, list[str]]:
    def one(get: Callable[[int], Any]) -> Any:
        parts = [get(number)[rows] for number, rows in pieces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    notes: list[str] = []
    times: Times = one(lambda number: chunks[number].times)
    local: Flags = one(lambda number: chunks[number].local)
    rows = one(lambda number: chunks[number].rows)
    values: Floats = one(lambda number: chunks[number].values)
    steps, none = np.diff(times), np.timedelta64(0)
    # newest first: clock changes are found, and equal times ordered, only in order of time
    backwards = not file.counted and (steps < none).sum() > (steps > none).sum()
    order = slice(None, None, -1) if backwards else slice(None)
    times, local, rows, values = times[order], local[order], rows[order], values[order]
    if local.all():
        _check_clock(file, key, times, rows)
    if file.counted:
        times = MADE_UP_START + np.arange(len(times)) * MADE_UP_STEP
    elif zone is not None:
        times = times.copy()
        times[local] = zone.utc(key, times[local])
    elif local.all() and (back := clocks_went_back(times, _repeated(values))):
        where = f"{key[0]}: the clock goes back by an hour at row {rows[back[0]]}"
        if len(back) == 1:  # before the change the clock was an hour ahead
            times = np.concatenate([times[: back[0]] - _HOUR, times[back[0] :]])
            notes.append(f"{where}: the readings before it are taken as an hour earlier"
                         " (--time-zone NAME says it exactly)")  # fmt: skip
        else:
            notes.append(f"{where} and {len(back) - 1} times more: --time-zone NAME resolves the"
                         " hours that occur twice")  # fmt: skip
    stream = Stream(
        key[0], key[1], times, values,
        None if labels is None else one(lambda number: labels[number])[order], rows,
    )  # fmt: skip
    if (times[1:] < times[:-1]).any():
        stream = stream.take(np.argsort(times, kind="stable"))
    return stream, notes


def _whole_times(
    chunk: Chunk,
    file: OpenFile,
    zone: LocalTime | None,
    counts: dict[StreamKey, int],
    back: dict[str, int],
) -> Times:
    """Return a chunk's times (n,) in UTC, converted from counts or local times by stream.

    ``back`` receives the assets whose local clocks go back by an hour, and the row.
    """
    times = chunk.times.copy()
    for key, rows in _by_stream(chunk):
        if file.counted:
            begin = counts.get(key, 0)
            counts[key] = begin + len(rows)
            times[rows] = MADE_UP_START + np.arange(begin, begin + len(rows)) * MADE_UP_STEP
            continue
        if chunk.local[rows].all():
            _check_clock(file, key, times[rows], chunk.rows[rows])
            if zone is None and (row := _change(chunk, rows)) is not None:
                back.setdefault(key[0], row)
        if zone is not None:
            rows = rows[chunk.local[rows]]
            times[rows] = zone.utc(key, times[rows])
    return times


def _change(chunk: Chunk, rows: Rows) -> int | None:
    """Return the number of a stream's first row after its local clock was set back, if it was."""
    times = chunk.times[rows]
    step = 1 if 2 * (np.diff(times) < np.timedelta64(0)).sum() <= len(times) else -1
    rows = rows[::step]  # in order of time
    back = clocks_went_back(chunk.times[rows], _repeated(chunk.values[rows]))
    return int(chunk.rows[rows[back[0]]]) if back else None


def _check_clock(file: OpenFile, key: StreamKey, times: Times, rows: npt.NDArray[np.int64]) -> None:
    """Refuse local times (n,) of a 12-hour clock without AM and PM, or with swapped dates."""
    swap = first_swapped(times)
    at = half_day_clock(times) if swap is None else swap
    if at is None:
        return
    before, after = (str(times[i].astype("datetime64[s]")).replace("T", " ") for i in (at - 1, at))
    if swap is not None:
        raise DatasetError(
            f"{file.path.name}: row {rows[at]}: timestamp {after} of {key[0]} follows {before}: the"
            " times run on only with day and month exchanged. Write all dates in one order (a"
            " spreadsheet program rewrites only those that it understands)",
            field="timestamp",
        )
    raise DatasetError(
        f"{file.path.name}: row {rows[at]}: timestamp {after} of {key[0]} follows {before}, and no"
        " hour is above 12. A 12-hour clock without AM or PM does not tell morning from evening:"
        " write the times with AM and PM (--time-format ... %I:%M %p) or by 24 hours",
        field="timestamp",
    )


def _repeated(values: Floats) -> Flags:
    """Return which readings (n,) have the values of the one before; ``values`` is (n, d)."""
    same = ((values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))).all(1)
    return np.concatenate([[False], same])


def _counts(labels: Texts) -> Counter[str]:
    numbers = np.bincount(labels.codes + 1, minlength=len(labels.values) + 1)[1:]
    return Counter(dict(zip(labels.values, numbers.tolist(), strict=True)))


def _known(meaning: Sequence[int], code: int) -> int | None:
    value = meaning[code] if code >= 0 else -1
    return None if value < 0 else value


def _groups(
    file: OpenFile,
    name: str,
    chunks: Sequence[Chunk],
    parts: dict[StreamKey, list[tuple[int, Rows]]],
) -> dict[StreamKey, str]:
    """Return the value of the grouping column by stream; a stream must have only one."""
    held: list[Texts] = [chunk.groups for chunk in chunks if chunk.groups is not None]
    codes, values = distinct(held)
    begins = np.cumsum([0, *(len(part.codes) for part in held)])
    out: dict[StreamKey, str] = {}
    for key, pieces in parts.items():
        found = np.unique(np.concatenate([codes[begins[n] + rows] for n, rows in pieces]))
        texts = [values[code] if code >= 0 else "" for code in found]
        if len(texts) > 1:
            raise DatasetError(
                f"{file.path.name}: column {name!r} changes within the stream {key[0]}"
                f" ({texts[0]!r}, {texts[1]!r}): a stream has one group",
                field=name,
            )
        out[key] = texts[0]
    return out
