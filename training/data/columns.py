"""What is read of a file besides its readings: its header, and a column that names groups."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from datasets.columns import id_texts
from errors import DatasetError

StreamKey = tuple[str, str | None]


def columns_of(path: Path) -> list[str]:
    """The column names of a CSV or Parquet file."""
    try:
        if _is_parquet(path):
            return list(pa.parquet.read_schema(path).names)
        line = _first_line(path)
    except UnicodeDecodeError:
        raise DatasetError(f"{path.name}: is no text in UTF-8, so no CSV file") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path.name}: {error}") from None
    return next(csv.reader([line], delimiter=_delimiter(line)), [])


def read_groups(path: Path, column: str, into: dict[StreamKey, str]) -> None:
    """Add the value of ``column`` by stream to ``into``.

    Raises
    ------
    DatasetError
        The column is missing, or changes within a stream.
    """
    have = columns_of(path)
    if column not in have:
        raise DatasetError(f"{path.name}: column {column!r} is missing", field=column)
    wanted = [name for name in ("asset_id", "sensor_id") if name in have] + [column]
    found = _table(path, wanted).group_by(wanted).aggregate([])
    assets = _ids(path, found, "asset_id")
    sensors = _ids(path, found, "sensor_id") if "sensor_id" in have else [None] * len(assets)
    values = found.column(column).to_pylist()
    for asset, sensor, held in zip(assets, sensors, values, strict=True):
        key = (str(asset), sensor or None)
        value = str(int(held)) if isinstance(held, float) and held.is_integer() else str(held)
        if into.setdefault(key, value) != value:
            raise DatasetError(
                f"{path.name}: column {column!r} changes within the stream {key[0]}"
                f" ({into[key]!r}, {value!r}): a stream has one group",
                field=column,
            )


def _ids(path: Path, table: Any, field: str) -> list[str | None]:
    try:
        return id_texts(table.column(field), field, 1)
    except DatasetError as error:
        raise DatasetError(f"{path.name}: {error.message}", field=field) from None


def _table(path: Path, wanted: list[str]) -> Any:
    if _is_parquet(path):
        return pa.parquet.read_table(path, columns=wanted)
    return pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(delimiter=_delimiter(_first_line(path))),
        convert_options=pa.csv.ConvertOptions(
            include_columns=wanted, column_types={name: pa.string() for name in wanted}
        ),
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.readline(1_000_000)


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)
