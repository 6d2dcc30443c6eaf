"""Open a file of readings: find its columns' roles, and read it in chunks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from datasets.columns.chunk_reader import Chunk, ChunkReader, Rows, times_of
from datasets.columns.roles import find_roles
from datasets.format import ROW, FileFormat
from datasets.sampled_columns import Roles
from datasets.source import Source, opened_source
from datasets.survey import survey
from datasets.text_files.text import DAMAGED, undone
from datasets.times.calendar_columns import DATE_PARTS
from datasets.times.far_times import (
    Range,
    clock_note,
    dropped,
    far_times,
    implausible,
    implausible_note,
    main_range,
    never_set,
    problem,
    too_many,
)
from datasets.times.time_columns import dates_shared
from datasets.times.time_of_day import MILLISECONDS, WORDS, chosen_kind, joined, many_share
from datasets.times.time_parsing import clock_of
from datasets.times.zone_names import doubtful_zone, zone_in_name
from datasets.types import Flags, StreamKey, named
from datasets.unreadable import ONE_OF, Unreadable
from datasets.values.numbers import Nulls
from datasets.workbooks.workbook import SheetText
from errors import DatasetError, InputError

_CHUNK_ROWS: Final = 20_000  # rows converted at a time: bounds the memory of wide files


@dataclass(slots=True)
class OpenFile:
    """A file with known column roles; ``notes`` is complete once ``chunks`` is consumed.

    ``labels`` counts the labels of some rows, spread over the file. ``units`` are those of
    :class:`datasets.types.Dataset`.
    """

    path: Path | SheetText
    names: list[str]
    chunks: Iterator[Chunk]
    zone: str | None
    counted: bool
    _reader: ChunkReader
    _lines: Unreadable
    _notes: list[str] = field(default_factory=list)
    labels: Mapping[str, int] = field(default_factory=dict)
    units: dict[str, list[str]] = field(default_factory=dict)
    _zone_in_name: bool = False
    _far: int = 0

    def without_far(self) -> Iterator[Chunk]:
        """Yield the chunks without implausible times that are years from the rows before."""
        inside: Range | None = None
        odd: list[np.datetime64] = []
        count = 0
        for chunk in self.chunks:
            if not len(chunk.rows) or self.made_up:
                yield chunk
                continue
            inside = inside or main_range(chunk.times)
            far = far_times(chunk.times, inside) & implausible(chunk.times)
            chunk = self._leave_out(chunk, far, inside, int(chunk.rows[-1]))
            strange = chunk.times[implausible(chunk.times)]
            if len(strange):
                count += len(strange)
                odd = [min([*odd, strange.min()]), max([*odd, strange.max()])]
            yield chunk
            if len(chunk.times):
                inside = min(inside[0], chunk.times.min()), max(inside[1], chunk.times.max())

        if odd:
            self._notes.append(implausible_note(count, *odd))

    def without_far_of(self, chunks: Sequence[Chunk], drop: bool = False) -> list[Chunk]:
        """Return all of the file's chunks without times that are years from all others.

        ``drop`` leaves them out however many they are.
        """
        times = np.concatenate([chunk.times for chunk in chunks])
        if self.made_up or not len(times):
            return list(chunks)
        # on request the plausible ones stay, even if they are fewer
        sure = times[~implausible(times)] if drop else times
        inside = main_range(sure if len(sure) else times)
        stream, keys = _streams_of(chunks)
        far = far_times(times, inside, stream)
        unset = never_set(times, stream) & (drop | ~far)
        if unset.any():
            names = [named(keys[number]) for number in np.unique(stream[unset])]
            self._notes.append(clock_note(names, times[unset], drop))
        if drop:
            rows = np.concatenate([chunk.rows for chunk in chunks])
            self._notes += dropped(rows[far & ~unset], times[far & ~unset], inside)
            far |= unset
        elif 100 * far.sum() > len(times) and not implausible(times[far]).any():
            first = np.concatenate([chunk.rows for chunk in chunks])[far][0]
            error = problem(int(first), times[far][0], inside)
            self._notes.append(
                f"{far.sum():,} readings are years from the others: {error.message}"
                " (--drop-far-times leaves them out)"
            )
            far[:] = False
        ends = np.cumsum([len(chunk.times) for chunk in chunks])[:-1]
        kept = [
            chunk.take(~mask) if drop else self._leave_out(chunk, mask, inside, len(times))
            for chunk, mask in zip(chunks, np.split(far, ends), strict=True)
        ]
        odd = times[~far & ~unset & implausible(times)]
        if len(odd):
            self._notes.append(implausible_note(len(odd), odd.min(), odd.max()))
        return kept

    @property
    def made_up(self) -> bool:
        """Return whether the times count readings."""
        return self.counted or self._reader.clock.kind == ROW

    @property
    def time_format(self) -> str | None:
        """Return the strptime format of the times, if they are texts in one."""
        return next(iter(self._reader.clock.formats), None)

    @property
    def offsets(self) -> tuple[int, int]:
        """Return the numbers of times without and with an offset so far; made-up ones have none.

        All have one if it stands in the name of their column.
        """
        found = self._reader.found
        if self.made_up:
            return 0, 0
        if self._zone_in_name:
            return 0, found.local + found.universal
        return found.local, found.universal

    @property
    def units_of_streams(self) -> dict[StreamKey, list[str]]:
        """Return the units that a column names for each stream so far."""
        return {key: [*units] for key, units in self._reader.units.first.items()}

    def _leave_out(self, chunk: Chunk, far: Flags, inside: Range, total: int) -> Chunk:
        if not far.any():
            return chunk
        odd = self._reader.found.rows
        self._far += int(far.sum())
        with naming(self.path):
            for at in np.flatnonzero(far):
                row = int(chunk.rows[at])
                odd.add(row, problem(row, chunk.times[at], inside))
            if ONE_OF * self._far > total + self._far:
                raise too_many(odd.rows[int(chunk.rows[far][0])], self._far, total)
            odd.check(total + len(odd.rows))
        return chunk.take(~far)

    @property
    def notes(self) -> list[str]:
        """Return the notes on what was recognised, replaced or left out so far."""
        return [
            *self._notes, *self._reader.clock.notes, *self._lines.notes(),
            *self._reader.found.notes(self.zone), *self._reader.units.notes(),
        ]  # fmt: skip


def open_file(
    path: Path | SheetText,
    form: FileFormat | None = None,
    wanted: str | Sequence[str] | None = None,
    group: str | None = None,
    asset: str | None = None,
    source: Source | None = None,
) -> OpenFile:
    """Recognise a file's format and columns; rows are read as ``chunks`` is consumed.

    Parameters
    ----------
    path : Path or SheetText
        The file, or a sheet of a workbook.
    form : FileFormat, optional
        Format options given by the caller.
    wanted, group, asset
        Those of :func:`datasets.columns.roles.find_roles`.
    source : Source, optional
        The file, or some of its columns, if it is open already.

    Raises
    ------
    DatasetError
        The file cannot be read; the error names the file and the cause.
    """
    form = form or FileFormat()
    with naming(path):
        source = source or opened_source(path, form)
        if not any(source.columns.cells):
            raise DatasetError("holds no rows below its names, or a quote does not close")
        source.columns.look = lambda streams, times, others: survey(
            source.batches(sorted({*streams, *times, *others})), streams, times, others
        )
        roles = find_roles(source.columns, form, wanted, group, asset)
        _settle_times(source, roles)
        cells = [pa.array(source.columns.cells[index], pa.string()) for index in roles.times]
        if len(cells) > 1:
            cells = [joined(cells, roles.time_kind)]
        zone = zone_in_name(source.columns, roles) if form.time_zone is None else None
        if zone is not None:
            form = replace(form, time_zone=zone)
            roles.notes.append("times without an offset have that of their column's name")
        clock = clock_of(
            form,
            [[cell or "" for cell in column.to_pylist()] for column in cells],
            len(roles.times) > 1 or not source.columns.timed.intersection(roles.times),
            (times_of(batch, roles) for batch in source.batches(roles.used())),
        )
        decimals = source.columns.decimals
        nulls = Nulls(form.null, decimals.usual)
        reader = ChunkReader(roles, clock, decimals, nulls, source.trim)
        reader.units.column = roles.unit_name
        reader.names.lines = len(source.columns.below)
        reader.names.below = {p: source.columns.below_name(p) for p in roles.features}
        reader.found.doubt = doubtful_zone(source.columns, roles, clock.zone)
        notes = [*source.notes, *roles.notes]
        labels = [] if roles.label is None else source.columns.seen.spread.get(roles.label, [])
        units = {
            name: [*filter(None, [roles.units.get(name)]), *source.columns.below_name(index)]
            for index, name in zip(roles.features, roles.names, strict=True)
        }
    counted = not roles.times
    return OpenFile(
        path, roles.names, _chunks(path, source, reader), clock.zone, counted, reader, source.lines,
        notes, Counter(labels), units, zone is not None,
    )  # fmt: skip


def _streams_of(chunks: Sequence[Chunk]) -> tuple[Any, list[StreamKey]]:
    """Return the number (n,) of each row's stream, over all chunks, and the streams by number."""
    numbers: dict[StreamKey, int] = {}
    of_rows = [
        np.array([numbers.setdefault(key, len(numbers)) for key in chunk.keys], int)[chunk.key]
        for chunk in chunks
    ]
    return np.concatenate(of_rows), [*numbers]


def _settle_times(source: Source, roles: Roles) -> None:
    """Decide by all rows what the first do not show: what numbers mean, and who shares a date."""
    if roles.time_kind in (*DATE_PARTS, WORDS, MILLISECONDS) and not roles.dates_only:
        return
    batches = source.batches(roles.used())
    if roles.time_kinds:
        day, time = (f"c{index}" for index in roles.times)
        pairs = ((batch.column(day), batch.column(time)) for batch in batches)
        name = source.columns.names[roles.times[1]]
        roles.time_kinds = [chosen_kind(name, roles.time_kinds, pairs)]
    elif roles.dates_only:
        at = [roles.used().index(p) for p in (*roles.keys(), *roles.times)]
        rows = (
            row
            for batch in batches
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        )
        if many_share((str([row[p] for p in at]), str(row)) for row in rows):
            raise dates_shared(source.columns, roles)


def _chunks(path: Path | SheetText, source: Source, reader: ChunkReader) -> Iterator[Chunk]:
    """Yield chunks; parse numbers directly until a cell is not a number, then convert text."""
    roles = reader.roles
    numbers = frozenset(index for index in roles.features if source.plain(index))
    done = 0
    with naming(path):
        while True:
            try:
                for piece in _pieces(source, roles.used(), numbers, done):
                    yield reader.read(piece, _numbers(done, piece.num_rows, source.lines))
                    done += piece.num_rows
                return
            except pa.ArrowInvalid as error:
                if re.search("out of sync|straddl", str(error)):  # the last quote of the file
                    raise DatasetError(f"a quote after row {done:,} does not close") from None
                if not numbers or "conversion error" not in str(error):
                    raise
                numbers = frozenset()


def _pieces(
    source: Source, used: Sequence[int], numbers: frozenset[int], done: int
) -> Iterator[Any]:
    """Yield all rows but the first ``done``, as batches of at most _CHUNK_ROWS rows."""
    passed = 0
    for batch in source.batches(used, numbers):
        passed += batch.num_rows
        source.lines.check(passed)
        rest = batch.slice(max(0, batch.num_rows - (passed - done)))
        for start in range(0, rest.num_rows, _CHUNK_ROWS):
            yield rest.slice(start, _CHUNK_ROWS)
    source.lines.check(passed + len(source.lines.rows))


def _numbers(done: int, n: int, odd: Unreadable) -> Rows:
    """Return row numbers (n,) in the file, given ``done`` earlier rows; left-out lines count."""
    count = np.arange(done + 1, done + n + 1)
    lines = np.sort(np.fromiter(odd.rows, np.int64, len(odd.rows)))
    return count + np.searchsorted(lines - np.arange(len(lines)), count, side="right")


@contextmanager
def naming(path: Path | SheetText, part: str = "") -> Iterator[None]:
    """Prefix errors with the file's name, and that of the part of it that is read, if any."""
    name = path.name if not part else f"{path.name}: {part}"
    try:
        yield
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path.name}: byte {error.object[error.start]:#x} is not valid {error.encoding}:"
            " --encoding gives the encoding",
            field="encoding",
        ) from None
    except DatasetError as error:
        if error.message.startswith(f"{name}: "):
            raise
        error.message = f"{name}: {error.message.removeprefix(f'{path.name}: ')}"
        error.args = (error.message,)
        raise
    except InputError as error:
        raise DatasetError(f"{path.name}: {error.message}", field=error.field) from None
    except DAMAGED as error:
        raise undone(path, error) from None
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path.name}: {_plainly(str(error))}") from None


def _plainly(message: str) -> str:
    if "invalid UTF8" in message:
        return "holds text that is not UTF-8: --encoding gives its encoding, such as cp1252"
    return message
