"""Write a data set as a wide file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from datasets.suffixes import kind_of
from datasets.types import Dataset, Stream
from errors import DatasetError


def save(path: Path | str, dataset: Dataset) -> None:
    """Write a data set as CSV or Parquet, by the file's suffix, one stream after another."""
    path = Path(path)
    tables = [_table(dataset.feature_names, stream) for stream in dataset.streams]
    labelled = {table.schema for table in tables}
    if len(labelled) > 1:
        raise DatasetError("label: either every stream has labels or none", field="label")
    table = pa.concat_tables(tables)
    kind = kind_of(path)
    if kind == "json":
        raise DatasetError(f"{path.name}: data sets are written as .csv or .parquet")
    if kind == "parquet":
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
