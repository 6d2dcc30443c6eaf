"""A chunk of rows as checked columns: names, times, numbers, labels; or the row at fault, named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datasets.types import Floats, Times
from errors import DatasetError, InputError
from schemas import check_name, parse_timestamp

#: Beyond this a float no longer holds each whole number: ids may have been rounded into one.
_EXACT = 2**53
_LABELS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file, a list or an array for each column."""

    assets: list[str]
    sensors: list[str | None]
    times: Times
    values: Floats
    labels: npt.NDArray[np.int8] | None


def check_columns(names: list[str], batch: Any, first: int) -> Chunk:
    """Check a record batch of Arrow's.

    Parameters
    ----------
    names : list of str
        The feature columns.
    batch : pyarrow.RecordBatch
        The rows.
    first : int
        Number of the first row in its file, for messages.

    Raises
    ------
    InputError
        Names what is at fault.
    """
    has = batch.schema.names
    assets = id_texts(batch.column("asset_id"), "asset_id", first)
    sensors: list[str | None] = [None] * batch.num_rows
    if "sensor_id" in has:
        sensors = [s or None for s in id_texts(batch.column("sensor_id"), "sensor_id", first)]
    _check_names(assets, "asset_id", first)
    _check_names(sensors, "sensor_id", first)
    labels = _labels(batch.column("label"), first) if "label" in has else None
    return Chunk(
        assets,
        sensors,
        _times(batch.column("timestamp"), first),
        _values(names, batch, first),
        labels,
    )


def id_texts(column: Any, field: str, first: int) -> list[Any]:
    """Ids as text. pandas makes floats of whole numbers as soon as one is missing: 7.0 is "7"."""
    if not pa.types.is_floating(column.type):
        return list(column.cast(pa.string()).to_pylist())
    found: list[str | None] = []
    for row, number in enumerate(column.cast(pa.float64()).to_pylist()):
        if number is None or number != number:
            found.append(None)
        elif number.is_integer() and abs(number) <= _EXACT:
            found.append(str(int(number)))
        else:
            raise DatasetError(
                f"row {first + row}: {field} {number!r} is a float that is no exact whole number:"
                " write ids as text",
                field=field,
            )
    return found


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
