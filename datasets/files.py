"""A CSV or Parquet file: which of the two, its header, and its rows batch by batch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from datasets.columns import Chunk, check_columns
from datasets.types import RESERVED
from errors import DatasetError, InputError
from schemas import check_name

CHUNK_ROWS = 20_000
_BAD_CELL = re.compile(r"column #(\d+): Row #(\d+): .*? invalid value '(.*)'", re.DOTALL)


def is_parquet(path: Path) -> bool:
    """By the file's suffix; raises `DatasetError` where it is neither."""
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return True
    if suffix in (".csv", ".tsv", ".txt"):
        return False
    raise DatasetError(f"{path.name}: neither .csv nor .parquet")


def open_file(path: Path, wanted: Sequence[str] | None) -> tuple[list[str], Iterator[Chunk]]:
    """Feature names and chunks of a file; the header is checked before any row is read."""
    try:
        if is_parquet(path):
            columns = list(pa.parquet.read_schema(path).names)
            names = _feature_names(path, columns, wanted)
            batches = _parquet_batches(path, _used(columns, names))
        else:
            columns, delimiter = _csv_header(path)
            names = _feature_names(path, columns, wanted)
            batches = _csv_batches(path, columns, delimiter, names)
    except UnicodeDecodeError:
        raise DatasetError(f"{path.name}: is no text in UTF-8, so no CSV file") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path.name}: {error}") from None
    return names, _chunks(path, names, batches)


def _used(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [column for column in columns if column in RESERVED or column in names]


def _feature_names(path: Path, columns: list[str], wanted: Sequence[str] | None) -> list[str]:
    if "" in columns:
        place = columns.index("") + 1
        raise DatasetError(f"{path.name}: column {place} has no name (a row index?)")
    for name in columns:
        check_name(name, f"{path.name}: column")
        if columns.count(name) > 1:
            raise DatasetError(f"{path.name}: column {name!r} appears twice", field=name)
    if wanted is None:
        names = [column for column in columns if column not in RESERVED]
    else:
        names = list(wanted)
    for name in ("asset_id", "timestamp", *names):
        if name not in columns:
            has = ", ".join(columns)[:300]
            raise DatasetError(f"{path.name}: column {name!r} is missing; it has {has}", field=name)
    if not names:
        raise DatasetError(f"{path.name}: no feature column", field="features")
    return names


def _csv_header(path: Path) -> tuple[list[str], str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(1_000_000).rstrip("\r\n")
    delimiter = max(",;\t", key=line.count)
    if not line:
        raise DatasetError(f"{path.name}: is empty")
    table = pa.csv.read_csv(
        pa.BufferReader(line.encode() + b"\n"),
        # a thread of Arrow's still at work when the process ends would abort it
        read_options=pa.csv.ReadOptions(use_threads=False),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter),
    )
    return list(table.column_names), delimiter


def _csv_batches(
    path: Path, columns: list[str], delimiter: str, names: Sequence[str]
) -> Iterator[Any]:
    used = _used(columns, names)
    types = {name: pa.float64() if name in names else pa.string() for name in used}
    try:
        reader = pa.csv.open_csv(
            path,
            # one thread is as fast here, and only then is the row at fault told
            read_options=pa.csv.ReadOptions(block_size=4 << 20, use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter),
            convert_options=pa.csv.ConvertOptions(column_types=types, include_columns=used),
        )
        with reader:
            yield from reader
    except pa.ArrowInvalid as error:
        bad = _BAD_CELL.search(str(error))
        if bad is None:
            raise
        name, row = columns[int(bad[1])], int(bad[2]) - 1  # the header is Arrow's first row
        raise DatasetError(
            f"{path.name}: row {row}: column {name!r} holds {bad[3]!r:.80}, not a number",
            field=name,
        ) from None


def _parquet_batches(path: Path, used: list[str]) -> Iterator[Any]:
    with pa.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(CHUNK_ROWS, columns=used)


def _chunks(path: Path, names: list[str], batches: Iterator[Any]) -> Iterator[Chunk]:
    first = 1
    try:
        for batch in batches:
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                piece = batch.slice(start, CHUNK_ROWS)
                yield _checked(path, names, piece, first)
                first += piece.num_rows
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path.name}: {error}") from None


def _checked(path: Path, names: list[str], batch: Any, first: int) -> Chunk:
    try:
        return check_columns(names, batch, first)
    except InputError as error:
        message = f"{path.name}: {error.message}"
        raise DatasetError(message, field=error.field) from None
