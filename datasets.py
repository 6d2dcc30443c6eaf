"""Data sets: wide CSV or Parquet files <-> readings.

One row is one reading::

    asset_id, [sensor_id], timestamp, <one column a feature> ..., [label]

``asset_id`` and ``timestamp`` must be there; an empty ``sensor_id`` is none; ``label`` is 0 or 1
(``true``/``false`` too) and never a feature. Every other column is a feature, unless the caller
names the features wanted. An empty cell is a value that was not measured (NaN in
:func:`load`, left out by :func:`readings`). CSV may be separated by comma, semicolon or tab.

Files are read in chunks, so a file larger than memory can be streamed with :func:`readings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from errors import DatasetError, InputError
from schemas import check_name, parse_timestamp

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]

RESERVED = ("asset_id", "sensor_id", "timestamp", "label")
CHUNK_ROWS = 20_000
_BAD_CELL = re.compile(r"column #(\d+): Row #(\d+): .*? invalid value '(.*)'", re.DOTALL)
_LABELS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


@dataclass(frozen=True, slots=True)
class Reading:
    """One row; ``timestamp`` is aware UTC, ``features`` holds only what was measured."""

    asset_id: str
    sensor_id: str | None
    timestamp: datetime
    features: dict[str, float]
    label: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """The readings of one (asset_id, sensor_id), in the order of their times."""

    asset_id: str
    sensor_id: str | None
    timestamps: Times  # (n,) datetime64[us], UTC
    values: Floats  # (n, d), NaN where a cell was empty
    labels: npt.NDArray[np.int8] | None = None  # (n,) of 0 and 1


@dataclass(frozen=True, slots=True)
class Dataset:
    """A whole file in memory; the columns of every ``values`` are ``feature_names``."""

    feature_names: list[str]
    streams: list[Stream]


@dataclass(frozen=True, slots=True)
class _Chunk:
    assets: list[str]
    sensors: list[str | None]
    times: Times
    values: Floats
    labels: npt.NDArray[np.int8] | None


def load(path: Path | str, feature_names: Sequence[str] | None = None) -> Dataset:
    """Read a whole file, split into streams (in order of first appearance).

    Raises
    ------
    DatasetError
        The file cannot be read, or a column is missing or bad; it is named.
    """
    names, chunks = _open(Path(path), feature_names)
    parts: dict[tuple[str, str | None], list[tuple[_Chunk, npt.NDArray[np.intp]]]] = {}
    for chunk in chunks:
        rows: dict[tuple[str, str | None], list[int]] = {}
        for row, key in enumerate(zip(chunk.assets, chunk.sensors, strict=True)):
            rows.setdefault(key, []).append(row)
        for key, numbers in rows.items():
            parts.setdefault(key, []).append((chunk, np.asarray(numbers)))
    if not parts:
        raise DatasetError(f"{Path(path).name}: holds no rows")
    return Dataset(names, [_join(key, pieces) for key, pieces in parts.items()])


def readings(path: Path | str, feature_names: Sequence[str] | None = None) -> Iterator[Reading]:
    """Stream a file's rows in file order; memory does not grow with the file.

    Raises
    ------
    DatasetError
        At the first ``next``, or at the row at fault, which is numbered.
    """
    names, chunks = _open(Path(path), feature_names)
    for chunk in chunks:
        times = chunk.times.astype("datetime64[us]").tolist()
        for row, values in enumerate(chunk.values.tolist()):
            features = {
                name: value
                for name, value in zip(names, values, strict=True)
                if value == value  # an empty cell is NaN: not measured, so not sent
            }
            yield Reading(
                chunk.assets[row],
                chunk.sensors[row],
                times[row].replace(tzinfo=UTC),
                features,
                None if chunk.labels is None else int(chunk.labels[row]),
            )


def save(path: Path | str, dataset: Dataset) -> None:
    """Write a data set as CSV or Parquet, by the file's suffix, stream after stream."""
    path = Path(path)
    tables = [_table(dataset.feature_names, stream) for stream in dataset.streams]
    labelled = {table.schema for table in tables}
    if len(labelled) > 1:
        raise DatasetError("label: either every stream has labels or none", field="label")
    table = pa.concat_tables(tables)
    if _is_parquet(path):
        pa.parquet.write_table(table, path)
    else:
        pa.csv.write_csv(table, path)


def _table(names: Sequence[str], stream: Stream) -> Any:
    n = len(stream.timestamps)
    times = pa.array(stream.timestamps.astype("datetime64[us]"), pa.timestamp("us"))
    columns: dict[str, Any] = {
        "asset_id": pa.array([stream.asset_id] * n, pa.string()),
        "sensor_id": pa.array([stream.sensor_id] * n, pa.string()),
        "timestamp": pc.strftime(times, format="%Y-%m-%dT%H:%M:%S+00:00"),
    }
    for column, name in enumerate(names):
        columns[name] = pa.array(stream.values[:, column], from_pandas=True)
    if stream.labels is not None:
        columns["label"] = pa.array(stream.labels)
    return pa.table(columns)


def _join(key: tuple[str, str | None], pieces: list[tuple[_Chunk, npt.NDArray[np.intp]]]) -> Stream:
    times = np.concatenate([chunk.times[rows] for chunk, rows in pieces])
    order = np.argsort(times, kind="stable")
    labels = [chunk.labels[rows] for chunk, rows in pieces if chunk.labels is not None]
    return Stream(
        key[0],
        key[1],
        times[order],
        np.concatenate([chunk.values[rows] for chunk, rows in pieces])[order],
        np.concatenate(labels)[order] if labels else None,
    )


def _is_parquet(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return True
    if suffix in (".csv", ".tsv", ".txt"):
        return False
    raise DatasetError(f"{path.name}: neither .csv nor .parquet")


def _open(path: Path, wanted: Sequence[str] | None) -> tuple[list[str], Iterator[_Chunk]]:
    """Feature names and chunks of a file; the header is checked before any row is read."""
    try:
        if _is_parquet(path):
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
    options = pa.csv.ParseOptions(delimiter=delimiter)
    if not line:
        raise DatasetError(f"{path.name}: is empty")
    table = pa.csv.read_csv(pa.BufferReader(line.encode() + b"\n"), parse_options=options)
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


def _chunks(path: Path, names: list[str], batches: Iterator[Any]) -> Iterator[_Chunk]:
    first = 1
    try:
        for batch in batches:
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                piece = batch.slice(start, CHUNK_ROWS)
                yield _chunk(path, names, piece, first)
                first += piece.num_rows
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path.name}: {error}") from None


def _chunk(path: Path, names: list[str], batch: Any, first: int) -> _Chunk:
    has = batch.schema.names
    assets = batch.column("asset_id").cast(pa.string()).to_pylist()
    sensors: list[str | None] = [None] * batch.num_rows
    if "sensor_id" in has:
        sensors = [s or None for s in batch.column("sensor_id").cast(pa.string()).to_pylist()]
    try:
        _check_names(assets, "asset_id", first)
        _check_names(sensors, "sensor_id", first)
        labels = _labels(batch.column("label"), first) if "label" in has else None
        return _Chunk(
            assets,
            sensors,
            _times(batch.column("timestamp"), first),
            _values(names, batch, first),
            labels,
        )
    except InputError as error:
        message = f"{path.name}: {error.message}"
        raise DatasetError(message, field=error.field) from None


def _check_names(found: Sequence[str | None], field: str, first: int) -> None:
    for name in set(found):
        try:
            if name is not None or field == "asset_id":  # a sensor may be absent
                check_name(name, field)
        except InputError as error:
            message = f"row {first + found.index(name)}: {error.message}"
            raise DatasetError(message, field=field) from None


def _values(names: list[str], batch: Any, first: int) -> Floats:
    values = np.empty((batch.num_rows, len(names)))
    for number, name in enumerate(names):
        column = batch.column(name)
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise DatasetError(f"column {name!r} holds {column.type}, not numbers", field=name)
        values[:, number] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        name = names[column]
        raise DatasetError(f"row {first + row}: {name} is not finite", field=name)
    return values


def _times(column: Any, first: int) -> Times:
    if pa.types.is_timestamp(column.type):
        # to UTC: a naive column is UTC already, one with a zone is stored in UTC
        found = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        found = _parse_times(column, first)
    else:
        raise DatasetError(f"column 'timestamp' holds {column.type}", field="timestamp")
    if found.null_count:
        row = found.is_null().index(True).as_py()
        raise DatasetError(f"row {first + row}: timestamp is empty", field="timestamp")
    times: Times = found.cast(pa.int64()).to_numpy(zero_copy_only=False).view("datetime64[us]")
    return times


def _parse_times(column: Any, first: int) -> Any:
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    # mixed forms, or a bad one: each by the rule that also holds for messages
    parsed = []
    for row, text in enumerate(column.to_pylist()):
        try:
            parsed.append(parse_timestamp(text))
        except InputError as error:
            raise DatasetError(f"row {first + row}: {error.message}", field="timestamp") from None
    return pa.array(parsed, pa.timestamp("us", "UTC"))


def _labels(column: Any, first: int) -> npt.NDArray[np.int8]:
    labels = np.empty(len(column), np.int8)
    for row, label in enumerate(column.cast(pa.string()).to_pylist()):
        value = _LABELS.get((label or "").strip().lower())
        if value is None:
            raise DatasetError(f"row {first + row}: label {label!r} is not 0 or 1", field="label")
        labels[row] = value
    return labels
