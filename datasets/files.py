"""Open a file of readings, text or Parquet: find its columns' roles, and read it chunk by chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from datasets.columns import Chunk, ChunkReader, Rows, times_of
from datasets.decimals import Decimals
from datasets.far_times import Range, far_times, implausible, main_range, problem
from datasets.format import BLANKS, ROW, FileFormat
from datasets.layout import Layout, read_layout
from datasets.numbers import Nulls, is_number
from datasets.roles import find_roles
from datasets.sampled_columns import Columns, Roles
from datasets.survey import survey
from datasets.text import DAMAGED, undone, utf8
from datasets.time_columns import dates_shared
from datasets.time_of_day import joined, many_share, settled
from datasets.times import clock_of
from datasets.types import Flags, StreamKey
from datasets.units import bare
from datasets.unreadable import Unreadable
from errors import DatasetError, InputError

CHUNK_ROWS: Final = 20_000
#: Cells sampled per column to find its role.
_CELLS: Final = 300
_PARQUET: Final = (".parquet", ".pq", ".parq")
_TEXT: Final = (".csv", ".tsv", ".txt", ".tab", ".dat", ".asc", ".prn")
_PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".zip")


def is_parquet(path: Path) -> bool:
    """Return whether the suffix means Parquet; raise `DatasetError` if it means neither format."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PARQUET:
        return True
    if suffixes and suffixes[-1] in _PACKED:
        suffixes = suffixes[:-1] or [".csv"]
    if suffixes and suffixes[-1] in _TEXT:
        return False
    hint = ": save the sheet as CSV" if suffixes and suffixes[-1].startswith(".xls") else ""
    raise DatasetError(f"{path.name}: neither .csv nor .parquet{hint}")


def is_data(path: Path) -> bool:
    """Return whether a path is a file with a suffix that :func:`open_file` can read."""
    try:
        return path.is_file() and (is_parquet(path) or True)
    except DatasetError:
        return False


def bare_name(path: Path) -> str:
    """Return a file's name without the suffixes of its format."""
    name = path.name
    for known in (_PACKED, (*_TEXT, *_PARQUET)):
        stem, dot, suffix = name.rpartition(".")
        if dot and f".{suffix.lower()}" in known:
            name = stem
    return name


@dataclass(slots=True)
class OpenFile:
    """A file with known column roles; ``notes`` is complete once ``chunks`` is consumed.

    ``labels`` counts the labels of some rows, spread over the file.
    """

    path: Path
    names: list[str]
    chunks: Iterator[Chunk]
    zone: str | None
    counted: bool
    _reader: ChunkReader
    _lines: Unreadable
    _notes: list[str] = field(default_factory=list)
    labels: Mapping[str, int] = field(default_factory=dict)

    def without_far(self) -> Iterator[Chunk]:
        """Yield the chunks without implausible times that are years from the rows before."""
        inside: Range | None = None
        for chunk in self.chunks:
            if not len(chunk.rows) or self._made_up:
                yield chunk
                continue
            inside = inside or main_range(chunk.times)
            far = far_times(chunk.times, inside) & implausible(chunk.times)
            chunk = self._leave_out(chunk, far, inside, int(chunk.rows[-1]))
            yield chunk
            if len(chunk.times):
                inside = min(inside[0], chunk.times.min()), max(inside[1], chunk.times.max())

    def without_far_of(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Return all of the file's chunks without times that are years from all others."""
        times = np.concatenate([chunk.times for chunk in chunks])
        if self._made_up or not len(times):
            return list(chunks)
        inside = main_range(times)
        far = far_times(times, inside, _streams_of(chunks))
        if far.any() and 100 * far.sum() > len(times) and not implausible(times[far]).any():
            first = np.concatenate([chunk.rows for chunk in chunks])[far][0]
            error = problem(int(first), times[far][0], inside)
            self._notes.append(f"{far.sum():,} readings are years from the others: {error.message}")
            far[:] = False
        ends = np.cumsum([len(chunk.times) for chunk in chunks])[:-1]
        kept = [
            self._leave_out(chunk, mask, inside, len(times))
            for chunk, mask in zip(chunks, np.split(far, ends), strict=True)
        ]
        left = np.concatenate([chunk.times for chunk in kept])
        if implausible(left).any():
            odd = left[implausible(left)]
            self._notes.append(
                f"{len(odd):,} times are before 1971 or more than a year ahead ({odd.min()} to"
                f" {odd.max()}): a clock that was not set, another calendar or --time-unit?"
            )
        return kept

    @property
    def _made_up(self) -> bool:
        return self.counted or self._reader.clock.kind == ROW

    def _leave_out(self, chunk: Chunk, far: Flags, inside: Range, total: int) -> Chunk:
        if not far.any():
            return chunk
        with _named(self.path):
            for at in np.flatnonzero(far):
                row = int(chunk.rows[at])
                self._reader.found.rows.add(row, problem(row, chunk.times[at], inside))
            self._reader.found.rows.check(total + len(self._reader.found.rows.rows))
        return chunk.take(~far)

    @property
    def notes(self) -> list[str]:
        """Return the notes on what was recognised, replaced or left out so far."""
        return [
            *self._notes, *self._reader.clock.notes, *self._lines.notes(),
            *self._reader.found.notes(self.zone),
        ]  # fmt: skip


def open_file(
    path: Path,
    form: FileFormat | None = None,
    wanted: str | Sequence[str] | None = None,
    group: str | None = None,
    asset: str | None = None,
) -> OpenFile:
    """Recognise a file's format and columns; rows are read as ``chunks`` is consumed.

    Parameters
    ----------
    path : Path
    form : FileFormat, optional
        Format options given by the caller.
    wanted, group, asset
        Those of :func:`datasets.roles.find_roles`.

    Raises
    ------
    DatasetError
        The file cannot be read; the error names the file and the cause.
    """
    form = form or FileFormat()
    with _named(path):
        source = _Parquet(path, form) if is_parquet(path) else _Text(path, form)
        source.columns.nulls = frozenset(text.casefold() for text in form.null)
        source.columns.look = lambda streams, times, others: survey(
            source.batches(sorted({*streams, *times, *others})), streams, times, others
        )
        roles = find_roles(source.columns, form, wanted, group, asset)
        _settle_times(source, roles)
        cells = [pa.array(source.columns.cells[index], pa.string()) for index in roles.times]
        if len(cells) > 1:
            cells = [joined(cells, roles.time_kind)]
        clock = clock_of(
            form,
            [[cell or "" for cell in column.to_pylist()] for column in cells],
            len(roles.times) > 1 or not source.columns.timed.intersection(roles.times),
            (times_of(batch, roles) for batch in source.batches(roles.used())),
        )
        decimals = source.columns.decimals
        nulls = Nulls(form.null, decimals.usual)
        reader = ChunkReader(roles, clock, decimals, nulls, source.trim)
        notes = [*source.notes, *roles.notes]
        labels = [] if roles.label is None else source.columns.seen.spread.get(roles.label, [])
    counted = not roles.times
    return OpenFile(
        path, roles.names, _chunks(path, source, reader), clock.zone, counted, reader, source.lines,
        notes, Counter(labels),
    )  # fmt: skip


def _streams_of(chunks: Sequence[Chunk]) -> Any:
    """Return the number of the stream of each of all rows (n,)."""
    numbers: dict[StreamKey, int] = {}
    return np.concatenate(
        [
            np.array([numbers.setdefault(key, len(numbers)) for key in chunk.keys], int)[chunk.key]
            for chunk in chunks
        ]
    )


def _settle_times(source: Any, roles: Roles) -> None:
    """Decide by all rows what the first do not show: what numbers mean, and who shares a date."""
    batches = source.batches(roles.used()) if roles.time_kinds or roles.dates_only else ()
    if roles.time_kinds:
        day, time = (f"c{index}" for index in roles.times)
        pairs = ((batch.column(day), batch.column(time)) for batch in batches)
        name = source.columns.names[roles.times[1]]
        roles.time_kinds = [settled(name, roles.time_kinds, pairs)]
    elif roles.dates_only:
        at = [roles.used().index(p) for p in (*roles.keys(), *roles.times)]
        rows = (
            row
            for batch in batches
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        )
        if many_share((str([row[p] for p in at]), str(row)) for row in rows):
            raise dates_shared(source.columns, roles)


class _Text:
    """A text file; columns are called c0, c1, ... since a name may be empty or occur twice."""

    def __init__(self, path: Path, form: FileFormat) -> None:
        self._path = path
        self._layout: Layout = read_layout(path, form)
        layout = self._layout
        self.trim = layout.trim
        self.notes = layout.notes
        self.lines = Unreadable("lines left out, since they cannot be read")
        width = len(layout.names)
        whole = [row for row in layout.rows if len(row) == width] or layout.rows
        cells: list[list[str]] = [
            [row[index].strip() if index < len(row) else "" for row in whole[:_CELLS]]
            for index in range(width)
        ]
        self.columns = Columns(path.name, layout.names, cells, frozenset(), layout.decimals)

    def plain(self, index: int) -> bool:
        """Return whether Arrow can read all sampled cells of a column as numbers."""
        decimal = self.columns.decimals.usual
        return self.columns.decimals.sign(index) == decimal and all(
            not cell or (is_number(cell, decimal) and not cell.isalpha())
            for cell in self.columns.cells[index]
        )

    def _odd(self, row: pa.csv.InvalidRow) -> str:
        """Record a line whose number of fields differs from that of the names."""
        number = row.number - self._layout.skip
        error = DatasetError(
            f"row {number} has {row.actual_columns} fields, not {row.expected_columns} (a separator"
            " within a text or a number, a quote that does not close, or a line cut short)"
        )
        for line in range(row.text.count("\n") + 1):  # an open quote swallows the next lines
            self.lines.add(number + line, error)
        return "skip"

    def batches(self, used: Sequence[int], numbers: frozenset[int] = frozenset()) -> Iterator[Any]:
        """Yield batches of the columns ``used``; those in ``numbers`` are parsed as numbers."""
        layout = self._layout
        names = [f"c{index}" for index in range(len(layout.names))]
        types = {f"c{index}": pa.float64() if index in numbers else pa.string() for index in used}
        text = utf8(self._path, layout.encoding, layout.delimiter == BLANKS)
        with text, pa.csv.open_csv(
            text,
            # one thread is as fast, and a reader thread alive at process exit would abort it
            read_options=pa.csv.ReadOptions(
                block_size=4 << 20, use_threads=False, column_names=names,
                skip_rows=layout.skip,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=layout.delimiter, invalid_row_handler=self._odd
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=types,
                include_columns=[f"c{index}" for index in used],
                decimal_point=layout.decimals.usual,
            ),
        ) as reader:  # fmt: skip
            yield from reader


class _Parquet:
    """A Parquet file, whose columns have types."""

    trim = False

    def __init__(self, path: Path, form: FileFormat) -> None:
        self._path = path
        self.notes: list[str] = []
        self.lines = Unreadable("")
        with pa.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            head = next(file.iter_batches(_CELLS), None)
        timed = {i for i, kind in enumerate(schema.types)
                 if pa.types.is_timestamp(kind) or pa.types.is_date(kind)}  # fmt: skip
        cells: list[list[str]] = [[] for _ in schema.names]
        nested: set[int] = set()
        texts: set[int] = set()
        for index, kind in enumerate(schema.types):
            column = None if head is None else _as_text(head.column(index))
            if pa.types.is_nested(kind) or (column is not None and _is_bytes(column.type)):
                nested.add(index)
                cells[index] = [f"<{kind}>"] * (0 if head is None else head.num_rows)
                continue
            if column is not None and _is_text(column.type):
                texts.add(index)
            values = [] if column is None else _values_of(column)
            cells[index] = ["" if v is None else str(v).strip() for v in values]
        found = [bare(part) if index in texts else None for index, part in enumerate(cells)]
        self.columns = Columns(
            path.name, list(schema.names), cells, frozenset(timed),
            Decimals(found, ";", form.decimal), frozenset(nested),
        )  # fmt: skip

    def plain(self, index: int) -> bool:
        return True

    def batches(self, used: Sequence[int], numbers: frozenset[int] = frozenset()) -> Iterator[Any]:
        with pa.parquet.ParquetFile(self._path) as file:
            wanted = [file.schema_arrow.names[index] for index in used]
            order = sorted(used)
            for batch in file.iter_batches(CHUNK_ROWS, columns=wanted):
                yield pa.RecordBatch.from_arrays(
                    [_as_text(column) for column in batch.columns],
                    names=[f"c{index}" for index in order],
                )


def _values_of(column: Any) -> list[Any]:
    """Return a column's values; None for times after the year 9999, which Python does not know."""
    try:
        return list(column.to_pylist())
    except OverflowError:
        known = []
    for value in column:
        try:
            known.append(value.as_py())
        except OverflowError:
            known.append(None)
    return known


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _as_text(column: Any) -> Any:
    """Cast a column of any text type to ``string``; return other columns unchanged.

    Bytes that are UTF-8 are text: some programs do not mark their text as such.
    """
    if pa.types.is_dictionary(column.type) and _is_bytes(column.type.value_type):
        column = column.dictionary_decode()
    if _is_bytes(column.type):
        plain = column.cast(pa.binary())
        try:
            return plain.cast(pa.string())
        except pa.ArrowInvalid:
            return plain
    other = _is_text(column.type) and not pa.types.is_dictionary(column.type)
    return column.cast(pa.string()) if other else column


def _chunks(path: Path, source: Any, reader: ChunkReader) -> Iterator[Chunk]:
    """Yield chunks; parse numbers directly until a cell is not a number, then convert text."""
    roles = reader.roles
    numbers = frozenset(index for index in roles.features if source.plain(index))
    done = 0
    with _named(path):
        while True:
            passed = 0
            try:
                for batch in source.batches(roles.used(), numbers):
                    passed += batch.num_rows
                    source.lines.check(passed + len(source.lines.rows))
                    rest = batch.slice(max(0, batch.num_rows - (passed - done)))
                    for start in range(0, rest.num_rows, CHUNK_ROWS):
                        piece = rest.slice(start, CHUNK_ROWS)
                        yield reader.read(piece, _numbers(done, piece.num_rows, source.lines))
                        done += piece.num_rows
                source.lines.check(passed + len(source.lines.rows))
                return
            except pa.ArrowInvalid as error:
                if "out of sync" in str(error):
                    raise DatasetError(f"a quote after row {done:,} does not close") from None
                if not numbers or "conversion error" not in str(error):
                    raise
                numbers = frozenset()


def _numbers(done: int, n: int, odd: Unreadable) -> Rows:
    """Return row numbers (n,) in the file, given ``done`` earlier rows; left-out lines count."""
    count = np.arange(done + 1, done + n + 1)
    lines = np.sort(np.fromiter(odd.rows, np.int64, len(odd.rows)))
    return count + np.searchsorted(lines - np.arange(len(lines)), count, side="right")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Prefix errors with the file's name."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path.name}: byte {error.object[error.start]:#x} is not valid {error.encoding}:"
            " --encoding gives the encoding",
            field="encoding",
        ) from None
    except DatasetError as error:
        if error.message.startswith(f"{path.name}: "):
            raise
        raise DatasetError(f"{path.name}: {error.message}", field=error.field) from None
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
